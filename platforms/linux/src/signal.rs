//! Host signals: traps and interrupts of guest code, and faults of our own.
//!
//! A handler runs on the thread's signal stack with all signals blocked. For guest code it moves the
//! guest's general registers to the thread area and lets rt_sigreturn(2) continue in the library OS:
//! the extended state that it restores is still the guest's. In our own text it repairs what has a
//! repair (guest copies, exit and wait windows), remembers interrupts for later, and ends the
//! sandbox on anything else.

use crate::area::{Block, PENDING_ENTRY, PENDING_WAIT, ThreadArea, Trap};
use crate::boot::{EXIT_BROKEN, KICK_SIGNAL};
use crate::frame::{self, UserContext};
use crate::program::Program;
use crate::{broker, copy, gate, host, wait, xstate};
use capsid_platform::{Errno, Exception, GuestAddr, Registers};
use core::arch::{asm, global_asm};
use core::sync::atomic::Ordering;
use linux_raw_sys::general as raw;

/// The kernel's `struct sigaction` on x86-64.
#[repr(C)]
struct SignalAction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// The start of `siginfo_t`, with the fields of `SIGSYS`.
#[repr(C)]
#[derive(Debug)]
pub struct SignalInfo {
    signal: i32,
    errno: i32,
    code: i32,
    padding: i32,
    call_address: u64,
    call_number: i32,
    architecture: u32,
}

const TRAPS: [u32; 6] = [
    raw::SIGSYS,
    raw::SIGSEGV,
    raw::SIGBUS,
    raw::SIGFPE,
    raw::SIGILL,
    raw::SIGTRAP,
];
const INTERRUPTS: [u32; 4] = [
    raw::SIGALRM,
    raw::SIGVTALRM,
    raw::SIGPROF,
    KICK_SIGNAL.unsigned_abs(),
];
/// Signals that a terminal, a limit or a donated descriptor could raise; the guest gets its own from
/// the library OS.
const IGNORED: [u32; 10] = [
    raw::SIGHUP,
    raw::SIGINT,
    raw::SIGQUIT,
    raw::SIGPIPE,
    raw::SIGTSTP,
    raw::SIGTTIN,
    raw::SIGTTOU,
    raw::SIGXFSZ,
    raw::SIGUSR1,
    raw::SIGUSR2,
];

/// `AUDIT_ARCH_X86_64`.
const ARCH_X86_64: u32 = 0xc000_003e;
/// The flag for single steps.
const TRAP_FLAG: u64 = 0x100;
const DIVIDE: u8 = 0;
const DEBUG: u8 = 1;
const BREAKPOINT: u8 = 3;
const OVERFLOW: u8 = 4;
const BOUND_RANGE: u8 = 5;
const INVALID_OPCODE: u8 = 6;
const STACK_SEGMENT: u8 = 12;
const GENERAL_PROTECTION: u8 = 13;
const PAGE_FAULT: u8 = 14;
const X87: u8 = 16;
const ALIGNMENT_CHECK: u8 = 17;
const SIMD: u8 = 19;

unsafe extern "C" {
    fn capsid_signal_return();
}

global_asm!(
    r#"
    .pushsection .text.capsid_signal_return,"ax",@progbits
    .globl capsid_signal_return
capsid_signal_return:
    mov eax, 15
    syscall
    hlt
    .popsection
    "#
);

fn set_action(signal: u32, handler: usize, flags: u32) -> Result<(), Errno> {
    let action = SignalAction {
        handler,
        flags: u64::from(flags | raw::SA_RESTORER),
        restorer: capsid_signal_return as *const () as usize,
        mask: u64::MAX,
    };
    // SAFETY: the handlers below keep the rules of this module.
    let result = unsafe {
        host::call6(
            raw::__NR_rt_sigaction,
            [signal as usize, &raw const action as usize, 0, 8, 0, 0],
        )
    };
    host::check(result).map(drop)
}

/// Takes one signal to learn the format of the host's frames.
pub fn learn_frame_format() -> Result<(), Errno> {
    unsafe extern "C" fn handler(_: i32, _: *const SignalInfo, context: *const UserContext) {
        // SAFETY: the host gave us the frame.
        unsafe { xstate::learn((*context).extended_state as *const u8) };
    }
    set_action(raw::SIGTRAP, handler as *const () as usize, raw::SA_SIGINFO)?;
    // SAFETY: the handler above returns to the next instruction.
    unsafe { asm!("int3") };
    Ok(())
}

/// Installs the handlers of a running sandbox.
pub fn install() -> Result<(), Errno> {
    let flags = raw::SA_SIGINFO | raw::SA_ONSTACK;
    for signal in TRAPS {
        set_action(signal, on_trap as *const () as usize, flags)?;
    }
    for signal in INTERRUPTS {
        set_action(signal, on_interrupt as *const () as usize, flags)?;
    }
    for signal in IGNORED {
        set_action(signal, 1, 0)?;
    }
    Ok(())
}

/// Where a signal found its thread.
enum Place {
    /// In guest code.
    Guest,
    /// In our own text.
    Program,
    /// In the host's vDSO, called by us.
    CalledByUs,
}

fn place(context: &UserContext, block: Block) -> Place {
    if Program::get().text_contains(context.rip) {
        Place::Program
    } else if block.contains(context.rsp as usize) {
        Place::CalledByUs
    } else {
        Place::Guest
    }
}

/// The block whose stack the calling function runs on.
fn this_block(on_stack: &SignalInfo) -> Block {
    match Block::containing(core::ptr::from_ref(on_stack) as usize) {
        Some(block) => block,
        None => host::exit(EXIT_BROKEN),
    }
}

unsafe extern "C" fn on_trap(signal: i32, info: *const SignalInfo, context: *mut UserContext) {
    // SAFETY: the host laid both on this thread's signal stack.
    let (info, context) = unsafe { (&*info, &mut *context) };
    let block = this_block(info);
    let signal = signal.unsigned_abs();
    match place(context, block) {
        Place::Guest if signal == raw::SIGSYS => trapped_call(info, context, block),
        Place::Guest => {
            let exception = exception(signal, info, context);
            to_library_os(context, block, Trap::Exception(exception));
        }
        Place::Program => program_fault(signal, context, block),
        Place::CalledByUs if signal == raw::SIGSYS => {
            // The vDSO wanted to ask the host's kernel. It may not; the caller has another way.
            context.rax = Errno::ENOSYS.as_return_value();
        }
        Place::CalledByUs => fault(signal, context),
    }
}

unsafe extern "C" fn on_interrupt(_: i32, info: *const SignalInfo, context: *mut UserContext) {
    // SAFETY: as in `on_trap`.
    let (info, context) = unsafe { (&*info, &mut *context) };
    let block = this_block(info);
    match place(context, block) {
        Place::Guest => to_library_os(context, block, Trap::Interrupt),
        Place::CalledByUs => remember(block),
        Place::Program => {
            remember(block);
            if in_exit_window(context.rip) {
                restart_exit(context, block);
            } else if let Some(target) = wait::window_target(context.rip) {
                context.rip = target;
            }
        }
    }
}

fn remember(block: Block) {
    // SAFETY: blocks stay mapped; the field is an atomic.
    let pending = unsafe { &(*block.area()).pending };
    pending.fetch_or(PENDING_ENTRY | PENDING_WAIT, Ordering::SeqCst);
}

fn in_exit_window(rip: u64) -> bool {
    let inside = |start: unsafe extern "C" fn(), end: unsafe extern "C" fn()| {
        (start as *const () as u64..end as *const () as u64).contains(&rip)
    };
    inside(gate::capsid_fast_window, gate::capsid_fast_window_end)
        || inside(gate::capsid_full_window, gate::capsid_full_window_end)
}

fn restart_exit(context: &mut UserContext, block: Block) {
    context.rip = gate::capsid_exit_again as *const () as u64;
    context.rsp = block.area() as u64;
    context.rflags = 0x202;
}

/// Continues in the library OS, with the guest's registers saved.
fn to_library_os(context: &mut UserContext, block: Block, trap: Trap) {
    let registers = Registers {
        rax: context.rax,
        rbx: context.rbx,
        rcx: context.rcx,
        rdx: context.rdx,
        rsi: context.rsi,
        rdi: context.rdi,
        rbp: context.rbp,
        rsp: context.rsp,
        r8: context.r8,
        r9: context.r9,
        r10: context.r10,
        r11: context.r11,
        r12: context.r12,
        r13: context.r13,
        r14: context.r14,
        r15: context.r15,
        rip: context.rip,
        rflags: context.rflags,
        fs_base: 0,
    };
    let area: *mut ThreadArea = block.area();
    // SAFETY: the thread was in the guest, so nothing in the library OS uses its registers.
    unsafe {
        (*area).registers = registers;
        (*area).trap = trap;
    }
    context.rip = gate::capsid_trap_entry as *const () as u64;
    context.rsp = area as u64;
    context.rflags = 0x202;
    // The guest may have jumped to a 32-bit code segment.
    context.segments = frame::SEGMENTS;
}

/// A system call that seccomp stopped in guest code.
fn trapped_call(info: &SignalInfo, context: &mut UserContext, block: Block) {
    if info.architecture != ARCH_X86_64 {
        // `int 0x80` and `sysenter`: the 32-bit calls are not part of the guest's ABI. `sysenter`
        // would return to 32-bit code: the exit loads 64-bit segments instead, and the guest faults.
        context.rax = Errno::ENOSYS.as_return_value();
        context.segments = frame::SEGMENTS;
        return;
    }
    // The host undid the call: `rax` holds the number again. After a call through the vsyscall page
    // it has also returned for the guest, so that `rip` is right in both cases.
    context.rax = u64::from(info.call_number.cast_unsigned());
    let site = if info.call_address == context.rip {
        context.rip.wrapping_sub(2)
    } else {
        info.call_address
    };
    to_library_os(context, block, Trap::Syscall(site));
}

fn exception(signal: u32, info: &SignalInfo, context: &UserContext) -> Exception {
    // The host can send these signals without an exception; its trap number is then an old one.
    let vectors: &[u8] = match signal {
        raw::SIGFPE => &[DIVIDE, X87, SIMD],
        raw::SIGILL => &[INVALID_OPCODE],
        raw::SIGTRAP => &[BREAKPOINT, DEBUG],
        raw::SIGBUS => &[PAGE_FAULT, STACK_SEGMENT, ALIGNMENT_CHECK],
        _ => &[GENERAL_PROTECTION, PAGE_FAULT, OVERFLOW, BOUND_RANGE],
    };
    let vector = u8::try_from(context.trap_number)
        .ok()
        .filter(|vector| vectors.contains(vector))
        .unwrap_or(vectors[0]);
    let address = match vector {
        PAGE_FAULT => context.fault_address,
        _ => 0,
    };
    Exception {
        vector,
        error_code: context.error as u32,
        address: GuestAddr(address),
        beyond_backing: vector == PAGE_FAULT && signal == raw::SIGBUS && info.code > 0,
    }
}

/// A fault at an instruction of our own.
fn program_fault(signal: u32, context: &mut UserContext, block: Block) {
    if signal == raw::SIGTRAP && context.trap_number == u64::from(DEBUG) {
        // The guest entered the gate while single-stepping itself.
        context.rflags &= !TRAP_FLAG;
    } else if let Some(target) = copy::repair(context.rip) {
        context.rip = target;
    } else if in_exit_window(context.rip) {
        // The registers to load are the guest's mistake: an address no jump can go to.
        // SAFETY: the thread is on its way to the guest; its registers are final.
        unsafe {
            (*block.area()).trap = Trap::Exception(Exception {
                vector: GENERAL_PROTECTION,
                error_code: 0,
                address: GuestAddr(0),
                beyond_backing: false,
            });
            // The trap entry saves xmm0 to xmm15 again: load the guest's.
            restore_xmm(context, block);
        }
        context.rip = gate::capsid_trap_entry as *const () as u64;
        context.rsp = block.area() as u64;
        context.rflags = 0x202;
    } else {
        fault(signal, context);
    }
}

/// Puts the saved xmm0 to xmm15 into the frame.
///
/// # Safety
/// The frame is the host's, and the thread is in an exit window.
unsafe fn restore_xmm(context: &UserContext, block: Block) {
    const XMM: u64 = 160;
    // SAFETY: the caller's promise.
    unsafe {
        let xmm = (&raw const (*block.area()).xmm).cast::<u8>();
        ((context.extended_state + XMM) as *mut u8).copy_from_nonoverlapping(xmm, 256);
    }
}

fn fault(signal: u32, context: &UserContext) -> ! {
    broken(format_args!(
        "signal {signal} in the library OS at {:#x}, address {:#x}, rsp {:#x}",
        context.rip, context.fault_address, context.rsp
    ))
}

/// Says why the library OS cannot go on, and ends the sandbox.
pub fn broken(reason: core::fmt::Arguments<'_>) -> ! {
    broker::log_format(format_args!("capsid: {reason}"));
    broker::shut_down();
    host::exit(EXIT_BROKEN)
}
