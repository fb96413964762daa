//! Mounts: where file systems hang in a namespace, mount_namespaces(7).

use crate::fs::dentry::Dentry;
use crate::fs::{FileSystem, Path, notify};
use crate::sync::{Mutex, RwLock};
use alloc::sync::Arc;
use bitflags::bitflags;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

bitflags! {
    /// What a mount allows, with the bits of mount(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// Nothing can be changed.
        const READ_ONLY = 1;
        /// Set-id bits have no effect.
        const NO_SET_ID = 2;
        /// Device nodes cannot be opened.
        const NO_DEVICES = 4;
        /// Programs cannot be executed.
        const NO_EXECUTE = 8;
        /// Symlinks are not followed.
        const NO_SYMLINKS = 256;
        /// Access times are not kept.
        const NO_ACCESS_TIME = 1024;
        /// Access times of directories are not kept.
        const NO_DIRECTORY_ACCESS_TIME = 2048;
        /// Access times are kept when they tell something.
        const RELATIVE_ACCESS_TIME = 1 << 21;
    }
}

/// The tree of dentries over one file system, which all its mounts share.
pub struct Tree {
    file_system: Arc<dyn FileSystem>,
    root: Arc<Dentry>,
    /// Held while a directory moves to another parent, so that no two moves make a loop.
    pub(super) directory_moves: Mutex<()>,
}

impl Tree {
    /// Makes the tree of a file system.
    #[must_use]
    pub fn new(file_system: Arc<dyn FileSystem>) -> Arc<Tree> {
        let root = Dentry::root(file_system.root(), file_system.caches_names());
        Arc::new(Tree {
            file_system,
            root,
            directory_moves: Mutex::new(()),
        })
    }

    /// The file system.
    #[must_use]
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.file_system
    }

    /// The dentry of its root directory.
    #[must_use]
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        notify::tree_gone(&self.root);
        // Children own their parents and kept children are owned by them: cut from the top.
        let mut left = self.root.take_children();
        while let Some(dentry) = left.pop() {
            left.extend(dentry.take_children());
        }
        self.file_system.unmounted();
    }
}

/// One mount: a part of a tree, made visible at a directory (or file) of another mount.
pub struct Mount {
    id: u64,
    tree: Arc<Tree>,
    root: Arc<Dentry>,
    flags: AtomicU32,
    /// What was named as the source, for `/proc/mounts`.
    source: Arc<[u8]>,
    /// Where it is mounted; `None` for a namespace's root, and once unmounted.
    point: RwLock<Option<Path>>,
}

impl Mount {
    /// Makes a mount of a part of a tree that is not mounted anywhere yet.
    #[must_use]
    pub(super) fn new(
        tree: Arc<Tree>,
        root: Arc<Dentry>,
        flags: MountFlags,
        source: &[u8],
    ) -> Arc<Mount> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Arc::new(Mount {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            tree,
            root,
            flags: AtomicU32::new(flags.bits()),
            source: source.into(),
            point: RwLock::new(None),
        })
    }

    /// A number that no other mount has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The tree it shows a part of.
    #[must_use]
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// The file system.
    #[must_use]
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        self.tree.file_system()
    }

    /// The top of the part it shows.
    #[must_use]
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// What it allows.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Changes what it allows.
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// What was named as its source.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Where it is mounted.
    #[must_use]
    pub fn point(&self) -> Option<Path> {
        self.point.read().clone()
    }

    pub(super) fn set_point(&self, point: Option<Path>) {
        let before = core::mem::replace(&mut *self.point.write(), point);
        drop(before);
    }

    /// Whether `self` is `other`, or `other` is mounted below it.
    pub(super) fn is_ancestor_of(self: &Arc<Mount>, other: &Arc<Mount>) -> bool {
        let mut at = Some(other.clone());
        while let Some(mount) = at {
            if Arc::ptr_eq(self, &mount) {
                return true;
            }
            at = mount.point().map(|point| point.mount().clone());
        }
        false
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("type", &self.file_system.type_name())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("id", &self.id)
            .field("type", &self.file_system().type_name())
            .field("flags", &self.flags())
            .finish_non_exhaustive()
    }
}
