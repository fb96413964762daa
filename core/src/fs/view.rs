//! How a task sees the tree: its namespace, its root, who it is.

use crate::credentials::Credentials;
use crate::fs::dentry::{Dentry, LockedNames};
use crate::fs::walk::{LastKind, Walk};
use crate::fs::{LookupFlags, Metadata, MountNamespace, Owner, Path};
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;

/// What the path operations of a task depend on. Made for one call, of borrowed parts.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The mounts.
    pub namespace: &'a MountNamespace,
    /// The root directory, chroot(2).
    pub root: &'a Path,
    /// Who acts.
    pub credentials: &'a Credentials,
    /// Permission bits that new files do not get, umask(2).
    pub umask: u32,
}

/// A path as a call names it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Where a relative path starts: the working directory, or what a descriptor stands for.
    pub start: &'a Path,
    /// The path, without a terminator.
    pub path: &'a [u8],
}

/// The directory that a path's last name is looked up in, and that name.
#[derive(Debug)]
pub(super) struct Parent<'a> {
    /// The directory; search permission was checked.
    pub(super) directory: Path,
    /// The last component.
    pub(super) kind: LastKind<'a>,
    /// Slashes follow it.
    pub(super) slashes: bool,
}

impl View<'_> {
    /// Finds what a path names.
    pub fn resolve(&self, place: Place<'_>, flags: LookupFlags) -> Result<Path, Errno> {
        let mut walk = Walk::start(self, place, flags)?;
        walk.walk_to_end(place.path, flags)?;
        Ok(walk.at)
    }

    /// Finds the directory of a path's last name.
    pub(super) fn parent<'p>(&self, place: Place<'p>) -> Result<Parent<'p>, Errno> {
        let mut walk = Walk::start(self, place, LookupFlags::empty())?;
        let last = walk.walk_to_parent(place.path)?;
        Ok(Parent {
            directory: walk.at,
            kind: last.kind,
            slashes: last.slashes,
        })
    }

    /// Attributes of what a path names, stat(2).
    pub fn metadata(&self, place: Place<'_>, flags: LookupFlags) -> Result<Metadata, Errno> {
        self.resolve(place, flags)?.inode().metadata()
    }

    /// Reads a symlink, readlink(2): `EINVAL` if it is none. An empty path reads the link that
    /// `place.start` is.
    pub fn read_link(&self, place: Place<'_>) -> Result<Vec<u8>, Errno> {
        let flags = LookupFlags::EMPTY_PATH;
        let link = self.resolve(place, flags)?;
        let result = self.read_link_of(&link);
        match result {
            Err(Errno::EINVAL) if place.path.is_empty() => Err(Errno::ENOENT),
            result => result,
        }
    }

    /// Reads the symlink at `link`.
    pub fn read_link_of(&self, link: &Path) -> Result<Vec<u8>, Errno> {
        match link.inode().follow()? {
            Some(target) => Ok(target.link_text(self.root)),
            None => link.inode().read_link(),
        }
    }

    /// The owner of what is created in `directory`: a set-group-id directory gives its group.
    pub(super) fn new_owner(&self, directory: &Path) -> Result<(Owner, bool), Errno> {
        let mut owner = Owner {
            user: self.credentials.user.file_system,
            group: self.credentials.group.file_system,
        };
        let (parent, permissions) = directory.inode().permissions()?;
        let inherits = permissions & super::permission::SET_GROUP != 0;
        if inherits {
            owner.group = parent.group;
        }
        Ok((owner, inherits))
    }
}

impl<'a> Place<'a> {
    /// A path, relative to `start`.
    #[must_use]
    pub fn new(start: &'a Path, path: &'a [u8]) -> Place<'a> {
        Place { start, path }
    }
}

/// Locks the names of two directories, or of one. The caller holds the tree's move lock if they
/// differ, so that neither moves.
pub(super) fn lock_both<'a>(
    first: &'a Arc<Dentry>,
    second: &'a Arc<Dentry>,
) -> (LockedNames<'a>, Option<LockedNames<'a>>) {
    if Arc::ptr_eq(first, second) {
        return (first.lock_names(), None);
    }
    // From the top down, as rmdir locks; else by address, so that two cannot wait for each other.
    let first_leads = first.is_ancestor_of(second)
        || (!second.is_ancestor_of(first) && Arc::as_ptr(first) < Arc::as_ptr(second));
    if first_leads {
        let one = first.lock_names();
        let two = second.lock_names();
        (one, Some(two))
    } else {
        let two = second.lock_names();
        let one = first.lock_names();
        (one, Some(two))
    }
}
