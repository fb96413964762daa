//! Buckets of waiters.

use super::pi::Target;
use super::{Location, Ticket};
use crate::sync::{Mutex, MutexGuard};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};
use core::sync::atomic::{AtomicUsize, Ordering};

const BUCKETS: usize = 256;

/// One waiter in a bucket.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) location: Location,
    pub(super) bits: u32,
    /// The lock that it waits for afterwards; only those who requeue to that take it out.
    pub(super) target: Option<Target>,
    pub(super) ticket: Arc<Ticket>,
}

/// Those who wait at words that hash alike, longest first.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Waiters that are queued or about to be.
    waiters: AtomicUsize,
    entries: Mutex<VecDeque<Entry>>,
}

static TABLE: [Bucket; BUCKETS] = [const {
    Bucket {
        waiters: AtomicUsize::new(0),
        entries: Mutex::new(VecDeque::new()),
    }
}; BUCKETS];

/// A cheap hash: keys are chosen by guests, who can only slow down their own sandbox.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The number of the bucket for a place.
pub(super) fn bucket_index(location: &Location) -> usize {
    let hash = core::hash::BuildHasherDefault::<Mix>::new().hash_one(location);
    // The upper bits are the mixed ones.
    usize::try_from(hash >> 32).unwrap_or(0) % BUCKETS
}

/// The bucket with a number.
pub(super) fn bucket_of(index: usize) -> &'static Bucket {
    &TABLE[index % BUCKETS]
}

impl Bucket {
    /// Whether nobody waits or is about to.
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.load(Ordering::SeqCst) == 0
    }

    /// Counts one waiter more until the result, or the lock it gives, is dropped.
    pub(super) fn announce(&self) -> Announced<'_> {
        self.waiters.fetch_add(1, Ordering::SeqCst);
        Announced(self)
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked {
            bucket: self,
            entries: self.entries.lock(),
        }
    }

    /// Locks one or two buckets, always in the same order.
    pub(super) fn lock_two(first: usize, second: usize) -> LockedTwo<'static> {
        let (first, second) = (first % BUCKETS, second % BUCKETS);
        if first == second {
            return LockedTwo(bucket_of(first).lock(), None);
        }
        if first < second {
            let lower = bucket_of(first).lock();
            return LockedTwo(lower, Some(bucket_of(second).lock()));
        }
        let lower = bucket_of(second).lock();
        LockedTwo(bucket_of(first).lock(), Some(lower))
    }
}

/// A waiter that is counted and not queued yet.
pub(super) struct Announced<'a>(&'a Bucket);

impl<'a> Announced<'a> {
    pub(super) fn lock(&self) -> Locked<'a> {
        self.0.lock()
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A bucket with its lock held.
pub(super) struct Locked<'a> {
    bucket: &'a Bucket,
    entries: MutexGuard<'a, VecDeque<Entry>>,
}

impl Locked<'_> {
    pub(super) fn push(&mut self, entry: Entry) {
        self.bucket.waiters.fetch_add(1, Ordering::SeqCst);
        self.entries.push_back(entry);
    }

    /// How many wait at a place.
    #[cfg(test)]
    pub(super) fn count_at(&self, location: &Location) -> usize {
        let at = |entry: &&Entry| entry.location == *location;
        self.entries.iter().filter(at).count()
    }

    /// Whether one that is meant waits.
    pub(super) fn any(&self, is_meant: impl Fn(&Entry) -> bool) -> bool {
        self.entries.iter().any(is_meant)
    }

    fn uncount(&self, count: usize) {
        self.bucket.waiters.fetch_sub(count, Ordering::SeqCst);
    }

    /// Takes out the first entry that is meant; `false` if there is none.
    pub(super) fn remove(&mut self, is_meant: impl Fn(&Entry) -> bool) -> bool {
        let index = self.entries.iter().position(is_meant);
        let entry = index.and_then(|index| self.entries.remove(index));
        if entry.is_some() {
            self.uncount(1);
        }
        entry.is_some()
    }

    /// Takes out the first `count` entries that are meant.
    pub(super) fn take(&mut self, count: u32, is_meant: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut taken = Vec::new();
        let mut index = 0;
        while taken.len() < count as usize && index < self.entries.len() {
            if self.entries.get(index).is_some_and(&is_meant) {
                taken.extend(self.entries.remove(index));
            } else {
                index += 1;
            }
        }
        self.uncount(taken.len());
        taken
    }
}

/// One or two buckets with their locks held.
pub(super) struct LockedTwo<'a>(Locked<'a>, Option<Locked<'a>>);

impl<'a> LockedTwo<'a> {
    pub(super) fn first(&mut self) -> &mut Locked<'a> {
        &mut self.0
    }

    pub(super) fn second(&mut self) -> &mut Locked<'a> {
        self.1.as_mut().unwrap_or(&mut self.0)
    }
}
