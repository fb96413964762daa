//! Guest threads and guest processes: clone(2), the end of a thread, tokens and kicks.

use crate::area::{self, Block, FREE_BLOCKS, PENDING_ENTRY, PENDING_WAIT, Role, ThreadArea};
use crate::boot::{EXIT_ORDERLY, KICK_SIGNAL};
use crate::frame::{self, Signals};
use crate::lock::Lock;
use crate::memory::{self, AtFork};
use crate::{broker, gate, host, signal, spare, start, statistics, wait};
use alloc::boxed::Box;
use capsid_platform::{Errno, GuestThread, Registers, SpawnKind, ThreadToken};
use capsid_wire::{Operation, Request};
use core::arch::{asm, global_asm};
use core::sync::atomic::Ordering;
use linux_raw_sys::general as raw;

/// Flags of clone(2) for a thread of the calling process. The filter allows these exactly.
pub const THREAD_FLAGS: u32 = raw::CLONE_VM
    | raw::CLONE_FS
    | raw::CLONE_FILES
    | raw::CLONE_SIGHAND
    | raw::CLONE_THREAD
    | raw::CLONE_SYSVSEM
    | raw::CLONE_PARENT_SETTID;
/// Flags for a guest process: a copy of the memory, the same descriptors, the broker's child.
pub const PROCESS_FLAGS: u32 =
    raw::CLONE_FILES | raw::CLONE_PARENT | raw::CLONE_PARENT_SETTID | raw::SIGCHLD;

unsafe extern "C" {
    fn capsid_clone(
        flags: usize,
        frame: usize,
        host_thread: *const u32,
        area: usize,
        fs_base: u64,
        dies_with_broker: u64,
    ) -> isize;
    fn capsid_end();
}

global_asm!(
    r#"
    .pushsection .text.capsid_thread,"ax",@progbits
    .globl capsid_clone, capsid_end

    # rdi flags, rsi stack: a frame for rt_sigreturn, rdx where the host stores the thread id,
    # rcx the child's area, r8 its FS base, r9 whether it has to ask to die with the broker. The
    # child sets its bases and loads the frame.
capsid_clone:
    push rbx
    push r12
    push r13
    mov rbx, rcx
    mov r12, r8
    mov r13, r9
    xor r8d, r8d
    xor r10d, r10d
    mov eax, {clone}
    syscall
    test rax, rax
    jz 2f
    pop r13
    pop r12
    pop rbx
    ret
2:  wrgsbase rbx
    wrfsbase r12
    test r13d, r13d
    jz 3f
    mov edi, {set_parent_death_signal}
    mov esi, {kill}
    mov eax, {prctl}
    syscall
3:  mov eax, {sigreturn}
    syscall
    hlt

    # All signals are blocked. rbx the list of free blocks, r12 where this block keeps its successor,
    # r13 this block's index + 1. From the exchange on the stack may have a new owner.
capsid_end:
    mov rax, [rbx]
2:  mov [r12], eax
    mov rdx, rax
    shr rdx, 32
    inc rdx
    shl rdx, 32
    or rdx, r13
    lock cmpxchg [rbx], rdx
    jne 2b
    mov edi, {orderly}
    mov eax, {exit}
    syscall
    hlt
    .popsection
    "#,
    clone = const raw::__NR_clone,
    prctl = const raw::__NR_prctl,
    sigreturn = const raw::__NR_rt_sigreturn,
    exit = const raw::__NR_exit,
    orderly = const EXIT_ORDERLY,
    set_parent_death_signal = const linux_raw_sys::prctl::PR_SET_PDEATHSIG,
    kill = const raw::SIGKILL,
);

/// [`ThreadArea::host_process`] of a process's first thread: the process has the thread's number.
pub const ITS_OWN: u32 = 0;

/// The host's numbers of the process and the thread of `area`.
fn host_numbers(area: &ThreadArea) -> (u32, u32) {
    let thread = area.host_thread.load(Ordering::Relaxed);
    match area.host_process.load(Ordering::Relaxed) {
        ITS_OWN => (thread, thread),
        process => (process, thread),
    }
}

/// How many low bits of a token are the block's index.
const TOKEN_BLOCK_BITS: u32 = 16;

/// The token of the thread that has a block now.
pub fn token(block: Block) -> ThreadToken {
    // SAFETY: blocks stay mapped; the field is an atomic.
    let generation = unsafe { (*block.area()).generation.load(Ordering::Relaxed) };
    ThreadToken(generation << TOKEN_BLOCK_BITS | block.0 as u64)
}

/// The block that a token's thread has or had.
pub fn block_of(token: ThreadToken) -> Block {
    let index = token.0 & ((1 << TOKEN_BLOCK_BITS) - 1);
    Block(index as usize)
}

/// The token of the calling thread.
pub fn current_token() -> ThreadToken {
    token(current_block())
}

/// The calling thread's block.
pub fn current_block() -> Block {
    match Block::containing(area::current() as usize) {
        Some(block) => block,
        None => signal::broken(format_args!("a thread runs outside the stacks")),
    }
}

/// Takes a block and fills its area for a thread that does not run yet.
pub fn prepare(
    thread: Option<Box<dyn GuestThread>>,
    registers: &Registers,
    host_process: u32,
) -> Result<Block, Errno> {
    let block = FREE_BLOCKS.take().ok_or(Errno::EAGAIN)?;
    let area = block.area();
    // SAFETY: a taken block has no other user; its memory is zero or a former thread's. A former
    // `thread` was taken out at that thread's end, so nothing is lost by overwriting.
    unsafe {
        (*area).this = area;
        (*area).gate = gate::capsid_gate as *const () as usize;
        (*area).registers = *registers;
        (*area).calls = 0;
        (*area).pending.store(0, Ordering::Relaxed);
        (&raw mut (*area).thread).write(core::cell::UnsafeCell::new(thread));
        (*area).role.store(Role::Guest as u32, Ordering::Relaxed);
        (*area).host_process.store(host_process, Ordering::Relaxed);
        (*area).host_thread.store(0, Ordering::Relaxed);
        (*area).waiting.store(0, Ordering::Relaxed);
        (*area).spin_ticks = wait::NO_SPIN_TICKS;
        (*area).idle_waits = 0;
        (*area).yields = 0;
        (*area).generation.fetch_add(1, Ordering::Relaxed);
    }
    block.set_canary();
    Ok(block)
}

/// Held by who makes a process from the host process with this number, modulo their count.
static FORKING: [Lock; 64] = [const { Lock::new() }; 64];

/// Starts a guest thread; see [`capsid_platform::Platform::spawn`].
pub fn spawn(
    kind: SpawnKind,
    thread: Box<dyn GuestThread>,
    registers: &Registers,
) -> Result<ThreadToken, Errno> {
    if kind != SpawnKind::EmptyProcess {
        return clone(kind, Role::Guest, Some(thread), registers);
    }
    spare::give(thread, registers).or_else(|thread| {
        let token = clone(kind, Role::Guest, Some(thread), registers)?;
        spare::made_on_demand();
        Ok(token)
    })
}

/// Starts a process of the library OS's own, for [`crate::spare`].
pub fn spawn_for(role: Role) -> Result<ThreadToken, Errno> {
    clone(SpawnKind::EmptyProcess, role, None, &Registers::default())
}

fn clone(
    kind: SpawnKind,
    role: Role,
    thread: Option<Box<dyn GuestThread>>,
    registers: &Registers,
) -> Result<ThreadToken, Errno> {
    let parent = area::current();
    let (flags, host_process) = match kind {
        // SAFETY: the calling thread's own area.
        SpawnKind::Thread => (THREAD_FLAGS, host_numbers(unsafe { &*parent }).0),
        SpawnKind::Process | SpawnKind::EmptyProcess => (PROCESS_FLAGS, ITS_OWN),
    };
    let block = prepare(thread, registers, host_process)?;
    let child = block.area();
    // SAFETY: both areas belong to this thread until the child runs.
    unsafe {
        (*child).xmm = (*parent).xmm;
        // A thread without a guest's must not be taken for the sandbox's first.
        (*child).role.store(role as u32, Ordering::Relaxed);
    }
    let frame = frame::build(
        block,
        gate::capsid_start_entry as *const () as usize,
        Signals::Open,
    );
    // The thread may have ended, and another have its block, when we look again.
    let token = token(block);
    let fs_base = if start::is_user_address(registers.fs_base) {
        registers.fs_base
    } else {
        0
    };
    // What a fork copies is set for the whole process: one at a time.
    let _alone = (kind != SpawnKind::Thread).then(|| {
        // SAFETY: the calling thread's own area.
        let (process, _) = host_numbers(unsafe { &*parent });
        FORKING[process as usize % FORKING.len()].lock()
    });
    if kind == SpawnKind::EmptyProcess {
        memory::set_at_fork(AtFork::Leave);
    }
    // SAFETY: the frame and the area are complete; the child continues on its own block. The host
    // stores the thread's id before the child runs, so that kicks find it.
    let result = unsafe {
        capsid_clone(
            flags as usize,
            frame,
            (*child).host_thread.as_ptr(),
            child as usize,
            fs_base,
            // In a PID namespace the end of its first process is the end of all.
            (kind != SpawnKind::Thread && !start::direct_kick()).into(),
        )
    };
    if kind == SpawnKind::EmptyProcess {
        memory::set_at_fork(AtFork::Copy);
    }
    match host::check(result) {
        Ok(_) => Ok(token),
        Err(error) => {
            // SAFETY: no thread was made, so the block is still ours alone.
            let thread = unsafe { (*(*child).thread.get()).take() };
            drop(thread);
            // SAFETY: as above.
            unsafe { (*child).generation.fetch_add(1, Ordering::Relaxed) };
            FREE_BLOCKS.give_back(block);
            Err(error)
        }
    }
}

/// Ends the calling thread after its last entry.
pub fn end_current() -> ! {
    let area = area::current();
    let block = current_block();
    // SAFETY: the thread's own area; the value is not in use, since `enter` has returned.
    let thread = unsafe { (*(*area).thread.get()).take() };
    drop(thread);
    // SAFETY: as above; tokens of this thread die here.
    unsafe {
        statistics::add_gate_calls((*area).calls);
        (*area).generation.fetch_add(1, Ordering::SeqCst);
    }
    // Between the moment the block is free and the exit, no signal may be delivered onto it.
    let frame = frame::build(block, capsid_end as *const () as usize, Signals::Blocked)
        as *mut frame::UserContext;
    // SAFETY: the frame was just built in this thread's own block, and continues at `capsid_end`.
    unsafe {
        (*frame).rbx = FREE_BLOCKS.head.as_ptr() as u64;
        (*frame).r12 = (*area).next_free.as_ptr() as u64;
        (*frame).r13 = block.0 as u64 + 1;
        load_frame(frame as usize)
    }
}

/// Continues in a hand-made frame.
///
/// # Safety
/// `frame` is what [`frame::build`] returned, and where it continues is right for the thread.
pub unsafe fn load_frame(frame: usize) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("mov rsp, {}", "syscall", "hlt", in(reg) frame,
            in("eax") raw::__NR_rt_sigreturn, options(noreturn));
    }
}

/// Interrupts a thread; see [`capsid_platform::Platform::kick`].
pub fn kick(token: ThreadToken) {
    let block = block_of(token);
    let generation = token.0 >> TOKEN_BLOCK_BITS;
    if block.0 >= crate::boot::THREAD_LIMIT {
        return;
    }
    let area = block.area();
    // SAFETY: blocks stay mapped; the fields are atomics.
    let (alive, pending) = unsafe { (&(*area).generation, &(*area).pending) };
    if alive.load(Ordering::SeqCst) != generation {
        return;
    }
    pending.fetch_or(PENDING_ENTRY | PENDING_WAIT, Ordering::SeqCst);
    // SAFETY: the area is a block's.
    if area == area::current() || unsafe { wait::wake_waiter(area) } {
        return;
    }
    // SAFETY: as above.
    let (host_process, host_thread) = host_numbers(unsafe { &*area });
    if start::direct_kick() {
        // SAFETY: a signal to a thread of this sandbox; the handler expects it.
        unsafe {
            host::call3(
                raw::__NR_tgkill,
                [
                    host_process as usize,
                    host_thread as usize,
                    KICK_SIGNAL.unsigned_abs() as usize,
                ],
            )
        };
    } else {
        let request = Request {
            operation: Operation::Kick,
            args: [host_process.into(), host_thread.into(), 0, 0, 0, 0],
            data_len: 0,
        };
        // A thread that has just ended needs no kick.
        let _ = broker::call(&request, &mut []);
    }
}
