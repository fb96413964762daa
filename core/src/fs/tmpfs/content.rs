//! The bytes of a tmpfs file: reading, writing, cutting, holes.
//!
//! Bytes of allocated pages beyond the end of the file are zero, except in a page that is mapped
//! shared, where a guest can write there; they are cleared when the file grows over them. Pages
//! that are cut off or punched while mapped are cleared and stay with the file until the last
//! mapping goes, so that mappings and file stay one.

use super::Tmpfs;
use super::extents::{ExtentMap, Found};
use super::spare::Spare;
use crate::io::{Destination, Source};
use crate::memory::{Allocated, Contents, Extent};
use crate::sync::RwLock;
use capsid_platform::{Errno, PAGE_SIZE, PoolMemory, PoolPage, platform};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

pub(super) const PAGE: u64 = PAGE_SIZE as u64;
/// The largest size, in bytes.
pub(super) const SIZE_MAX: u64 = i64::MAX.cast_unsigned();
/// A file that grows gets as many pages ahead as it has, up to this many: 1 MiB.
const AHEAD_PAGES_MAX: u64 = 256;
/// How many times the pages ahead must be there for some to be set aside.
const ROOM_PER_AHEAD: u64 = 16;
/// Cleared in place up to this many pages; more are given back to the host.
const ZERO_PAGES_MAX: u32 = 16;

/// The contents of a regular file.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) data: RwLock<Data>,
    /// Written under the lock.
    pub(super) size: AtomicU64,
    pub(super) pages: AtomicU64,
    version: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) extents: ExtentMap,
    /// Pages mapped, each as often as it is.
    pub(super) held: u64,
    /// Pages set aside for the file to grow into.
    spare: Spare,
    /// The file was cut while mapped: pages lie beyond its end for the mappings' sake.
    cut: bool,
}

/// The offset in its page, and the number of that page.
pub(super) fn split(offset: u64) -> (u64, usize) {
    // The remainder is below the page size.
    (offset / PAGE, usize::try_from(offset % PAGE).unwrap_or(0))
}

fn bytes(pages: u64) -> usize {
    usize::try_from(pages.saturating_mul(PAGE)).unwrap_or(usize::MAX)
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Allocated pages.
    pub(super) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn touch(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Copies from `offset` on.
    pub(super) fn read(
        &self,
        offset: u64,
        destination: &mut Destination<'_>,
    ) -> Result<usize, Errno> {
        let data = self.data.read();
        let left = self.size().saturating_sub(offset);
        let wanted = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(destination.remaining());
        let mut done = 0;
        while done < wanted {
            let (page, within) = split(offset + done as u64);
            let step = match data.extents.find(page) {
                Found::Pages(extent) => {
                    let count = (bytes(extent.count.into()) - within).min(wanted - done);
                    (destination.put_pool(extent.start, within, count), count)
                }
                Found::Hole(pages) => {
                    let count = bytes(pages).saturating_sub(within).min(wanted - done);
                    (destination.put_zeros(count), count)
                }
            };
            match step {
                (Ok(moved), count) => {
                    done += moved;
                    if moved < count {
                        break;
                    }
                }
                (Err(_), _) if done > 0 => break,
                (Err(error), _) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Copies to `offset`, or to the end if that is `None`; returns how many bytes and the offset
    /// after them.
    pub(super) fn write(
        &self,
        tmpfs: &Tmpfs,
        offset: Option<u64>,
        source: &mut Source<'_>,
    ) -> Result<(usize, u64), Errno> {
        let mut data = self.data.write();
        let offset = offset.unwrap_or_else(|| self.size());
        if offset >= SIZE_MAX && source.remaining() > 0 {
            return Err(Errno::EFBIG);
        }
        let room = usize::try_from(SIZE_MAX.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = source.remaining().min(room);
        if offset > self.size() && wanted > 0 && data.held > 0 {
            self.clear_tail(&data, self.size());
        }
        let mut done = 0;
        let mut result = Ok(());
        while done < wanted {
            let at = offset + done as u64;
            let (page, within) = split(at);
            let step = match data.extents.find(page) {
                Found::Pages(extent) => {
                    let count = (bytes(extent.count.into()) - within).min(wanted - done);
                    source
                        .take_pool(extent.start, within, count)
                        .map(|moved| (moved, count))
                }
                Found::Hole(pages) => {
                    let count = bytes(pages).saturating_sub(within).min(wanted - done);
                    self.fill_hole(&mut data, tmpfs, at, count, source)
                }
            };
            match step {
                Ok((moved, count)) => {
                    done += moved;
                    if moved < count {
                        break;
                    }
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        if done == 0 {
            return result.map(|()| (0, offset));
        }
        let end = offset + done as u64;
        if end > self.size() {
            self.size.store(end, Ordering::Relaxed);
        }
        self.touch();
        Ok((done, end))
    }

    /// Allocates pages for up to `count` bytes at `offset`, in a hole, and copies to them.
    /// Returns how many bytes were copied and how many were meant to be.
    fn fill_hole(
        &self,
        data: &mut Data,
        tmpfs: &Tmpfs,
        offset: u64,
        count: usize,
        source: &mut Source<'_>,
    ) -> Result<(usize, usize), Errno> {
        let (page, within) = split(offset);
        let pages = (within + count).div_ceil(PAGE_SIZE) as u64;
        let allocated = self.take_pages(data, tmpfs, page, pages)?;
        let extent = allocated.extent;
        let space = bytes(extent.count.into());
        let meant = count.min(space - within);
        let moved = source.take_pool(extent.start, within, meant);
        let copied = *moved.as_ref().unwrap_or(&0);
        let kept = if copied == 0 {
            0
        } else {
            u32::try_from((within + copied).div_ceil(PAGE_SIZE)).unwrap_or(extent.count)
        };
        if allocated.contents == Contents::Unspecified && kept > 0 {
            platform().pool_zero(extent.start, 0, within, PoolMemory::Kept);
            let end = within + copied;
            platform().pool_zero(
                extent.start,
                end,
                bytes(kept.into()) - end,
                PoolMemory::Kept,
            );
        }
        let start = PoolPage(extent.start.0 + kept);
        let unused = Extent {
            start,
            count: extent.count - kept,
        };
        if unused.count > 0 {
            tmpfs.free(unused);
        }
        if kept > 0 {
            let used = Extent {
                start: extent.start,
                count: kept,
            };
            data.extents.insert(page, used);
            self.pages.store(data.extents.pages(), Ordering::Relaxed);
        }
        moved.map(|moved| (moved, meant))
    }

    /// Up to `count` pages for a hole that begins at `page`. A file that goes on growing at its
    /// end gets more than it needs, so that two files that grow at once have long runs each.
    fn take_pages(
        &self,
        data: &mut Data,
        tmpfs: &Tmpfs,
        page: u64,
        count: u64,
    ) -> Result<Allocated, Errno> {
        let near = data.extents.end_before(page);
        if let Some(near) = near
            && let Some(spare) = data.spare.take(near, count)
        {
            return Ok(spare);
        }
        let grows = near.is_some() && page >= self.size().div_ceil(PAGE);
        let ahead = data.extents.pages().min(AHEAD_PAGES_MAX);
        if !grows || ahead <= count || tmpfs.room() / ROOM_PER_AHEAD < ahead {
            return tmpfs.allocate(count, near, Contents::Unspecified);
        }
        data.spare.release(tmpfs);
        let allocated = tmpfs.allocate(ahead, near, Contents::Unspecified)?;
        Ok(data.spare.keep_beyond(allocated, count))
    }

    /// Gives back what was set aside for growing.
    pub(super) fn settle(&self, tmpfs: &Tmpfs) {
        // Nothing to do for most: readers pass without the lock for writing.
        if self.data.read().spare.is_empty() {
            return;
        }
        self.data.write().spare.release(tmpfs);
    }

    /// Clears the page that `end` lies in from there on: a mapping may have written to it.
    pub(super) fn clear_tail(&self, data: &Data, end: u64) {
        let (page, within) = split(end);
        if within == 0 {
            return;
        }
        if let Found::Pages(extent) = data.extents.find(page) {
            platform().pool_zero(extent.start, within, PAGE_SIZE - within, PoolMemory::Kept);
        }
    }

    /// Sets the size.
    pub(super) fn truncate(&self, tmpfs: &Tmpfs, size: u64) -> Result<(), Errno> {
        if size > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let mut data = self.data.write();
        let before = self.size();
        if size < before || data.held > 0 {
            self.clear_tail(&data, before.min(size));
        }
        if size <= before {
            let range = size.div_ceil(PAGE)..u64::MAX;
            data.cut |= data.held > 0;
            data.spare.release(tmpfs);
            self.drop_pages(&mut data, tmpfs, range);
        }
        self.size.store(size, Ordering::Relaxed);
        self.touch();
        Ok(())
    }

    /// Frees the pages of a range; clears those of a mapped file instead.
    pub(super) fn drop_pages(&self, data: &mut Data, tmpfs: &Tmpfs, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if data.held > 0 {
            for extent in data.extents.in_range(range) {
                if extent.count <= ZERO_PAGES_MAX {
                    platform().pool_zero(
                        extent.start,
                        0,
                        bytes(extent.count.into()),
                        PoolMemory::Kept,
                    );
                } else {
                    platform().pool_zero(
                        extent.start,
                        0,
                        extent.count as usize * PAGE_SIZE,
                        PoolMemory::GivenBack,
                    );
                }
            }
            return;
        }
        for extent in data.extents.remove(range) {
            tmpfs.free(extent);
        }
        self.pages.store(data.extents.pages(), Ordering::Relaxed);
    }

    /// The next data, or the next hole, at or after `offset`: `ENXIO`.
    pub(super) fn seek(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        let data = self.data.read();
        let size = self.size();
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        let mut at = offset;
        while at < size {
            let page = at / PAGE;
            let (is_hole, count) = match data.extents.find(page) {
                Found::Pages(extent) => (false, u64::from(extent.count)),
                Found::Hole(count) => (true, count),
            };
            if is_hole == hole {
                return Ok(at);
            }
            at = page.saturating_add(count).saturating_mul(PAGE);
        }
        if hole { Ok(size) } else { Err(Errno::ENXIO) }
    }

    /// Where the page-aligned `offset` lies, for a mapping of up to `length` bytes: the first of
    /// consecutive pages, or `None` for a hole, and how many bytes. `fill` leaves no holes.
    pub(super) fn backing(
        &self,
        tmpfs: &Tmpfs,
        offset: u64,
        length: u64,
        fill: bool,
    ) -> Result<(Option<PoolPage>, u64), Errno> {
        let first = offset / PAGE;
        let pages = length.div_ceil(PAGE).max(1);
        let found = self.data.read().extents.find(first);
        if fill && matches!(found, Found::Hole(_)) {
            let last = first.saturating_add(pages).min(self.size().div_ceil(PAGE));
            let mut data = self.data.write();
            self.reserve(&mut data, tmpfs, first..last.max(first + 1))?;
        }
        if fill {
            self.touch();
        }
        Ok(match self.data.read().extents.find(first) {
            Found::Pages(extent) => {
                let count = u64::from(extent.count).min(pages);
                (Some(extent.start), count * PAGE)
            }
            Found::Hole(count) => (None, count.min(pages) * PAGE),
        })
    }

    /// Whether some of it is mapped.
    pub(super) fn is_mapped(&self) -> bool {
        self.data.read().held > 0
    }

    /// Notes that `length` bytes were mapped or unmapped.
    pub(super) fn hold(&self, tmpfs: &Tmpfs, length: u64, mapped: bool) {
        let pages = length.div_ceil(PAGE);
        let mut data = self.data.write();
        if mapped {
            data.held += pages;
            return;
        }
        data.held = data.held.saturating_sub(pages);
        if data.held == 0 {
            self.clear_tail(&data, self.size());
            if core::mem::take(&mut data.cut) {
                let range = self.size().div_ceil(PAGE)..u64::MAX;
                self.drop_pages(&mut data, tmpfs, range);
            }
        }
    }

    /// Frees everything: the inode goes.
    pub(super) fn free(&mut self, tmpfs: &Tmpfs) {
        let data = self.data.get_mut();
        data.held = 0;
        data.spare.release(tmpfs);
        for extent in data.extents.remove(0..u64::MAX) {
            tmpfs.free(extent);
        }
    }
}
