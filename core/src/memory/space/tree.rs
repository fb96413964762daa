//! The mappings of an address space by address, and where the next one goes.

use super::vma::{Object, PAGE, Removed, Vma, VmaFlags};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use capsid_platform::GuestRange;

/// Kept free below a stack that grows: 256 pages, as Linux does, so that a stack that overflows
/// does not run into another mapping.
pub(super) const STACK_GUARD_BYTES: u64 = 256 * PAGE;

/// Disjoint mappings, adjacent equal ones merged.
#[derive(Debug, Default)]
pub(super) struct VmaTree {
    vmas: BTreeMap<u64, Vma>,
    /// Bytes mapped.
    pub(super) total: u64,
    /// Bytes that count for `RLIMIT_DATA`.
    pub(super) data: u64,
    /// Bytes locked.
    pub(super) locked: u64,
    /// No free range above this address is longer than `skipped` (below the base of searches).
    search_top: u64,
    skipped: u64,
}

impl VmaTree {
    /// How many mappings there are.
    pub(super) fn len(&self) -> usize {
        self.vmas.len()
    }

    /// All mappings in order, gaps too.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Vma)> {
        self.vmas.iter().map(|(&start, vma)| (start, vma))
    }

    /// The mapping at an address.
    pub(super) fn find(&self, address: u64) -> Option<(u64, &Vma)> {
        let (&start, vma) = self.vmas.range(..=address).next_back()?;
        (address < vma.end && vma.is_mapping()).then_some((start, vma))
    }

    /// As [`VmaTree::find`], to be changed in ways that no count or merge depends on.
    pub(super) fn find_mut(&mut self, address: u64) -> Option<(u64, &mut Vma)> {
        let (&start, vma) = self.vmas.range_mut(..=address).next_back()?;
        (address < vma.end && vma.is_mapping()).then_some((start, vma))
    }

    /// The first mapping that starts above an address.
    pub(super) fn next_above(&self, address: u64) -> Option<(u64, &Vma)> {
        let mut above = self.vmas.range(address.checked_add(1)?..);
        above
            .find(|(_, vma)| vma.is_mapping())
            .map(|(&start, vma)| (start, vma))
    }

    /// The last mapping that starts below an address.
    pub(super) fn last_below(&self, address: u64) -> Option<(u64, &Vma)> {
        let mut below = self.vmas.range(..address).rev();
        below
            .find(|(_, vma)| vma.is_mapping())
            .map(|(&start, vma)| (start, vma))
    }

    /// The mappings that overlap `range`, in order.
    pub(super) fn overlapping(&self, range: GuestRange) -> impl Iterator<Item = (u64, &Vma)> {
        let first = self.find(range.start()).map_or(range.start(), |(s, _)| s);
        self.vmas
            .range(first..range.end().max(first))
            .filter(|(_, vma)| vma.is_mapping())
            .map(|(&start, vma)| (start, vma))
    }

    /// The same, each cut to the part inside `range`.
    pub(super) fn pieces(&self, range: GuestRange) -> impl Iterator<Item = (GuestRange, &Vma)> {
        self.overlapping(range).filter_map(move |(start, vma)| {
            let (from, to) = (start.max(range.start()), vma.end.min(range.end()));
            Some((GuestRange::between(from, to)?, vma))
        })
    }

    /// The part of `range` up to the first address that is not mapped.
    pub(super) fn mapped_prefix(&self, range: GuestRange) -> u64 {
        let mut at = range.start();
        for (piece, _) in self.pieces(range) {
            if piece.start() != at {
                break;
            }
            at = piece.end();
        }
        at
    }

    /// Whether a guest's mapping overlaps `range`.
    pub(super) fn is_free(&self, range: GuestRange) -> bool {
        self.overlapping(range).next().is_none()
    }

    fn count(&mut self, start: u64, vma: &Vma, added: bool) {
        if !vma.is_mapping() {
            return;
        }
        let length = vma.end - start;
        let change = |count: &mut u64| {
            *count = if added {
                count.saturating_add(length)
            } else {
                count.saturating_sub(length)
            };
        };
        change(&mut self.total);
        if vma.is_data() {
            change(&mut self.data);
        }
        if vma.flags.contains(VmaFlags::LOCKED) {
            change(&mut self.locked);
        }
    }

    /// Cuts the mapping that `at` lies inside.
    fn cut(&mut self, at: u64) {
        let Some((&start, vma)) = self.vmas.range_mut(..at).next_back() else {
            return;
        };
        if vma.end > at {
            let upper = vma.split_off(start, at);
            self.vmas.insert(at, upper);
        }
    }

    /// Takes out everything in `range`.
    pub(super) fn remove(&mut self, range: GuestRange) -> Removed {
        let mut removed = Vec::new();
        self.cut(range.start());
        self.cut(range.end());
        while let Some((&start, _)) = self.vmas.range(range.as_range()).next() {
            if let Some(vma) = self.vmas.remove(&start) {
                self.count(start, &vma, false);
                removed.push((start, vma));
            }
        }
        if range.end() >= self.search_top && !removed.is_empty() {
            // The freed range may be one with free space above it.
            let next = self.vmas.range(range.end()..).next();
            self.search_top = next.map_or(u64::MAX, |(&start, _)| start);
        }
        Removed(removed)
    }

    /// Puts a mapping into a free place, merging it with its neighbours.
    pub(super) fn insert(&mut self, start: u64, vma: Vma) {
        self.count(start, &vma, true);
        let end = vma.end;
        self.vmas.insert(start, vma);
        self.merge_at(end);
        self.merge_at(start);
    }

    /// Merges the mappings that meet at `at`, if they are the same.
    fn merge_at(&mut self, at: u64) {
        let Some(upper) = self.vmas.get(&at) else {
            return;
        };
        let Some((&start, lower)) = self.vmas.range(..at).next_back() else {
            return;
        };
        if lower.end != at || !lower.continues_as(start, upper) {
            return;
        }
        let Some(upper) = self.vmas.remove(&at) else {
            return;
        };
        if let Some(lower) = self.vmas.get_mut(&start) {
            lower.populated += upper.populated;
            lower.end = upper.end;
        }
    }

    /// Changes the mappings in `range`, cutting them at its ends and merging afterwards.
    pub(super) fn change(&mut self, range: GuestRange, change: impl Fn(&mut Vma)) {
        self.cut(range.start());
        self.cut(range.end());
        let mut at = range.start();
        while let Some((&start, vma)) = self.vmas.range(at..range.end()).next() {
            at = vma.end;
            if !vma.is_mapping() {
                continue;
            }
            let mut changed = vma.clone();
            change(&mut changed);
            let before = self.vmas.insert(start, changed.clone());
            if let Some(before) = before {
                self.count(start, &before, false);
            }
            self.count(start, &changed, true);
        }
        let mut at = Some(range.start());
        while let Some(boundary) = at {
            self.merge_at(boundary);
            let rest = boundary + 1..=range.end().max(boundary + 1);
            at = self.vmas.range(rest).next().map(|(&start, _)| start);
            at = at.filter(|at| *at <= range.end());
        }
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Removed {
        let taken = core::mem::take(self);
        Removed(taken.vmas.into_iter().collect())
    }

    /// Finds the highest free range of `length` bytes between `low` and `base` that starts at a
    /// multiple of `align`, a power of two. All calls must be with the same `base`.
    pub(super) fn find_free(
        &mut self,
        length: u64,
        align: u64,
        low: u64,
        base: u64,
    ) -> Option<u64> {
        if length <= self.skipped || self.search_top == 0 {
            self.search_top = u64::MAX;
            self.skipped = 0;
        }
        let top = self.search_top.min(base);
        let (found, skipped) = self.search_aligned(length, align, low, top);
        self.skipped = self.skipped.max(skipped);
        let start = found?;
        self.search_top = start;
        Some(start)
    }

    /// Finds the highest free range of `length` bytes between `low` and `high`, and the longest
    /// one above it that is too short.
    pub(super) fn search(&self, length: u64, low: u64, high: u64) -> (Option<u64>, u64) {
        self.search_aligned(length, PAGE, low, high)
    }

    fn search_aligned(&self, length: u64, align: u64, low: u64, high: u64) -> (Option<u64>, u64) {
        let fits = |bottom: u64, top: u64| {
            let start = top.checked_sub(length)? & !(align - 1);
            (start >= bottom).then_some(start)
        };
        let mut top = high;
        let mut skipped = 0;
        for (&start, vma) in self.vmas.range(..high).rev() {
            let bottom = vma.end.max(low);
            if let Some(found) = fits(bottom, top) {
                return (Some(found), skipped);
            }
            skipped = skipped.max(top.saturating_sub(bottom));
            let guard = if vma.flags.contains(VmaFlags::GROWS_DOWN) {
                STACK_GUARD_BYTES
            } else {
                0
            };
            top = top.min(start.saturating_sub(guard));
            if top <= low {
                return (None, skipped);
            }
        }
        match fits(low, top) {
            Some(found) => (Some(found), skipped),
            None => (None, skipped.max(top.saturating_sub(low))),
        }
    }

    /// Whether a mapping in `range` is of a kind that patched text has.
    pub(super) fn may_have_text(&self, range: GuestRange) -> bool {
        let below = self.vmas.range(..range.end()).rev();
        below
            .take_while(|(_, vma)| vma.end > range.start())
            .any(|(_, vma)| matches!(vma.object, Object::File { .. } | Object::Trampolines))
    }

    /// Whether nothing, not even a gap, lies in `range`.
    pub(super) fn is_empty_at(&self, range: GuestRange) -> bool {
        match self.vmas.range(..range.end()).next_back() {
            Some((_, vma)) => vma.end <= range.start(),
            None => true,
        }
    }

    /// Keeps the addresses of `range`, which is free, from being chosen for mappings.
    pub(super) fn insert_gap(&mut self, range: GuestRange) {
        self.vmas
            .insert(range.start(), Vma::unseen(range, Object::Gap));
    }

    /// How many bytes from `address` on are in one gap.
    pub(super) fn gap_at(&self, address: u64) -> u64 {
        match self.vmas.range(..=address).next_back() {
            Some((_, vma)) if matches!(vma.object, Object::Gap) => vma.end.saturating_sub(address),
            _ => 0,
        }
    }

    /// The gap behind the mappings that follow each other from `start` on, if it has this many
    /// bytes.
    pub(super) fn gap_behind(&self, start: u64, bytes: u64) -> Option<u64> {
        let mut at = start;
        for (&from, vma) in self.vmas.range(start..) {
            if from != at {
                return None;
            }
            if matches!(vma.object, Object::Gap) {
                return (vma.end - from >= bytes).then_some(from);
            }
            at = vma.end;
        }
        None
    }

    /// Whether `range` is the trampolines of one text.
    pub(super) fn is_trampolines(&self, range: GuestRange) -> bool {
        let vma = self.vmas.get(&range.start());
        vma.is_some_and(|vma| vma.end == range.end() && matches!(vma.object, Object::Trampolines))
    }
}

impl VmaTree {
    /// The parts of the mappings in `range`, each with the address up to which the host has it.
    pub(super) fn populated_pieces(
        &self,
        range: GuestRange,
    ) -> impl Iterator<Item = (GuestRange, u64)> {
        self.overlapping(range).filter_map(move |(start, vma)| {
            let (from, to) = (start.max(range.start()), vma.end.min(range.end()));
            Some((GuestRange::between(from, to)?, vma.populated_end(start)))
        })
    }

    /// As [`VmaTree::remove`], together with a gap that was kept behind `range`.
    pub(super) fn remove_with_gap(&mut self, range: GuestRange) -> Removed {
        // The gap first: the search for free places is told of all that becomes free at once.
        let gap = self.vmas.get(&range.end());
        if gap.is_some_and(|vma| matches!(vma.object, Object::Gap)) {
            self.vmas.remove(&range.end());
        }
        self.remove(range)
    }
}
