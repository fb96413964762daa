//! Sets of page runs, found by place and by length.

use alloc::collections::{BTreeMap, BTreeSet};

/// Disjoint runs of pages, none of which touch.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Start to length.
    by_start: BTreeMap<u32, u32>,
    /// Length and start.
    by_length: BTreeSet<(u32, u32)>,
    pages: u32,
}

impl Runs {
    pub(super) const fn new() -> Runs {
        Runs {
            by_start: BTreeMap::new(),
            by_length: BTreeSet::new(),
            pages: 0,
        }
    }

    /// How many pages the runs have.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// Adds a run that overlaps none, joining it with those it touches.
    pub(super) fn add(&mut self, mut start: u32, mut length: u32) {
        if length == 0 {
            return;
        }
        self.pages += length;
        if let Some((&before, &its_length)) = self.by_start.range(..start).next_back()
            && before + its_length == start
        {
            self.remove(before, its_length);
            start = before;
            length += its_length;
        }
        if let Some(&its_length) = self.by_start.get(&(start + length)) {
            self.remove(start + length, its_length);
            length += its_length;
        }
        self.by_start.insert(start, length);
        self.by_length.insert((length, start));
    }

    fn remove(&mut self, start: u32, length: u32) {
        self.by_start.remove(&start);
        self.by_length.remove(&(length, start));
    }

    fn put(&mut self, start: u32, length: u32) {
        if length > 0 {
            self.by_start.insert(start, length);
            self.by_length.insert((length, start));
        }
    }

    /// Takes up to `count` pages that begin exactly at `page`; returns how many.
    pub(super) fn take_at(&mut self, page: u32, count: u32) -> u32 {
        let Some((&start, &length)) = self.by_start.range(..=page).next_back() else {
            return 0;
        };
        let before = page - start;
        if before >= length {
            return 0;
        }
        let taken = count.min(length - before);
        self.remove(start, length);
        self.put(start, before);
        self.put(page + taken, length - before - taken);
        self.pages -= taken;
        taken
    }

    /// Takes `count` pages from the shortest run that has them.
    pub(super) fn take_fitting(&mut self, count: u32) -> Option<u32> {
        let &(_, start) = self.by_length.range((count, 0)..).next()?;
        self.take_at(start, count);
        Some(start)
    }

    /// Takes the longest run: start and length.
    pub(super) fn take_longest(&mut self) -> Option<(u32, u32)> {
        let &(length, start) = self.by_length.last()?;
        self.remove(start, length);
        self.pages -= length;
        Some((start, length))
    }
}

#[cfg(test)]
mod tests {
    use super::Runs;

    #[test]
    fn runs_join_on_both_sides() {
        let mut runs = Runs::new();
        runs.add(0, 10);
        runs.add(20, 10);
        runs.add(10, 10);
        assert_eq!(runs.pages(), 30);
        assert_eq!(runs.take_at(5, 10), 10);
        assert_eq!(runs.take_at(5, 1), 0);
        assert_eq!(runs.take_fitting(15), Some(15));
        assert_eq!(runs.take_fitting(6), None);
        assert_eq!(runs.take_longest(), Some((0, 5)));
        assert_eq!(runs.pages(), 0);
    }
}
