//! Dentries: names that are in use or were looked up lately, as a tree over each file system.
//!
//! A directory's dentry maps names to children. A child that the file system lets us keep is
//! owned by that map until the bounded cache lets go of it; one that must be asked for again each
//! time is only remembered while something else uses it, so that mounts and working directories
//! keep their identity. A missing name is a map entry without a dentry.

use crate::fs::{Inode, dentry_cache, notify};
use crate::sync::{Mutex, MutexGuard, RwLock};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use hashbrown::HashMap;

/// A name in the tree and the inode it stands for, which never changes.
pub struct Dentry {
    inode: Arc<dyn Inode>,
    place: RwLock<DentryPlace>,
    children: RwLock<HashMap<Arc<[u8]>, Child>>,
    /// Held over everything that asks the file system about names here or changes them, so that
    /// the children agree with the file system.
    names: Mutex<()>,
    /// The file system lets look-ups be kept.
    keeps_names: bool,
    /// The name was removed.
    unlinked: AtomicBool,
    /// How many mounts, in any namespace, cover it.
    mounts: AtomicU32,
}

/// Where a dentry hangs.
#[derive(Clone)]
struct DentryPlace {
    parent: Option<Arc<Dentry>>,
    name: Arc<[u8]>,
}

/// What a directory knows of one name.
enum Child {
    /// It does not exist.
    Missing,
    /// It exists, and the map keeps it.
    Kept(Arc<Dentry>),
    /// It existed when last asked for.
    Used(Weak<Dentry>),
}

impl Dentry {
    /// Makes the top of a tree.
    pub(super) fn root(inode: Arc<dyn Inode>, keeps_names: bool) -> Arc<Dentry> {
        Dentry::detached(inode, b"", keeps_names)
    }

    /// Makes a dentry that hangs nowhere.
    pub(super) fn detached(inode: Arc<dyn Inode>, name: &[u8], keeps_names: bool) -> Arc<Dentry> {
        Arc::new(Dentry::new(inode, None, name.into(), keeps_names))
    }

    /// Makes a dentry for a file without a name, made in `parent`. Reads as removed.
    pub(super) fn unnamed(
        parent: &Arc<Dentry>,
        inode: Arc<dyn Inode>,
        label: &[u8],
    ) -> Arc<Dentry> {
        let dentry = Dentry::new(inode, Some(parent.clone()), label.into(), false);
        dentry.unlinked.store(true, Ordering::Relaxed);
        Arc::new(dentry)
    }

    fn new(
        inode: Arc<dyn Inode>,
        parent: Option<Arc<Dentry>>,
        name: Arc<[u8]>,
        keeps_names: bool,
    ) -> Dentry {
        Dentry {
            inode,
            place: RwLock::new(DentryPlace { parent, name }),
            children: RwLock::new(HashMap::new()),
            names: Mutex::new(()),
            keeps_names,
            unlinked: AtomicBool::new(false),
            mounts: AtomicU32::new(0),
        }
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// The directory that holds the name; `None` at the top of a tree.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.read().parent.clone()
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> Arc<[u8]> {
        self.place.read().name.clone()
    }

    /// Parent and name, of one moment.
    pub(super) fn parent_and_name(&self) -> (Option<Arc<Dentry>>, Arc<[u8]>) {
        let place = self.place.read();
        (place.parent.clone(), place.name.clone())
    }

    /// Whether the name was removed.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.unlinked.load(Ordering::Relaxed)
    }

    /// Whether a mount may cover it.
    pub(super) fn is_mount_point(&self) -> bool {
        self.mounts.load(Ordering::Relaxed) != 0
    }

    pub(super) fn add_mount(&self) {
        self.mounts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove_mount(&self) {
        self.mounts.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether `self` is `other` or lies above it.
    pub(super) fn is_ancestor_of(self: &Arc<Dentry>, other: &Arc<Dentry>) -> bool {
        let mut at = Some(other.clone());
        while let Some(dentry) = at {
            if Arc::ptr_eq(self, &dentry) {
                return true;
            }
            at = dentry.parent();
        }
        false
    }

    /// Finds the child `name`: `ENOENT`, and what the file system's look-up fails with. `rest` is
    /// the path that the walk goes on with.
    pub(super) fn child(
        self: &Arc<Dentry>,
        name: &[u8],
        rest: &[u8],
    ) -> Result<Arc<Dentry>, Errno> {
        if let Some(known) = self.known_child(name) {
            return known;
        }
        self.lock_names().child_before(name, rest)
    }

    /// What the cache alone can say.
    pub(super) fn known_child(&self, name: &[u8]) -> Option<Result<Arc<Dentry>, Errno>> {
        if !self.keeps_names {
            return None;
        }
        match self.children.read().get(name)? {
            Child::Kept(child) => Some(Ok(child.clone())),
            Child::Missing => Some(Err(Errno::ENOENT)),
            Child::Used(_) => None,
        }
    }

    /// Locks the names of this directory against change.
    pub(super) fn lock_names(self: &Arc<Dentry>) -> LockedNames<'_> {
        LockedNames {
            directory: self,
            _guard: self.names.lock(),
        }
    }

    fn remember(self: &Arc<Dentry>, name: Arc<[u8]>, child: Child) {
        let before = self.children.write().insert(name.clone(), child);
        if before.is_none() {
            dentry_cache::note(self, name);
        }
    }

    /// Forgets `name` if nothing but this map uses it; `false` if something does.
    pub(super) fn evict(&self, name: &[u8]) -> bool {
        let mut children = self.children.write();
        let unused = match children.get(name) {
            None => return true,
            Some(Child::Missing) => true,
            Some(Child::Kept(child)) => {
                Arc::strong_count(child) == 1 && child.children.read().is_empty()
            }
            Some(Child::Used(child)) => child.strong_count() == 0,
        };
        // Out of the lock before it is dropped: an inode's end may be long work.
        let gone = unused.then(|| children.remove(name)).flatten();
        drop(children);
        drop(gone);
        unused
    }

    /// Takes all children out, so that no cycle of owners is left.
    pub(super) fn take_children(&self) -> Vec<Arc<Dentry>> {
        let taken = core::mem::take(&mut *self.children.write());
        taken
            .into_values()
            .filter_map(|child| match child {
                Child::Kept(child) => Some(child),
                Child::Missing | Child::Used(_) => None,
            })
            .collect()
    }
}

/// A directory whose names do not change while this lives.
pub(super) struct LockedNames<'a> {
    directory: &'a Arc<Dentry>,
    _guard: MutexGuard<'a, ()>,
}

impl LockedNames<'_> {
    /// Finds the child `name`, asking the file system if need be.
    pub(super) fn child(&self, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
        self.child_before(name, b"")
    }

    fn child_before(&self, name: &[u8], rest: &[u8]) -> Result<Arc<Dentry>, Errno> {
        let directory = self.directory;
        if let Some(known) = directory.known_child(name) {
            return known;
        }
        if directory.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        match directory.inode.lookup_ahead(name, rest) {
            Ok(inode) => Ok(self.found(name, inode)),
            Err(Errno::ENOENT) => {
                self.missing(name);
                Err(Errno::ENOENT)
            }
            Err(error) => Err(error),
        }
    }

    /// Records that `name` stands for `inode`.
    pub(super) fn found(&self, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let directory = self.directory;
        let used = match directory.children.read().get(name) {
            Some(Child::Used(child)) => child.upgrade(),
            _ => None,
        };
        if let Some(child) = used {
            if child.inode.is_same(&*inode) {
                return child;
            }
            child.unlinked.store(true, Ordering::Relaxed);
        }
        let name: Arc<[u8]> = name.into();
        let parent = Some(directory.clone());
        let keeps_names = directory.keeps_names;
        let child = Arc::new(Dentry::new(inode, parent, name.clone(), keeps_names));
        directory.remember(name, directory.hold(&child));
        child
    }

    /// Records that `name` does not exist.
    pub(super) fn missing(&self, name: &[u8]) {
        let directory = self.directory;
        let mut children = directory.children.write();
        let before = match children.get_mut(name) {
            Some(child) => core::mem::replace(child, Child::Missing),
            None => {
                drop(children);
                if directory.keeps_names {
                    directory.remember(name.into(), Child::Missing);
                }
                return;
            }
        };
        drop(children);
        let child = match before {
            Child::Kept(child) => Some(child),
            Child::Used(child) => child.upgrade(),
            Child::Missing => None,
        };
        if let Some(child) = child {
            child.unlinked.store(true, Ordering::Relaxed);
            notify::unpin(&child);
            // What is left are names known to be missing, in a directory that is gone.
            child.take_children();
        }
    }

    /// Hangs `dentry` here under `name`, in place of what had the name.
    pub(super) fn adopt(&self, name: &[u8], dentry: &Arc<Dentry>) {
        let name: Arc<[u8]> = name.into();
        let before = core::mem::replace(
            &mut *dentry.place.write(),
            DentryPlace {
                parent: Some(self.directory.clone()),
                name: name.clone(),
            },
        );
        drop(before);
        self.directory.remember(name, self.directory.hold(dentry));
    }

    /// Forgets what is known of `name`, which goes on elsewhere.
    pub(super) fn forget(&self, name: &[u8]) {
        let before = self.directory.children.write().remove(name);
        drop(before);
    }

    /// Takes the name out without marking what had it as removed: it goes elsewhere.
    pub(super) fn vacate(&self, name: &[u8]) {
        let mut children = self.directory.children.write();
        let before = children
            .get_mut(name)
            .map(|child| core::mem::replace(child, Child::Missing));
        drop(children);
        drop(before);
    }
}

impl Dentry {
    fn hold(&self, child: &Arc<Dentry>) -> Child {
        if self.keeps_names {
            Child::Kept(child.clone())
        } else {
            Child::Used(Arc::downgrade(child))
        }
    }
}

impl Drop for Dentry {
    fn drop(&mut self) {
        if *self.unlinked.get_mut() {
            notify::dentry_gone(&self.inode);
        }
    }
}

impl fmt::Debug for Dentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dentry")
            .field(
                "name",
                &alloc::string::String::from_utf8_lossy(&self.name()),
            )
            .field("inode", &self.inode)
            .finish_non_exhaustive()
    }
}
