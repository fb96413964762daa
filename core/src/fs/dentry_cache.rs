//! The bound on names kept without a user.
//!
//! Every name that a directory remembers is in one queue. When the queue is too long, the oldest
//! names are looked at: those that nothing uses are forgotten, the others go to the end.

use crate::fs::dentry::Dentry;
use crate::sync::Mutex;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};

/// Names remembered without pressure. A name costs about 300 bytes, plus what its inode holds.
const CAPACITY: usize = 16_384;

/// How many names one addition looks at when the queue is full: more than one, so that it shrinks.
const LOOKS: usize = 4;

static NAMES: Mutex<VecDeque<Remembered>> = Mutex::new(VecDeque::new());

/// A name in a directory's map.
struct Remembered {
    directory: Weak<Dentry>,
    name: Arc<[u8]>,
}

/// Notes that `directory` remembers a new `name`, and forgets old ones if there are too many.
pub(super) fn note(directory: &Arc<Dentry>, name: Arc<[u8]>) {
    let mut names = NAMES.lock();
    names.push_back(Remembered {
        directory: Arc::downgrade(directory),
        name,
    });
    if names.len() <= CAPACITY {
        return;
    }
    drop(names);
    shrink(LOOKS);
}

/// Looks at the `looks` oldest names, forgetting those that nothing uses.
fn shrink(looks: usize) {
    for _ in 0..looks {
        let Some(oldest) = NAMES.lock().pop_front() else {
            return;
        };
        let Some(directory) = oldest.directory.upgrade() else {
            continue;
        };
        if !directory.evict(&oldest.name) {
            NAMES.lock().push_back(oldest);
        }
    }
}

/// How many names are remembered.
pub fn remembered_names() -> usize {
    NAMES.lock().len()
}

/// Forgets every name that nothing uses: `drop_caches`, and tests.
pub fn forget_unused() {
    // A directory can go only after its children, which may lie behind it in the queue.
    loop {
        let before = NAMES.lock().len();
        shrink(before);
        if NAMES.lock().len() >= before {
            return;
        }
    }
}
