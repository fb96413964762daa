//! The safe side of the gate: from a saved guest state into the library OS and back out.
//!
//! Each function here is called by [`crate::gate`] on the kernel stack and returns which exit to
//! take: [`FAST`] or [`FULL`].

use crate::area::{Block, Role, ThreadArea, Trap};
use crate::{signal, spare, start, statistics, thread};
use capsid_platform::{Entry, GuestAddr, Resume};
use core::sync::atomic::Ordering;

/// The exit that leaves `rcx` and `r11` as the `syscall` instruction does.
const FAST: u64 = 0;
/// The exit that loads every register.
const FULL: u64 = 1;

/// The arithmetic flags: carry, parity, adjust, zero, sign, overflow.
const ARITHMETIC_FLAGS: u64 = 0x8d5;
/// Flags a user may change: those, trap, direction, alignment check, identification.
const USER_FLAGS: u64 = ARITHMETIC_FLAGS | 0x100 | 0x400 | 0x4_0000 | 0x20_0000;
/// Interrupts enabled, and the bit that is always set.
const FIXED_FLAGS: u64 = 0x202;

/// Handles a system call that came through the gate.
///
/// # Safety
/// `area` is the calling thread's own, and its guest is stopped.
pub unsafe extern "C" fn syscall(area: *mut ThreadArea) -> u64 {
    // SAFETY: the caller's promise, passed on.
    unsafe { run(area, Entry::Syscall) }
}

/// Handles what a signal handler found in guest code.
///
/// # Safety
/// As for [`syscall`].
pub unsafe extern "C" fn trap(area: *mut ThreadArea) -> u64 {
    // Only here, where the signal stack next to the canary was just used: elsewhere the look would cost
    // each new process a page fault.
    if let Some(block) = Block::containing(area as usize)
        && !block.stack_intact()
    {
        signal::broken(format_args!("a kernel stack overflowed"));
    }
    // SAFETY: the handler stored `trap` on this thread before it sent the thread here.
    let trap = unsafe { (*area).trap };
    let entry = match trap {
        Trap::Syscall(site) => {
            statistics::count_trap(site);
            Entry::TrappedSyscall(GuestAddr(site))
        }
        Trap::Exception(exception) => Entry::Exception(exception),
        Trap::Interrupt => {
            // SAFETY: the field is an atomic. What was pending is what this entry is about.
            unsafe { (*area).pending.store(0, Ordering::SeqCst) };
            Entry::Interrupt
        }
    };
    // SAFETY: the caller's promise, passed on.
    unsafe { run(area, entry) }
}

/// Starts a new thread.
///
/// # Safety
/// As for [`syscall`].
pub unsafe extern "C" fn start_thread(area: *mut ThreadArea) -> u64 {
    // SAFETY: the field is an atomic.
    let role = unsafe { (*area).role.load(Ordering::Acquire) };
    if role == Role::Nursery as u32 {
        spare::run_nursery();
    }
    if role == Role::Spare as u32 || role == Role::Given as u32 {
        // SAFETY: the caller's promise, passed on.
        unsafe { spare::wait_for_thread(area) };
    }
    // SAFETY: only the thread itself touches the field.
    if unsafe { (*(*area).thread.get()).is_none() } {
        // SAFETY: the caller's promise, passed on.
        unsafe { start::boot_first_thread(area) };
    }
    // SAFETY: the caller's promise, passed on.
    unsafe { run(area, Entry::Start) }
}

/// Delivers pending interrupts on the way to the guest.
///
/// # Safety
/// As for [`syscall`].
pub unsafe extern "C" fn interrupt(area: *mut ThreadArea) -> u64 {
    // SAFETY: the field is an atomic.
    unsafe { (*area).pending.store(0, Ordering::SeqCst) };
    // SAFETY: the caller's promise, passed on.
    unsafe { run(area, Entry::Interrupt) }
}

/// Lets the library OS handle one entry, and chooses the exit.
///
/// # Safety
/// As for [`syscall`].
#[inline]
unsafe fn run(area: *mut ThreadArea, entry: Entry) -> u64 {
    // SAFETY: only the thread itself touches `thread` and `registers` while it is in the library
    // OS; other threads and the signal handler use the atomics only.
    let (thread, registers) = unsafe { ((*area).thread.get_mut(), &mut (*area).registers) };
    let resume = match thread {
        Some(thread) => thread.enter(entry, registers),
        None => Resume::Exit,
    };
    let registers = &*registers;
    if resume == Resume::Exit {
        thread::end_current();
    }
    if registers.rcx == registers.rip
        && registers.r11 == registers.rflags
        && registers.rflags & !ARITHMETIC_FLAGS == FIXED_FLAGS
    {
        return FAST;
    }
    // SAFETY: as above.
    unsafe { (*area).exit_flags = registers.rflags & USER_FLAGS | FIXED_FLAGS };
    FULL
}
