//! Mount namespaces: which mount covers which directory; mounting, binding and unmounting.

use crate::fs::dentry::Dentry;
use crate::fs::{FileKind, FileSystem, Mount, MountFlags, Path, Tree};
use crate::sync::RwLock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::fmt;
use hashbrown::HashMap;

/// The mounts that a set of tasks sees.
pub struct MountNamespace {
    root: Path,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    /// What covers a dentry of a mount.
    covers: HashMap<Point, Arc<Mount>>,
    /// All, in the order they were made.
    order: Vec<Arc<Mount>>,
}

/// A dentry of a mount: mount id and address of the dentry, which the mount that covers it keeps.
type Point = (u64, usize);

fn point_of(path: &Path) -> Point {
    (path.mount().id(), Arc::as_ptr(path.dentry()).addr())
}

impl MountNamespace {
    /// Makes a namespace whose root is the root of `file_system`.
    #[must_use]
    pub fn new(
        file_system: Arc<dyn FileSystem>,
        flags: MountFlags,
        source: &[u8],
    ) -> Arc<MountNamespace> {
        let tree = Tree::new(file_system);
        let top = tree.root().clone();
        let mount = Mount::new(tree, top.clone(), flags, source);
        Arc::new(MountNamespace {
            root: Path::new(mount.clone(), top),
            table: RwLock::new(Table {
                covers: HashMap::new(),
                order: alloc::vec![mount],
            }),
        })
    }

    /// The root directory of tasks that did not change theirs.
    #[must_use]
    pub fn root(&self) -> Path {
        self.covering(self.root.clone())
    }

    /// All mounts, in the order they were made.
    #[must_use]
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        self.table.read().order.clone()
    }

    /// Mounts a file system over `at`: `ENOTDIR` if a directory would cover something else or
    /// the other way round, `ENOENT` if `at` was removed.
    pub fn mount(
        &self,
        file_system: Arc<dyn FileSystem>,
        at: &Path,
        flags: MountFlags,
        source: &[u8],
    ) -> Result<Arc<Mount>, Errno> {
        let tree = Tree::new(file_system);
        let top = tree.root().clone();
        self.attach(Mount::new(tree, top, flags, source), at)
    }

    /// Makes `what` visible at `at` too (`MS_BIND`).
    pub fn bind(&self, what: &Path, at: &Path, flags: MountFlags) -> Result<Arc<Mount>, Errno> {
        let tree = what.mount().tree().clone();
        let source = what.mount().source();
        let mount = Mount::new(tree, what.dentry().clone(), flags, source);
        self.attach(mount, at)
    }

    fn attach(&self, mount: Arc<Mount>, at: &Path) -> Result<Arc<Mount>, Errno> {
        let at = self.covering(at.clone());
        let is_directory = |dentry: &Dentry| dentry.inode().kind() == FileKind::Directory;
        if is_directory(mount.root()) != is_directory(at.dentry()) {
            return Err(Errno::ENOTDIR);
        }
        if at.dentry().is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let mut table = self.table.write();
        at.dentry().add_mount();
        table.covers.insert(point_of(&at), mount.clone());
        table.order.push(mount.clone());
        mount.set_point(Some(at));
        Ok(mount)
    }

    /// Unmounts the mount whose root `at` is: `EINVAL` if it is none, `EBUSY` if something is
    /// mounted below it or uses it, unless `lazy` (`MNT_DETACH`).
    pub fn unmount(&self, at: &Path, detach: Detach) -> Result<(), Errno> {
        let mount = at.mount();
        if !at.is_mount_root() {
            return Err(Errno::EINVAL);
        }
        let Some(point) = mount.point() else {
            return Err(Errno::EINVAL);
        };
        let mut table = self.table.write();
        let below: Vec<Arc<Mount>> = table
            .order
            .iter()
            .filter(|other| !Arc::ptr_eq(mount, other) && mount.is_ancestor_of(other))
            .cloned()
            .collect();
        // The table's two, and the caller's path.
        const IDLE_OWNERS: usize = 3;
        if detach == Detach::IfUnused
            && (!below.is_empty() || Arc::strong_count(mount) > IDLE_OWNERS)
        {
            return Err(Errno::EBUSY);
        }
        // Deepest first; the points are dropped after the lock.
        let mut gone = Vec::new();
        for mount in below.iter().rev() {
            if let Some(point) = mount.point() {
                gone.push(table.detach(mount, &point));
            }
        }
        gone.push(table.detach(mount, &point));
        drop(table);
        for mount in gone.into_iter().flatten() {
            mount.set_point(None);
        }
        Ok(())
    }

    /// The root of what is mounted over `path`, or `path` itself.
    #[must_use]
    pub fn covering(&self, mut path: Path) -> Path {
        while path.dentry().is_mount_point() {
            let Some(mount) = self.table.read().covers.get(&point_of(&path)).cloned() else {
                break;
            };
            let top = mount.root().clone();
            path = Path::new(mount, top);
        }
        path
    }
}

impl Table {
    fn detach(&mut self, mount: &Arc<Mount>, point: &Path) -> Option<Arc<Mount>> {
        self.order.retain(|other| !Arc::ptr_eq(mount, other));
        let gone = self.covers.remove(&point_of(point));
        if gone.is_some() {
            point.dentry().remove_mount();
        }
        gone
    }
}

/// Whether an unmount waits for users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detach {
    /// Fail if something uses it.
    IfUnused,
    /// Take it, and what is mounted below, out of the tree; users keep it until they are done.
    Lazily,
}

impl fmt::Debug for MountNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.table.read().order).finish()
    }
}
