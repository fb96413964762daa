//! Making and removing names: mkdir(2), mknod(2), symlink(2), link(2), unlink(2), rmdir(2).

use crate::credentials::Capabilities;
use crate::fs::notify::{FileEvents, inode_event, name_event};
use crate::fs::permission::{self, Access, SET_GROUP, SET_USER};
use crate::fs::view::{Place, View};
use crate::fs::walk::LastKind;
use crate::fs::{FileKind, Inode, LookupFlags, NewNode, PATH_MAX, Path};
use alloc::sync::Arc;
use capsid_platform::Errno;

impl View<'_> {
    /// Makes a directory.
    pub fn make_directory(&self, place: Place<'_>, mode: u32) -> Result<(), Errno> {
        self.make(place, |directory| {
            let (owner, inherits) = self.new_owner(directory)?;
            let mut mode = self.new_mode(mode & 0o1777, owner.group, false);
            if inherits {
                mode |= SET_GROUP;
            }
            Ok((NewNode::Directory, mode, owner))
        })
    }

    /// Makes a regular file, FIFO, socket name or device node. `EPERM` for devices without the
    /// capability, and for directories.
    pub fn make_node(&self, place: Place<'_>, node: NewNode<'_>, mode: u32) -> Result<(), Errno> {
        match node {
            NewNode::Directory | NewNode::Symlink(_) => return Err(Errno::EPERM),
            NewNode::CharacterDevice(_) | NewNode::BlockDevice(_)
                if !self.credentials.has(Capabilities::MKNOD) =>
            {
                return Err(Errno::EPERM);
            }
            _ => {}
        }
        self.make(place, |directory| {
            let (owner, inherits) = self.new_owner(directory)?;
            let mode = self.new_mode(mode & 0o7777, owner.group, inherits);
            Ok((node, mode, owner))
        })
    }

    /// Makes a symlink that says `target`: `ENOENT` if that is empty.
    pub fn make_symlink(&self, target: &[u8], place: Place<'_>) -> Result<(), Errno> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        if target.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.make(place, |directory| {
            let (owner, _) = self.new_owner(directory)?;
            Ok((NewNode::Symlink(target), 0o777, owner))
        })
    }

    /// Makes a socket name for bind(2) and returns its place: `EADDRINUSE` if it exists.
    pub fn bind_socket(&self, place: Place<'_>) -> Result<Path, Errno> {
        let result = self.make_at(place, |directory| {
            let (owner, inherits) = self.new_owner(directory)?;
            let mode = self.new_mode(0o777, owner.group, inherits);
            Ok((NewNode::Socket, mode, owner))
        });
        match result {
            Err(Errno::EEXIST) => Err(Errno::EADDRINUSE),
            result => result,
        }
    }

    fn make<'n>(
        &self,
        place: Place<'_>,
        plan: impl FnOnce(&Path) -> Result<(NewNode<'n>, u32, super::Owner), Errno>,
    ) -> Result<(), Errno> {
        self.make_at(place, plan).map(drop)
    }

    fn make_at<'n>(
        &self,
        place: Place<'_>,
        plan: impl FnOnce(&Path) -> Result<(NewNode<'n>, u32, super::Owner), Errno>,
    ) -> Result<Path, Errno> {
        let parent = self.parent(place)?;
        let LastKind::Name(name) = parent.kind else {
            return Err(Errno::EEXIST);
        };
        check_length(name)?;
        let directory = &parent.directory;
        let names = directory.dentry().lock_names();
        match names.child(name) {
            Ok(_) => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        let (node, mode, owner) = plan(directory)?;
        if parent.slashes && !matches!(node, NewNode::Directory) {
            return Err(Errno::ENOENT);
        }
        if directory.dentry().is_unlinked() {
            return Err(Errno::ENOENT);
        }
        permission::check(directory, Access::CHANGE_NAMES, self.credentials)?;
        let inode = directory.inode().create(name, node, mode, owner)?;
        let dentry = names.found(name, inode);
        let kind = dentry.inode().kind();
        name_event(directory.dentry(), name, FileEvents::CREATE, kind);
        Ok(Path::new(directory.mount().clone(), dentry))
    }

    /// Gives a file another name, linkat(2). `flags` say whether to follow a symlink at the end
    /// of `from`, and whether an empty path means its start.
    pub fn link(&self, from: Place<'_>, to: Place<'_>, flags: LookupFlags) -> Result<(), Errno> {
        if from.path.is_empty()
            && flags.contains(LookupFlags::EMPTY_PATH)
            && !self.credentials.has(Capabilities::DAC_READ_SEARCH)
        {
            return Err(Errno::ENOENT);
        }
        let target = self.resolve(from, flags)?;
        let parent = self.parent(to)?;
        let LastKind::Name(name) = parent.kind else {
            return Err(Errno::EEXIST);
        };
        check_length(name)?;
        let directory = &parent.directory;
        let names = directory.dentry().lock_names();
        match names.child(name) {
            Ok(_) => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) if parent.slashes => return Err(Errno::ENOENT),
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        if directory.dentry().is_unlinked() {
            return Err(Errno::ENOENT);
        }
        permission::check_writable(directory)?;
        if !Arc::ptr_eq(target.mount(), directory.mount()) {
            return Err(Errno::EXDEV);
        }
        self.check_link_source(target.inode())?;
        permission::check(directory, Access::CHANGE_NAMES, self.credentials)?;
        if target.is_directory() {
            return Err(Errno::EPERM);
        }
        directory.inode().link(name, target.inode())?;
        names.found(name, target.inode().clone());
        inode_event(target.inode(), FileEvents::ATTRIBUTES);
        let kind = target.kind();
        name_event(directory.dentry(), name, FileEvents::CREATE, kind);
        Ok(())
    }

    /// protected_hardlinks: no hard links to what one could not write, or to set-id programs.
    fn check_link_source(&self, inode: &Arc<dyn Inode>) -> Result<(), Errno> {
        if permission::owns(&**inode, self.credentials)? {
            return Ok(());
        }
        let (_, permissions) = inode.permissions()?;
        let safe = inode.kind() == FileKind::Regular
            && permissions & SET_USER == 0
            && permissions & (SET_GROUP | 0o010) != SET_GROUP | 0o010
            && permission::check_inode(&**inode, Access::READ | Access::WRITE, self.credentials)
                .is_ok();
        if safe { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Removes a name that is not a directory's.
    pub fn unlink(&self, place: Place<'_>) -> Result<(), Errno> {
        let parent = self.parent(place)?;
        let LastKind::Name(name) = parent.kind else {
            return Err(Errno::EISDIR);
        };
        check_length(name)?;
        let directory = &parent.directory;
        permission::check_writable(directory)?;
        let names = directory.dentry().lock_names();
        let victim = names.child(name)?;
        let is_directory = victim.inode().kind() == FileKind::Directory;
        if parent.slashes {
            return Err(if is_directory {
                Errno::EISDIR
            } else {
                Errno::ENOTDIR
            });
        }
        permission::check_remove(directory, victim.inode(), self.credentials)?;
        if is_directory {
            return Err(Errno::EISDIR);
        }
        if victim.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        directory.inode().unlink(name)?;
        names.missing(name);
        inode_event(victim.inode(), FileEvents::ATTRIBUTES);
        let kind = victim.inode().kind();
        name_event(directory.dentry(), name, FileEvents::DELETE, kind);
        drop(names);
        Ok(())
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, place: Place<'_>) -> Result<(), Errno> {
        let parent = self.parent(place)?;
        let name = match parent.kind {
            LastKind::Name(name) => name,
            LastKind::Dot => return Err(Errno::EINVAL),
            LastKind::DotDot => return Err(Errno::ENOTEMPTY),
            LastKind::Root => return Err(Errno::EBUSY),
        };
        check_length(name)?;
        let directory = &parent.directory;
        permission::check_writable(directory)?;
        let names = directory.dentry().lock_names();
        let victim = names.child(name)?;
        permission::check_remove(directory, victim.inode(), self.credentials)?;
        if victim.inode().kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if victim.is_mount_point() {
            return Err(Errno::EBUSY);
        }
        // Locks the victim's names too: nothing is looked up or made in it while it goes.
        let inside = victim.lock_names();
        directory.inode().remove_directory(name)?;
        names.missing(name);
        drop(inside);
        let kind = FileKind::Directory;
        name_event(directory.dentry(), name, FileEvents::DELETE, kind);
        Ok(())
    }
}

/// Checks the length of a name: `ENAMETOOLONG`.
pub(super) fn check_length(name: &[u8]) -> Result<(), Errno> {
    if name.len() > super::NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(())
}
