//! The record locks of one file.

use super::LockOwner;
use alloc::vec::Vec;

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Writing.
    Read,
    /// Reading and writing.
    Write,
}

/// A lock on a range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLock {
    /// Who has it.
    pub owner: LockOwner,
    /// The process that took it; -1 for a description's.
    pub process: i32,
    /// What it keeps others from.
    pub kind: LockKind,
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end: u64,
}

impl RangeLock {
    fn conflicts(&self, other: &RangeLock) -> bool {
        self.owner != other.owner
            && self.start <= other.end
            && other.start <= self.end
            && (self.kind == LockKind::Write || other.kind == LockKind::Write)
    }

    /// Whether both are one owner's, of one kind, and overlap or touch.
    fn joins(&self, other: &RangeLock) -> bool {
        self.owner == other.owner
            && self.kind == other.kind
            && self.start <= other.end.saturating_add(1)
            && other.start <= self.end.saturating_add(1)
    }
}

/// Locks, sorted by their first byte; those of one owner do not overlap.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<RangeLock>);

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first lock that keeps `wanted` from being taken.
    pub(super) fn conflict(&self, wanted: &RangeLock) -> Option<&RangeLock> {
        self.0.iter().find(|held| held.conflicts(wanted))
    }

    /// Takes a lock, in place of what its owner had there.
    pub(super) fn set(&mut self, mut lock: RangeLock) {
        self.clear(lock.owner, lock.start, lock.end);
        self.0.retain(|held| {
            let joins = held.joins(&lock);
            if joins {
                lock.start = lock.start.min(held.start);
                lock.end = lock.end.max(held.end);
            }
            !joins
        });
        self.insert(lock);
    }

    fn insert(&mut self, lock: RangeLock) {
        let place = self.0.partition_point(|held| held.start <= lock.start);
        self.0.insert(place, lock);
    }

    /// Takes the range out of what `owner` has.
    pub(super) fn clear(&mut self, owner: LockOwner, start: u64, end: u64) {
        let mut rests = Vec::new();
        self.0.retain(|held| {
            if held.owner != owner || held.end < start || end < held.start {
                return true;
            }
            if held.start < start {
                rests.push(RangeLock {
                    end: start - 1,
                    ..*held
                });
            }
            if end < held.end {
                rests.push(RangeLock {
                    start: end + 1,
                    ..*held
                });
            }
            false
        });
        for rest in rests {
            self.insert(rest);
        }
    }

    #[cfg(test)]
    pub(super) fn as_slice(&self) -> &[RangeLock] {
        &self.0
    }
}
