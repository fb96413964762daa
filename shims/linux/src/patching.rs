//! Calls that came by a trap: their text is patched, so that the next come through the gate.

use crate::task::Thread;
use capsid_core::memory::text::Urgency;
use capsid_platform::{GuestAddr, Registers};
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{__NR_clone, __NR_clone3, CLONE_VFORK, CLONE_VM};

/// Patches the text that has the `syscall` at `site`, which trapped, if it is worth it by now, and
/// points `registers` to where the guest goes on.
pub fn patch(thread: &Thread, site: GuestAddr, registers: &mut Registers) {
    let memory = thread.process.memory();
    let is_shared = memory.users.load(Ordering::SeqCst) > 1
        || thread.process.state.lock().threads.len() > 1
        || makes_thread(registers);
    let urgency = if is_shared {
        Urgency::Now
    } else {
        Urgency::Counted
    };
    registers.rip = memory.space.trapped(site, urgency);
}

/// Points `registers` to where the guest goes on that was to go on at `rip`, now that the call has
/// taken its time: the text may have been patched meanwhile.
pub fn find_way_back(thread: &Thread, registers: &mut Registers) {
    let memory = thread.process.memory();
    registers.rip = memory.space.resume_address(registers.rip);
}

/// Whether the call makes a thread that runs beside the caller in its memory.
fn makes_thread(registers: &Registers) -> bool {
    const CLONE: u64 = __NR_clone as u64;
    const CLONE3: u64 = __NR_clone3 as u64;
    let flags = match registers.rax {
        CLONE => registers.rdi,
        // A wrong pointer is found out when the call is made.
        CLONE3 => GuestAddr(registers.rdi).read_u64().unwrap_or(0),
        _ => return false,
    };
    flags & u64::from(CLONE_VM) != 0 && flags & u64::from(CLONE_VFORK) == 0
}
