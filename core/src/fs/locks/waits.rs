//! Who waits for whom, to find deadlocks.

use super::LockOwner;
use alloc::collections::BTreeMap;
use capsid_platform::Errno;

/// The owner that each waiting owner waits for.
///
/// Owners are descriptor tables, not threads, as on Linux: an owner that waits twice is known by
/// its last wait.
#[derive(Debug)]
pub(super) struct Waits(BTreeMap<LockOwner, LockOwner>);

impl Waits {
    pub(super) const fn new() -> Waits {
        Waits(BTreeMap::new())
    }

    /// Records a wait: `EDEADLK` if it closes a circle.
    pub(super) fn add(&mut self, waiter: LockOwner, holder: LockOwner) -> Result<(), Errno> {
        let mut at = holder;
        // A circle among others cannot be: its last wait was refused.
        while let Some(&next) = self.0.get(&at) {
            if next == waiter {
                return Err(Errno::EDEADLK);
            }
            at = next;
        }
        self.0.insert(waiter, holder);
        Ok(())
    }

    pub(super) fn remove(&mut self, waiter: LockOwner) {
        self.0.remove(&waiter);
    }
}
