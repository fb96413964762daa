//! Advisory file locks: record locks of processes and of descriptions, fcntl_locking(2), and
//! locks of whole files, flock(2).
//!
//! Nothing here blocks: a lock that is taken is `EAGAIN`, and the caller waits on the file's queue
//! and tries again. One lock guards all: they are few, and deadlocks span files.

mod ranges;
#[cfg(test)]
mod tests;
mod waits;

use crate::fs::OpenFile;
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::sync::atomic::{AtomicU64, Ordering};
use ranges::Ranges;
pub use ranges::{LockKind, RangeLock};
use waits::Waits;

/// Who holds locks: the sharers of a descriptor table, or a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockOwner(u64);

impl Default for LockOwner {
    fn default() -> LockOwner {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        LockOwner(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl LockOwner {
    /// The owner with a number from [`LockOwner::number`].
    pub(super) fn numbered(number: u64) -> LockOwner {
        LockOwner(number)
    }

    /// A number that is never 0.
    pub(super) fn number(self) -> u64 {
        self.0
    }
}

/// Device and inode number.
type FileKey = (u64, u64);

#[derive(Debug, Default)]
struct FileLocks {
    ranges: Ranges,
    whole: Vec<(LockOwner, LockKind)>,
    queue: Arc<WaitQueue>,
}

impl FileLocks {
    fn is_unused(&self) -> bool {
        self.ranges.is_empty() && self.whole.is_empty() && Arc::strong_count(&self.queue) == 1
    }
}

#[derive(Debug)]
struct Table {
    files: BTreeMap<FileKey, FileLocks>,
    waits: Waits,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    files: BTreeMap::new(),
    waits: Waits::new(),
});

fn key_of(file: &OpenFile) -> Result<FileKey, Errno> {
    let metadata = file.file.metadata()?;
    Ok((metadata.device, metadata.inode))
}

impl Table {
    /// Ends a change: forgets a file without locks, and returns who waits for it.
    fn settle(&mut self, key: FileKey) -> Option<Arc<WaitQueue>> {
        let locks = self.files.get(&key)?;
        if locks.is_unused() {
            self.files.remove(&key);
            return None;
        }
        Some(locks.queue.clone())
    }
}

fn wake(queue: Option<Arc<WaitQueue>>) {
    if let Some(queue) = queue {
        queue.wake(Events::all());
    }
}

/// The queue of those who wait for locks on a file.
pub fn queue(file: &OpenFile) -> Result<Arc<WaitQueue>, Errno> {
    let key = key_of(file)?;
    let mut table = TABLE.lock();
    Ok(table.files.entry(key).or_default().queue.clone())
}

/// Takes a record lock, in place of what its owner had there: `EAGAIN`.
pub fn lock(file: &OpenFile, lock: RangeLock) -> Result<(), Errno> {
    let key = key_of(file)?;
    let mut table = TABLE.lock();
    let locks = table.files.entry(key).or_default();
    let result = if locks.ranges.conflict(&lock).is_some() {
        Err(Errno::EAGAIN)
    } else {
        locks.ranges.set(lock);
        Ok(())
    };
    table.waits.remove(lock.owner);
    let waiting = table.settle(key);
    drop(table);
    if result.is_ok() {
        // A weaker lock than before may let others in.
        wake(waiting);
    }
    result
}

/// As [`lock`], by an owner who then waits: `EDEADLK` if whoever has the lock waits, over others
/// perhaps, for this owner.
pub fn lock_or_wait(file: &OpenFile, wanted: RangeLock) -> Result<(), Errno> {
    let key = key_of(file)?;
    let mut table = TABLE.lock();
    table.waits.remove(wanted.owner);
    let locks = table.files.entry(key).or_default();
    if let Some(holder) = locks.ranges.conflict(&wanted) {
        let holder = holder.owner;
        table.waits.add(wanted.owner, holder)?;
        return Err(Errno::EAGAIN);
    }
    drop(table);
    lock(file, wanted)
}

/// The owner waits no more, whether it got the lock or not.
pub fn stop_waiting(owner: LockOwner) {
    TABLE.lock().waits.remove(owner);
}

/// Gives a range back, `end` included.
pub fn unlock(file: &OpenFile, owner: LockOwner, start: u64, end: u64) -> Result<(), Errno> {
    let key = key_of(file)?;
    let mut table = TABLE.lock();
    if let Some(locks) = table.files.get_mut(&key) {
        locks.ranges.clear(owner, start, end);
    }
    let waiting = table.settle(key);
    drop(table);
    wake(waiting);
    Ok(())
}

/// A lock that keeps `wanted` from being taken.
pub fn find_conflict(file: &OpenFile, wanted: &RangeLock) -> Result<Option<RangeLock>, Errno> {
    let key = key_of(file)?;
    let table = TABLE.lock();
    let locks = table.files.get(&key);
    Ok(locks.and_then(|locks| locks.ranges.conflict(wanted).copied()))
}

/// Gives back all record locks that `owner` has on a file.
pub fn release_file(file: &OpenFile, owner: LockOwner) {
    // A file whose attributes cannot be had anymore keeps its locks until its owner is gone.
    let _ = unlock(file, owner, 0, u64::MAX);
}

/// Gives back everything that `owner` has.
pub(super) fn release_owner(owner: LockOwner) {
    let mut waiting = Vec::new();
    let mut table = TABLE.lock();
    table.waits.remove(owner);
    table.files.retain(|_, locks| {
        locks.ranges.clear(owner, 0, u64::MAX);
        locks.whole.retain(|&(holder, _)| holder != owner);
        waiting.push(locks.queue.clone());
        !(locks.ranges.is_empty() && locks.whole.is_empty() && Arc::strong_count(&locks.queue) == 2)
    });
    drop(table);
    for queue in waiting {
        queue.wake(Events::all());
    }
}

/// Locks a whole file for a description: `EAGAIN`, and then the lock it had before is gone, as on
/// Linux.
pub fn lock_whole(file: &OpenFile, kind: LockKind) -> Result<(), Errno> {
    let key = key_of(file)?;
    let owner = file.lock_owner();
    let mut table = TABLE.lock();
    let locks = table.files.entry(key).or_default();
    if locks.whole.contains(&(owner, kind)) {
        return Ok(());
    }
    let before = locks.whole.len();
    locks.whole.retain(|&(holder, _)| holder != owner);
    let converted = locks.whole.len() != before;
    let exclusive = |kind| kind == LockKind::Write;
    let conflict = locks
        .whole
        .iter()
        .any(|&(_, held)| exclusive(held) || exclusive(kind));
    if !conflict {
        locks.whole.push((owner, kind));
    }
    let waiting = table.settle(key);
    drop(table);
    if converted {
        wake(waiting);
    }
    if conflict { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// Gives a description's lock of the whole file back.
pub fn unlock_whole(file: &OpenFile) -> Result<(), Errno> {
    let key = key_of(file)?;
    let owner = file.lock_owner();
    let mut table = TABLE.lock();
    if let Some(locks) = table.files.get_mut(&key) {
        locks.whole.retain(|&(holder, _)| holder != owner);
    }
    let waiting = table.settle(key);
    drop(table);
    wake(waiting);
    Ok(())
}
