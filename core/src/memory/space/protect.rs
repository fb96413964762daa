//! Changing protections, mprotect(2).

use super::{AddressSpace, MemoryLimits, host, page_range};
use capsid_platform::{Errno, GuestAddr, GuestRange, Protection};

impl AddressSpace {
    /// Sets the protection of a range: `EINVAL` if it is not aligned, `EACCES` if a file forbids
    /// it, `ENOMEM` at an address that is not mapped; what lies before is changed then.
    pub fn protect(
        &self,
        start: GuestAddr,
        length: u64,
        protection: Protection,
        limits: &MemoryLimits,
    ) -> Result<(), Errno> {
        if !start.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let range = page_range(start, length).ok_or(Errno::ENOMEM)?;
        if range.is_empty() {
            return Ok(());
        }
        let mut map = self.map.lock();
        let end = map.tree.mapped_prefix(range);
        let mut result = if end < range.end() {
            Err(Errno::ENOMEM)
        } else {
            Ok(())
        };
        let mut allowed_end = end;
        let mut new_data = 0;
        let prefix = GuestRange::between(range.start(), end).ok_or(Errno::ENOMEM)?;
        for (piece, vma) in map.tree.pieces(prefix) {
            if !vma.allowed.contains(protection) {
                allowed_end = piece.start();
                result = Err(Errno::EACCES);
                break;
            }
            let mut changed = vma.clone();
            changed.protection = protection;
            if changed.is_data() && !vma.is_data() {
                new_data += piece.len();
            }
        }
        if new_data > 0 && map.tree.data.saturating_add(new_data) > limits.data {
            return Err(Errno::ENOMEM);
        }
        let range = GuestRange::between(range.start(), allowed_end).ok_or(Errno::ENOMEM)?;
        if range.is_empty() {
            return result;
        }
        map.room_for_splits(2)?;
        if protection.contains(Protection::WRITE) {
            map.revert_all_texts(range)?;
        }
        let pieces = map
            .tree
            .overlapping(range)
            .filter(|(_, vma)| vma.protection != protection)
            .filter_map(|(start, vma)| {
                let from = start.max(range.start());
                let piece = GuestRange::between(from, vma.end.min(range.end()))?;
                Some((piece, vma.populated_end(start)))
            });
        host::protect(pieces, protection)?;
        map.tree.change(range, |vma| {
            vma.protection = protection;
            vma.note_write();
        });
        result
    }
}
