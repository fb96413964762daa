//! Locking memory, mlock(2), mlockall(2).

use super::vma::PAGE;
use super::{AddressSpace, MemoryLimits, VmaFlags, host, page_range, round_up};
use capsid_platform::{Advice, Errno, GuestAddr, GuestRange, platform};

impl AddressSpace {
    /// Locks or unlocks a range: `ENOMEM` if part of it is not mapped or the limit is passed.
    ///
    /// The pages are faulted in, and counted; the host may still page them out.
    pub fn lock(
        &self,
        start: GuestAddr,
        length: u64,
        lock: bool,
        limits: &MemoryLimits,
    ) -> Result<(), Errno> {
        let aligned = GuestAddr(start.0 / PAGE * PAGE);
        let length = length.checked_add(start.0 - aligned.0).and_then(round_up);
        let range = length
            .and_then(|length| page_range(aligned, length))
            .ok_or(Errno::EINVAL)?;
        if range.is_empty() {
            return Ok(());
        }
        let mut map = self.map.lock();
        if map.tree.mapped_prefix(range) < range.end() {
            return Err(Errno::ENOMEM);
        }
        if lock {
            let new = map
                .tree
                .pieces(range)
                .filter(|(_, vma)| !vma.flags.contains(VmaFlags::LOCKED))
                .map(|(piece, _)| piece.len())
                .sum();
            if map.tree.locked.saturating_add(new) > limits.locked {
                return Err(Errno::ENOMEM);
            }
        }
        map.room_for_splits(2)?;
        map.tree
            .change(range, |vma| vma.flags.set(VmaFlags::LOCKED, lock));
        if lock {
            for piece in host::populated_runs(map.tree.populated_pieces(range)) {
                let _ = platform().advise(piece, Advice::PopulateRead);
            }
        }
        Ok(())
    }

    /// Locks what is mapped now, what will be, or both, mlockall(2): `ENOMEM` past the limit.
    pub fn lock_all(
        &self,
        current: bool,
        future: bool,
        limits: &MemoryLimits,
    ) -> Result<(), Errno> {
        let mut map = self.map.lock();
        if current && map.tree.total > limits.locked {
            return Err(Errno::ENOMEM);
        }
        map.lock_future = future;
        if current && let Some(all) = GuestRange::between(0, u64::MAX) {
            map.tree
                .change(all, |vma| vma.flags.insert(VmaFlags::LOCKED));
        }
        Ok(())
    }

    /// Unlocks everything, munlockall(2).
    pub fn unlock_all(&self) {
        let mut map = self.map.lock();
        map.lock_future = false;
        if let Some(all) = GuestRange::between(0, u64::MAX) {
            map.tree
                .change(all, |vma| vma.flags.remove(VmaFlags::LOCKED));
        }
    }
}
