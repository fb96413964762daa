//! Reserving and freeing the space of tmpfs files, fallocate(2).

use super::Tmpfs;
use super::content::{Content, Data, PAGE, SIZE_MAX, split};
use super::extents::Found;
use crate::fs::Allocation;
use crate::memory::Contents;
use capsid_platform::{Errno, PAGE_SIZE, PoolMemory, platform};
use core::ops::Range;
use core::sync::atomic::Ordering;

impl Content {
    /// Makes `range` (bytes) read as zero, freeing whole pages.
    fn punch(&self, data: &mut Data, tmpfs: &Tmpfs, range: Range<u64>) {
        let first = range.start.div_ceil(PAGE);
        let last = range.end / PAGE;
        let clear = |data: &Data, from: u64, to: u64| {
            let (page, within) = split(from);
            if let Found::Pages(extent) = data.extents.find(page) {
                let length = usize::try_from(to - from).unwrap_or(PAGE_SIZE);
                platform().pool_zero(extent.start, within, length, PoolMemory::Kept);
            }
        };
        if first > last {
            // Inside one page.
            clear(data, range.start, range.end);
            return;
        }
        if range.start < first * PAGE {
            clear(data, range.start, first * PAGE);
        }
        if last * PAGE < range.end {
            clear(data, last * PAGE, range.end);
        }
        self.drop_pages(data, tmpfs, first..last);
    }

    /// Fills the holes of a range of pages with zeroed pages: `ENOSPC`, and nothing is kept then.
    pub(super) fn reserve(
        &self,
        data: &mut Data,
        tmpfs: &Tmpfs,
        range: Range<u64>,
    ) -> Result<(), Errno> {
        let there: u64 = data
            .extents
            .in_range(range.clone())
            .iter()
            .map(|extent| u64::from(extent.count))
            .sum();
        if range.end - range.start - there > tmpfs.room() {
            return Err(Errno::ENOSPC);
        }
        let mut added = alloc::vec::Vec::new();
        let mut page = range.start;
        let mut result = Ok(());
        while page < range.end {
            let left = range.end - page;
            match data.extents.find(page) {
                Found::Pages(extent) => page += u64::from(extent.count),
                Found::Hole(count) => {
                    let near = data.extents.end_before(page);
                    match tmpfs.allocate(count.min(left), near, Contents::Zeroed) {
                        Ok(allocated) => {
                            let count = u64::from(allocated.extent.count);
                            data.extents.insert(page, allocated.extent);
                            added.push(page..page + count);
                            page += count;
                        }
                        Err(error) => {
                            result = Err(error);
                            break;
                        }
                    }
                }
            }
        }
        if result.is_err() {
            for range in added {
                for extent in data.extents.remove(range) {
                    tmpfs.free(extent);
                }
            }
        }
        self.pages.store(data.extents.pages(), Ordering::Relaxed);
        result
    }

    /// Reserves or frees space, fallocate(2).
    pub(super) fn allocate(
        &self,
        tmpfs: &Tmpfs,
        what: Allocation,
        offset: u64,
        length: u64,
    ) -> Result<(), Errno> {
        if length == 0 {
            return Err(Errno::EINVAL);
        }
        let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
        if end > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let mut data = self.data.write();
        let size = self.size();
        let pages = offset / PAGE..end.div_ceil(PAGE);
        match what {
            Allocation::Extend | Allocation::KeepSize => {
                self.reserve(&mut data, tmpfs, pages)?;
            }
            Allocation::PunchHole => self.punch(&mut data, tmpfs, offset..end),
            Allocation::Zero | Allocation::ZeroKeepSize => {
                self.punch(&mut data, tmpfs, offset..end);
                self.reserve(&mut data, tmpfs, pages)?;
            }
            Allocation::Collapse | Allocation::Insert => {
                if !offset.is_multiple_of(PAGE) || !length.is_multiple_of(PAGE) {
                    return Err(Errno::EINVAL);
                }
                if data.held > 0 {
                    // Mappings of pages that move would show the wrong bytes.
                    return Err(Errno::EOPNOTSUPP);
                }
                return self.move_pages(&mut data, tmpfs, what, offset..end);
            }
        }
        if matches!(what, Allocation::Extend | Allocation::Zero) && end > size {
            self.clear_tail(&data, size);
            self.size.store(end, Ordering::Relaxed);
        }
        self.touch();
        Ok(())
    }

    fn move_pages(
        &self,
        data: &mut Data,
        tmpfs: &Tmpfs,
        what: Allocation,
        range: Range<u64>,
    ) -> Result<(), Errno> {
        let size = self.size();
        let length = range.end - range.start;
        let (first, last) = (range.start / PAGE, range.end / PAGE);
        let new_size = if what == Allocation::Collapse {
            if range.end >= size {
                return Err(Errno::EINVAL);
            }
            self.drop_pages(data, tmpfs, first..last);
            data.extents.shift(last, first);
            size - length
        } else {
            if range.start >= size {
                return Err(Errno::EINVAL);
            }
            let grown = size.checked_add(length).filter(|size| *size <= SIZE_MAX);
            let grown = grown.ok_or(Errno::EFBIG)?;
            data.extents.shift(first, last);
            grown
        };
        self.size.store(new_size, Ordering::Relaxed);
        self.touch();
        Ok(())
    }
}
