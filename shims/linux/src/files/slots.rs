//! The places of a descriptor table, with the lowest free one found by a bit map.

use super::Descriptor;
use alloc::vec::Vec;
use capsid_core::Errno;

const BITS: usize = u64::BITS as usize;

/// Descriptors by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    entries: Vec<Option<Descriptor>>,
    /// A bit for each entry in use, so that a scan passes over 64 at a time.
    used: Vec<u64>,
    /// No number below is free.
    full_below: usize,
}

impl Slots {
    pub(super) fn get(&self, index: usize) -> Option<&Descriptor> {
        self.entries.get(index)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Descriptor> {
        self.entries.get_mut(index)?.as_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.used.len() * BITS
    }

    /// The lowest free index that is at least `lowest`.
    fn free_from(&self, lowest: usize) -> usize {
        let start = lowest.max(self.full_below);
        let mut word = start / BITS;
        let mut mask = u64::MAX << (start % BITS);
        while let Some(used) = self.used.get(word) {
            let free = !used & mask;
            if free != 0 {
                return word * BITS + free.trailing_zeros() as usize;
            }
            word += 1;
            mask = u64::MAX;
        }
        start.max(self.used.len() * BITS)
    }

    pub(super) fn insert(
        &mut self,
        descriptor: Descriptor,
        lowest: usize,
        limit: usize,
    ) -> Result<i32, Errno> {
        let index = self.free_from(lowest);
        if index >= limit {
            return Err(Errno::EMFILE);
        }
        let number = i32::try_from(index).map_err(|_| Errno::EMFILE)?;
        self.replace(index, descriptor);
        if lowest <= self.full_below {
            self.full_below = index + 1;
        }
        Ok(number)
    }

    pub(super) fn replace(&mut self, index: usize, descriptor: Descriptor) -> Option<Descriptor> {
        if index >= self.entries.len() {
            self.entries.resize(index + 1, None);
            self.used.resize(index / BITS + 1, 0);
        }
        if let Some(used) = self.used.get_mut(index / BITS) {
            *used |= 1 << (index % BITS);
        }
        self.entries.get_mut(index)?.replace(descriptor)
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Descriptor> {
        let descriptor = self.entries.get_mut(index)?.take()?;
        if let Some(used) = self.used.get_mut(index / BITS) {
            *used &= !(1 << (index % BITS));
        }
        self.full_below = self.full_below.min(index);
        Some(descriptor)
    }

    /// Takes out what `chosen` chooses of the indexes `first` to `last`.
    pub(super) fn remove_where(
        &mut self,
        first: usize,
        last: usize,
        chosen: impl Fn(&Descriptor) -> bool,
    ) -> Vec<Descriptor> {
        let end = last.saturating_add(1).min(self.entries.len());
        let mut removed = Vec::new();
        for index in first..end {
            if self.get(index).is_some_and(&chosen) {
                removed.extend(self.remove(index));
            }
        }
        removed
    }

    pub(super) fn each_mut(
        &mut self,
        first: usize,
        last: usize,
        change: impl FnMut(&mut Descriptor),
    ) {
        let end = last.saturating_add(1).min(self.entries.len());
        if let Some(range) = self.entries.get_mut(first..end) {
            range.iter_mut().flatten().for_each(change);
        }
    }

    pub(super) fn numbers(&self) -> Vec<i32> {
        let used = self.entries.iter().enumerate();
        used.filter(|(_, entry)| entry.is_some())
            .filter_map(|(index, _)| i32::try_from(index).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;
    use crate::files::{Descriptor, DescriptorFlags};
    use alloc::sync::Arc;
    use capsid_core::Errno;
    use capsid_core::fs::{OpenFile, StatusFlags};
    use capsid_core::ipc::{EventCounter, EventMode};

    fn descriptor() -> Descriptor {
        let file = Arc::new(EventCounter::new(0, EventMode::Counter));
        let file = OpenFile::new(file, StatusFlags::READ_WRITE);
        Descriptor::new(file, DescriptorFlags::empty())
    }

    #[test]
    fn the_lowest_free_number_is_given() {
        let mut slots = Slots::default();
        for number in 0..200 {
            assert_eq!(slots.insert(descriptor(), 0, 1024), Ok(number));
        }
        for index in [130, 7, 64] {
            assert!(slots.remove(index).is_some());
        }
        assert_eq!(slots.insert(descriptor(), 50, 1024), Ok(64));
        assert_eq!(slots.insert(descriptor(), 0, 1024), Ok(7));
        assert_eq!(slots.insert(descriptor(), 0, 1024), Ok(130));
        assert_eq!(slots.insert(descriptor(), 0, 1024), Ok(200));
        assert_eq!(slots.insert(descriptor(), 0, 201), Err(Errno::EMFILE));
        assert_eq!(slots.insert(descriptor(), 500, 1024), Ok(500));
        assert_eq!(slots.insert(descriptor(), 0, 1024), Ok(201));
        assert_eq!(slots.remove_where(3, 500, |_| true).len(), 200);
        assert_eq!(slots.numbers(), [0, 1, 2]);
        assert_eq!(slots.insert(descriptor(), 0, 1024), Ok(3));
    }
}
