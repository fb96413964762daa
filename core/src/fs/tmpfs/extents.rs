//! Which pool pages hold which pages of a file.

use crate::memory::Extent;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use capsid_platform::PoolPage;
use core::ops::Range;

/// The pages of one file, by their number in it.
#[derive(Debug, Default)]
pub(super) struct ExtentMap {
    runs: BTreeMap<u64, Extent>,
    pages: u64,
}

/// What lies at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Consecutive pages, from the one asked for on.
    Pages(Extent),
    /// Nothing, for this many pages.
    Hole(u64),
}

impl ExtentMap {
    /// Number of pages that are there.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Looks `page` up.
    pub(super) fn find(&self, page: u64) -> Found {
        if let Some((&start, extent)) = self.runs.range(..=page).next_back() {
            let skip = page - start;
            if skip < u64::from(extent.count) {
                return Found::Pages(tail(extent, skip));
            }
        }
        match self.runs.range(page..).next() {
            Some((&next, _)) => Found::Hole(next - page),
            None => Found::Hole(u64::MAX - page),
        }
    }

    /// The pool page that follows what the file has before `page`, if that is adjacent.
    pub(super) fn end_before(&self, page: u64) -> Option<PoolPage> {
        let (&start, extent) = self.runs.range(..page).next_back()?;
        let adjacent = start + u64::from(extent.count) == page;
        adjacent.then(|| PoolPage(extent.start.0 + extent.count))
    }

    /// Puts an extent into a hole.
    pub(super) fn insert(&mut self, page: u64, extent: Extent) {
        self.pages += u64::from(extent.count);
        let (mut page, mut extent) = (page, extent);
        if let Some((&start, before)) = self.runs.range(..page).next_back()
            && start + u64::from(before.count) == page
            && before.start.0 + before.count == extent.start.0
        {
            extent = Extent {
                start: before.start,
                count: before.count + extent.count,
            };
            page = start;
        }
        let end = page + u64::from(extent.count);
        if let Some(after) = self.runs.get(&end)
            && extent.start.0 + extent.count == after.start.0
        {
            extent.count += after.count;
            self.runs.remove(&end);
        }
        self.runs.insert(page, extent);
    }

    /// Takes a range of pages out.
    pub(super) fn remove(&mut self, range: Range<u64>) -> Vec<Extent> {
        let mut removed = Vec::new();
        self.split(range.start);
        self.split(range.end);
        while let Some((&start, &extent)) = self.runs.range(range.clone()).next() {
            self.runs.remove(&start);
            self.pages -= u64::from(extent.count);
            removed.push(extent);
        }
        removed
    }

    /// Makes no run reach over `page`.
    fn split(&mut self, page: u64) {
        let Some((&start, extent)) = self.runs.range(..page).next_back() else {
            return;
        };
        let skip = page - start;
        if skip >= u64::from(extent.count) {
            return;
        }
        let after = tail(extent, skip);
        let before = Extent {
            start: extent.start,
            count: extent.count - after.count,
        };
        self.runs.insert(start, before);
        self.runs.insert(page, after);
    }

    /// Moves everything from page `from` on to begin at page `to`; what was between is gone.
    pub(super) fn shift(&mut self, from: u64, to: u64) {
        self.split(from);
        let moved = self.runs.split_off(&from);
        for (page, extent) in moved {
            self.pages -= u64::from(extent.count);
            self.insert(page - from + to, extent);
        }
    }

    /// The runs of a range of pages, cut to it.
    pub(super) fn in_range(&self, range: Range<u64>) -> Vec<Extent> {
        let mut found = Vec::new();
        let mut page = range.start;
        while page < range.end {
            let left = range.end - page;
            match self.find(page) {
                Found::Hole(count) => page = page.saturating_add(count),
                Found::Pages(extent) => {
                    let count = u64::from(extent.count).min(left);
                    found.push(Extent {
                        start: extent.start,
                        count: u32::try_from(count).unwrap_or(extent.count),
                    });
                    page += count;
                }
            }
        }
        found
    }
}

/// The extent without its first `skip` pages, of which it has more.
fn tail(extent: &Extent, skip: u64) -> Extent {
    let skip = u32::try_from(skip).unwrap_or(extent.count);
    Extent {
        start: PoolPage(extent.start.0 + skip),
        count: extent.count - skip,
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, ExtentMap, Found};
    use capsid_platform::PoolPage;

    fn extent(start: u32, count: u32) -> Extent {
        Extent {
            start: PoolPage(start),
            count,
        }
    }

    #[test]
    fn neighbours_join_and_split() {
        let mut map = ExtentMap::default();
        map.insert(10, extent(100, 5));
        map.insert(20, extent(110, 5));
        map.insert(15, extent(105, 5));
        assert_eq!(map.find(12), Found::Pages(extent(102, 13)));
        assert_eq!(map.end_before(25), Some(PoolPage(115)));
        assert_eq!(map.remove(12..14), [extent(102, 2)]);
        assert_eq!(map.find(12), Found::Hole(2));
        assert_eq!(map.pages(), 13);
        map.shift(14, 12);
        assert_eq!(map.find(12), Found::Pages(extent(104, 11)));
        assert_eq!(map.in_range(0..14), [extent(100, 2), extent(104, 2)]);
    }
}
