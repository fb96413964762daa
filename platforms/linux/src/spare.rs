//! Empty processes made ahead: while a program runs, the process of the next one is made.
//!
//! A shell makes a process for each command and waits for it, so that the host's clone would be in
//! the way each time. Once a sandbox has made [`SPAWNS_BEFORE`] empty processes, one of its host
//! processes, the nursery, keeps one more of them ready. It has no guest memory, and all it does is
//! clone.

use crate::area::{self, Block, Role, ThreadArea};
use crate::{start, thread, wait};
use alloc::boxed::Box;
use capsid_platform::{GuestThread, Registers, ThreadToken};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

/// So many empty processes are made on demand: most sandboxes need no more.
const SPAWNS_BEFORE: u32 = 3;

/// Empty processes made so far.
static SPAWNS: AtomicU32 = AtomicU32::new(0);
/// The block of the spare process, plus one; 0 while there is none.
static READY: AtomicU32 = AtomicU32::new(0);
/// 1 when the nursery is to make one; it sleeps on this.
static WANTED: AtomicU32 = AtomicU32::new(0);

/// Gives a thread to the spare process, and has the next one made. Gives it back if there is none.
pub fn give(
    guest: Box<dyn GuestThread>,
    registers: &Registers,
) -> Result<ThreadToken, Box<dyn GuestThread>> {
    let Some(index) = READY.swap(0, Ordering::AcqRel).checked_sub(1) else {
        return Err(guest);
    };
    let block = Block(index as usize);
    let area = block.area();
    let token = thread::token(block);
    // SAFETY: the spare's thread looks at its role only, until that changes.
    let role = unsafe {
        *(*area).thread.get() = Some(guest);
        (*area).registers = *registers;
        (*area).xmm = (*area::current()).xmm;
        &(*area).role
    };
    role.store(Role::Given as u32, Ordering::Release);
    wait::wake(role, 1);
    WANTED.store(1, Ordering::Release);
    wait::wake(&WANTED, 1);
    Ok(token)
}

/// Notes that an empty process was made on demand, and starts the nursery when that pays: where a
/// second processor can do it meanwhile.
pub fn made_on_demand() {
    if start::has_other_processors()
        && SPAWNS.fetch_add(1, Ordering::Relaxed) + 1 == SPAWNS_BEFORE
        && thread::spawn_for(Role::Nursery).is_ok()
    {
        WANTED.store(1, Ordering::Release);
    }
}

/// Makes spare processes for as long as the sandbox lives.
pub fn run_nursery() -> ! {
    loop {
        if WANTED.swap(0, Ordering::AcqRel) == 0 {
            wait::sleep_plainly(&WANTED, 0);
        } else if let Ok(spare) = thread::spawn_for(Role::Spare) {
            let block = thread::block_of(spare);
            READY.store(block.0 as u32 + 1, Ordering::Release);
        }
    }
}

/// Waits in a spare process until it has a thread to run.
///
/// # Safety
/// `area` is the calling thread's own.
pub unsafe fn wait_for_thread(area: *mut ThreadArea) {
    // SAFETY: the field is an atomic.
    let role = unsafe { &(*area).role };
    while role.load(Ordering::Acquire) == Role::Spare as u32 {
        wait::sleep_plainly(role, Role::Spare as u32);
    }
    // SAFETY: the registers are this thread's from now on; the FS base is the guest's.
    unsafe {
        let base = (*area).registers.fs_base;
        if start::is_user_address(base) {
            asm!("wrfsbase {}", in(reg) base, options(nostack, preserves_flags));
        }
    }
}
