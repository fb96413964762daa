//! Words in guest memory that an ending thread lets go of: robust futexes, get_robust_list(2), and
//! the id that `CLONE_CHILD_CLEARTID` named.

use crate::task::Thread;
use capsid_core::Errno;
use capsid_core::futex::{self, ANY, Location, pi};
use capsid_core::memory::AddressSpace;
use capsid_platform::{AtomicOp, GuestAddr, platform};
use linux_raw_sys::general::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};

/// The longest list that is followed (`ROBUST_LIST_LIMIT`): it may be a loop.
const LIST_MAX: usize = 2048;
/// Set in a list pointer whose futex is of the priority-inheriting kind.
const INHERITS: u64 = 1;

/// Clears and wakes the words that others wait on. A word that cannot be reached is the guest's own
/// affair, as on Linux.
pub fn release_guest_words(thread: &Thread) {
    let (list, clear) = {
        let mut own = thread.own.lock();
        let (list, _) = core::mem::take(&mut own.robust_list);
        (list, core::mem::take(&mut own.clear_at_end))
    };
    let memory = thread.process.memory();
    if !list.is_null() {
        let _ = release_list(&memory.space, thread.id(), list);
    }
    pi::thread_ended(thread.id());
    if !clear.is_null() && clear.write_u32(0).is_ok() {
        wake_both(&memory.space, clear);
    }
}

/// Wakes one waiter at a word, whether it said that the word is its process's own or not.
fn wake_both(space: &AddressSpace, address: GuestAddr) {
    let private = Location::Private(space.id(), address.0);
    futex::wake(&private, 1, ANY);
    if let Ok(location) = space.locate(address)
        && location != private
    {
        futex::wake(&location, 1, ANY);
    }
}

fn release_list(space: &AddressSpace, id: u32, head: GuestAddr) -> Result<(), Errno> {
    let offset = head.offset(8)?.read_u64()?;
    let pending = head.offset(16)?.read_u64()?;
    let pending_entry = pending & !INHERITS;
    let mut next = head.read_u64()?;
    for _ in 0..LIST_MAX {
        let entry = next & !INHERITS;
        if entry == head.0 {
            break;
        }
        let inherits = next & INHERITS != 0;
        // The next one first: once the futex is released, its owner may free it.
        let following = GuestAddr(entry).read_u64();
        if entry != pending_entry {
            let address = GuestAddr(entry.wrapping_add(offset));
            release_futex(
                space,
                id,
                address,
                Held {
                    pending: false,
                    inherits,
                },
            )?;
        }
        next = following?;
    }
    if pending_entry != 0 {
        release_futex(
            space,
            id,
            GuestAddr(pending_entry.wrapping_add(offset)),
            Held {
                pending: true,
                inherits: pending & INHERITS != 0,
            },
        )?;
    }
    Ok(())
}

/// How a futex stands in a robust list.
#[derive(Clone, Copy)]
struct Held {
    /// The owner was about to take or leave it.
    pending: bool,
    /// It is of the priority-inheriting kind, whose waiters [`pi::thread_ended`] sees to.
    inherits: bool,
}

/// Marks a futex whose owner dies and wakes a waiter.
fn release_futex(
    space: &AddressSpace,
    id: u32,
    address: GuestAddr,
    held: Held,
) -> Result<(), Errno> {
    let mut value = platform().guest_atomic(address, AtomicOp::Load)?;
    loop {
        if held.pending && !held.inherits && value == 0 {
            // Released just now, but those who wait may not have been woken.
            wake_both(space, address);
            return Ok(());
        }
        if value & FUTEX_TID_MASK != id {
            return Ok(());
        }
        let exchange = AtomicOp::CompareExchange {
            expected: value,
            new: value & FUTEX_WAITERS | FUTEX_OWNER_DIED,
        };
        let before = platform().guest_atomic(address, exchange)?;
        if before == value {
            break;
        }
        value = before;
    }
    if value & FUTEX_WAITERS != 0 && !held.inherits {
        wake_both(space, address);
    }
    Ok(())
}
