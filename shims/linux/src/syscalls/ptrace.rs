//! ptrace(2): stopping threads and reading their registers, and nothing else.

use crate::call::{Call, CallResult};
use crate::signal::{Signal, SignalInfo, send_to_process};
use crate::task::attached;
use capsid_core::Errno;
use capsid_platform::GuestAddr;
use linux_raw_sys::ptrace;

/// The general registers, for `PTRACE_GETREGSET`.
const NT_PRSTATUS: u64 = 1;
/// Bytes of a `struct user_regs_struct`.
const REGISTER_BYTES: usize = 27 * 8;
/// Selectors of 64-bit code and of the stack, as Linux has them.
const CODE_SELECTOR: u64 = 0x33;
const STACK_SELECTOR: u64 = 0x2b;

/// ptrace(2): `EPERM` for what a tracer cannot do here.
pub fn sys_ptrace(call: &mut Call<'_>) -> CallResult {
    let request = call.uint(0);
    let id = u32::try_from(call.int(1)).map_err(|_| Errno::ESRCH);
    match request {
        ptrace::PTRACE_ATTACH => {
            let thread = call.kernel().thread(id?).ok_or(Errno::ESRCH)?;
            attached::attach(call.thread, &thread)?;
            return Ok(0);
        }
        ptrace::PTRACE_DETACH
        | ptrace::PTRACE_KILL
        | ptrace::PTRACE_GETREGS
        | ptrace::PTRACE_GETREGSET => {}
        _ => return Err(Errno::EPERM),
    }
    let thread = attached::held(call.thread, id?).ok_or(Errno::ESRCH)?;
    let stopped = attached::stopped(&thread)?;
    match request {
        ptrace::PTRACE_DETACH => attached::detach(&thread),
        ptrace::PTRACE_KILL => send_to_process(&thread.process, SignalInfo::kernel(Signal::KILL))?,
        ptrace::PTRACE_GETREGS => call.pointer(3).write(&general_registers(&stopped))?,
        _ => {
            // Vector registers are not kept where another thread could read them.
            if call.raw(2) != NT_PRSTATUS {
                return Err(Errno::EINVAL);
            }
            let vector = call.pointer(3);
            let room = usize::try_from(vector.offset(8)?.read_u64()?).unwrap_or(usize::MAX);
            let bytes = general_registers(&stopped);
            let count = room.min(bytes.len());
            let address = GuestAddr(vector.read_u64()?);
            address.write(&bytes[..count])?;
            vector.offset(8)?.write_u64(count as u64)?;
        }
    }
    Ok(0)
}

/// A `struct user_regs_struct`.
fn general_registers(stopped: &attached::Stopped) -> [u8; REGISTER_BYTES] {
    let registers = &stopped.registers;
    let words = [
        registers.r15,
        registers.r14,
        registers.r13,
        registers.r12,
        registers.rbp,
        registers.rbx,
        registers.r11,
        registers.r10,
        registers.r9,
        registers.r8,
        registers.rax,
        registers.rcx,
        registers.rdx,
        registers.rsi,
        registers.rdi,
        // The number of the call, or -1.
        stopped.call.unwrap_or(u64::MAX),
        registers.rip,
        CODE_SELECTOR,
        registers.rflags,
        registers.rsp,
        STACK_SELECTOR,
        registers.fs_base,
        0,
        0,
        0,
        0,
        0,
    ];
    let mut bytes = [0; REGISTER_BYTES];
    for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    bytes
}
