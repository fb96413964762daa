//! Places in the tree of a namespace, and how they read as text, getcwd(2).

use crate::fs::dentry::Dentry;
use crate::fs::{FileKind, Inode, Mount, MountFlags, Tree};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// A place: a dentry, and the mount through which it is seen. Cheap to clone.
#[derive(Clone)]
pub struct Path {
    mount: Arc<Mount>,
    dentry: Arc<Dentry>,
}

/// Where a rendered path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// At the root it was rendered from.
    Root,
    /// Outside that root.
    Unreachable,
    /// Nowhere: the object has no place in a tree, only a label such as `pipe:[5]`.
    Label,
}

impl Path {
    pub(super) fn new(mount: Arc<Mount>, dentry: Arc<Dentry>) -> Path {
        Path { mount, dentry }
    }

    /// Makes a place for an inode that hangs in no tree, as the pipes behind `/proc/self/fd` do.
    /// `label` is what it reads as.
    #[must_use]
    pub fn detached(inode: Arc<dyn Inode>, label: &[u8]) -> Path {
        let tree = Tree::new(inode.file_system());
        let dentry = Dentry::detached(inode, label, false);
        let top = tree.root().clone();
        Path {
            mount: Mount::new(tree, top, MountFlags::empty(), b"none"),
            dentry,
        }
    }

    /// The mount.
    #[must_use]
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// The dentry.
    #[must_use]
    pub fn dentry(&self) -> &Arc<Dentry> {
        &self.dentry
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// The inode's type.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        self.inode().kind()
    }

    /// Whether this is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind() == FileKind::Directory
    }

    /// Whether this is the top of its mount.
    #[must_use]
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(self.mount.root(), &self.dentry)
    }

    /// Whether both are the same place.
    #[must_use]
    pub fn is_same(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.dentry, &other.dentry) && Arc::ptr_eq(&self.mount, &other.mount)
    }

    pub(super) fn set_dentry(&mut self, dentry: Arc<Dentry>) {
        self.dentry = dentry;
    }

    /// The place above, without leaving `root`: `..`. A root's parent is itself.
    #[must_use]
    pub fn parent(&self, root: &Path) -> Path {
        let mut at = self.clone();
        loop {
            if at.is_same(root) {
                return at;
            }
            if at.is_mount_root() {
                match at.mount.point() {
                    Some(point) => at = point,
                    None => return at,
                }
                continue;
            }
            return match at.dentry.parent() {
                Some(parent) => Path::new(at.mount, parent),
                None => at,
            };
        }
    }

    /// The place above, across mounts and whatever a task's root is.
    pub(super) fn above(&self) -> Path {
        let mut at = self.clone();
        while at.is_mount_root()
            && let Some(point) = at.mount.point()
        {
            at = point;
        }
        match at.dentry.parent() {
            Some(parent) => Path::new(at.mount, parent),
            None => at,
        }
    }

    /// Reads the place as text from `root`, without what follows a removed name.
    #[must_use]
    pub fn text(&self, root: &Path) -> (Vec<u8>, Reach) {
        let mut names = Vec::new();
        let mut at = self.clone();
        let reach = loop {
            if at.is_same(root) {
                break Reach::Root;
            }
            if at.is_mount_root() {
                match at.mount.point() {
                    Some(point) => at = point,
                    None => break Reach::Unreachable,
                }
                continue;
            }
            let (parent, name) = at.dentry.parent_and_name();
            match parent {
                Some(parent) => {
                    names.push(name);
                    at = Path::new(at.mount, parent);
                }
                None if names.is_empty() && !name.is_empty() => {
                    return (name.to_vec(), Reach::Label);
                }
                None => break Reach::Unreachable,
            }
        };
        let mut text = Vec::with_capacity(64);
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        if text.is_empty() {
            text.push(b'/');
        }
        (text, reach)
    }

    /// Reads the place as `/proc/self/fd` and `/proc/self/exe` do: with ` (deleted)` if the name
    /// was removed.
    #[must_use]
    pub fn link_text(&self, root: &Path) -> Vec<u8> {
        let (mut text, reach) = self.text(root);
        if self.dentry.is_unlinked() && reach != Reach::Label {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }

    /// Reads the place as getcwd(2) does: `None` (`ENOENT`) if it was removed, and with
    /// `(unreachable)` in front if `root` does not lie above it.
    #[must_use]
    pub fn directory_text(&self, root: &Path) -> Option<Vec<u8>> {
        if self.dentry.is_unlinked() {
            return None;
        }
        let (text, reach) = self.text(root);
        Some(match reach {
            Reach::Root | Reach::Label => text,
            Reach::Unreachable => [b"(unreachable)", text.as_slice()].concat(),
        })
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Path")
            .field("mount", &self.mount)
            .field("dentry", &self.dentry)
            .finish()
    }
}
