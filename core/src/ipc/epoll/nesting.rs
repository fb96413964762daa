//! Epoll instances that watch epoll instances: no loops, and no deep chains.

use super::{Epoll, Shared};
use crate::fs::OpenFile;
use crate::sync::{Mutex, MutexGuard};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::Errno;

/// The longest chain of instances, counted in links (Linux's `EP_MAX_NESTS`). A wake-up follows
/// the chain on the kernel stack.
const LINKS_MAX: usize = 4;

/// Held while an instance is added to another, so that two additions cannot close a loop.
static ADDING: Mutex<()> = Mutex::new(());

/// The instances that watch one.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    parents: Mutex<Vec<Weak<Shared>>>,
}

impl Nesting {
    pub(super) fn add(&self, parent: &Arc<Shared>) {
        self.parents.lock().push(Arc::downgrade(parent));
    }

    pub(super) fn remove(&self, parent: &Shared) {
        let mut parents = self.parents.lock();
        let position = parents
            .iter()
            .position(|other| core::ptr::eq(other.as_ptr(), parent));
        if let Some(position) = position {
            parents.swap_remove(position);
        }
    }

    /// The longest chain of watchers above, in links.
    fn height(&self) -> usize {
        let parents: Vec<Arc<Shared>> = {
            let parents = self.parents.lock();
            parents.iter().filter_map(Weak::upgrade).collect()
        };
        let above = parents.iter().map(|parent| parent.nesting.height() + 1);
        above.max().unwrap_or(0)
    }
}

impl Epoll {
    /// Checks that this instance may watch `inner`; the answer holds while the guard lives.
    pub(super) fn check_nesting(&self, inner: &Epoll) -> Result<MutexGuard<'static, ()>, Errno> {
        let guard = ADDING.lock();
        let below = inner.depth(&self.shared)?;
        if self.shared.nesting.height() + 1 + below > LINKS_MAX {
            return Err(Errno::ELOOP);
        }
        Ok(guard)
    }

    /// The longest chain of instances below, in links; `ELOOP` if `searched` is among them.
    fn depth(&self, searched: &Arc<Shared>) -> Result<usize, Errno> {
        if Arc::ptr_eq(&self.shared, searched) {
            return Err(Errno::ELOOP);
        }
        let watched: Vec<Arc<OpenFile>> = {
            let items = self.shared.items.lock();
            items.values().filter_map(|item| item.file()).collect()
        };
        let mut depth = 0;
        for file in &watched {
            if let Some(inner) = Epoll::of(file) {
                depth = depth.max(inner.depth(searched)? + 1);
            }
        }
        Ok(depth)
    }
}
