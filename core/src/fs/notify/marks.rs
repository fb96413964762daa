//! Which inodes are watched, and by whom.

use super::inotify::Watch;
use crate::fs::Inode;
use crate::sync::RwLock;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

/// An inode's address, which stays its own while a mark holds the inode.
pub(super) type Key = usize;

/// The key of an inode.
pub(super) fn key_of(inode: &Arc<dyn Inode>) -> Key {
    Arc::as_ptr(inode).cast::<()>().addr()
}

/// A watched inode.
struct Mark {
    inode: Arc<dyn Inode>,
    watches: Vec<Arc<Watch>>,
}

static MARKS: RwLock<BTreeMap<Key, Mark>> = RwLock::new(BTreeMap::new());

/// How many inodes are watched, so that telling nobody costs one load.
static MARKED: AtomicUsize = AtomicUsize::new(0);

/// Whether anybody watches anything.
#[inline]
pub(super) fn is_any() -> bool {
    MARKED.load(Ordering::Relaxed) != 0
}

/// The watches of an inode.
pub(super) fn of(key: Key) -> Vec<Arc<Watch>> {
    let marks = MARKS.read();
    marks
        .get(&key)
        .map_or_else(Vec::new, |mark| mark.watches.clone())
}

/// Every watch.
pub(super) fn all() -> Vec<Arc<Watch>> {
    let marks = MARKS.read();
    marks
        .values()
        .flat_map(|mark| mark.watches.iter().cloned())
        .collect()
}

/// Adds a watch of `inode`.
pub(super) fn add(inode: &Arc<dyn Inode>, watch: Arc<Watch>) {
    let mut marks = MARKS.write();
    marks
        .entry(key_of(inode))
        .or_insert_with(|| Mark {
            inode: inode.clone(),
            watches: Vec::new(),
        })
        .watches
        .push(watch);
    MARKED.store(marks.len(), Ordering::SeqCst);
}

/// Takes a watch out.
pub(super) fn remove(key: Key, watch: &Watch) {
    let mut marks = MARKS.write();
    let Some(mark) = marks.get_mut(&key) else {
        return;
    };
    mark.watches
        .retain(|other| !core::ptr::eq(&raw const **other, watch));
    let gone = mark
        .watches
        .is_empty()
        .then(|| marks.remove(&key))
        .flatten();
    MARKED.store(marks.len(), Ordering::SeqCst);
    drop(marks);
    // Outside the lock: an inode's end may be long work, and tell of things itself.
    drop(gone.map(|mark| mark.inode));
}
