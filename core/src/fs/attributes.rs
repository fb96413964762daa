//! Attributes of files: chmod(2), chown(2), utimensat(2), truncate(2), access(2), statfs(2).

use crate::credentials::{Capabilities, Credentials};
use crate::fs::leases::{self, Breaker};
use crate::fs::notify::{FileEvents, dentry_event};
use crate::fs::permission::{self, Access, SET_GROUP, SET_USER};
use crate::fs::view::View;
use crate::fs::write_access::Hold;
use crate::fs::{
    AttributeChange, FileKind, FileSystemStatistics, Inode, MountFlags, Path, TimeChange,
};
use capsid_platform::Errno;

impl View<'_> {
    /// Sets permission bits (07777).
    pub fn set_mode(&self, path: &Path, mode: u32) -> Result<(), Errno> {
        permission::check_writable(path)?;
        let change = mode_change(&**path.inode(), mode, self.credentials)?;
        change_attributes(path, &change)
    }

    /// Sets owner and group; `None` leaves one alone.
    pub fn set_owner(
        &self,
        path: &Path,
        user: Option<u32>,
        group: Option<u32>,
    ) -> Result<(), Errno> {
        permission::check_writable(path)?;
        let change = owner_change(&**path.inode(), user, group, self.credentials)?;
        change_attributes(path, &change)
    }

    /// Sets times; `None` leaves one alone.
    pub fn set_times(
        &self,
        path: &Path,
        atime: Option<TimeChange>,
        mtime: Option<TimeChange>,
    ) -> Result<(), Errno> {
        if atime.is_none() && mtime.is_none() {
            return Ok(());
        }
        permission::check_writable(path)?;
        let inode = path.inode();
        let both_now = (atime, mtime) == (Some(TimeChange::Now), Some(TimeChange::Now));
        if !permission::owns(&**inode, self.credentials)? {
            if !both_now {
                return Err(Errno::EPERM);
            }
            permission::check(path, Access::WRITE, self.credentials)?;
        }
        let change = AttributeChange {
            atime,
            mtime,
            ..AttributeChange::default()
        };
        change_attributes(path, &change)
    }

    /// Sets the size of a regular file, in bytes.
    pub fn truncate(&self, path: &Path, size: u64) -> Result<(), Errno> {
        match path.kind() {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        permission::check(path, Access::WRITE, self.credentials)?;
        leases::check(path.inode(), Breaker::Writes)?;
        let _briefly = Hold::to_write(path.inode())?;
        let change = size_change(&**path.inode(), size, self.credentials)?;
        change_attributes(path, &change)
    }

    /// Checks access with the view's credentials: those of
    /// [`Credentials::with_real_ids`] for access(2).
    pub fn access(&self, path: &Path, access: Access) -> Result<(), Errno> {
        let no_execute = path.mount().flags().contains(MountFlags::NO_EXECUTE);
        if access.contains(Access::EXECUTE) && path.kind() == FileKind::Regular && no_execute {
            return Err(Errno::EACCES);
        }
        permission::check_inode(&**path.inode(), access, self.credentials)?;
        permission::check(path, access, self.credentials)
    }

    /// Sizes of the file system that holds `path`.
    pub fn statistics(&self, path: &Path) -> Result<FileSystemStatistics, Errno> {
        path.mount().file_system().statistics()
    }
}

/// Changes attributes, and tells those who watch.
fn change_attributes(path: &Path, change: &AttributeChange) -> Result<(), Errno> {
    path.inode().set_attributes(change)?;
    dentry_event(path.dentry(), FileEvents::of_change(change));
    Ok(())
}

/// What chmod(2) and fchmod(2) change, once allowed: `EPERM` for others than the owner.
pub fn mode_change(
    inode: &dyn Inode,
    mode: u32,
    credentials: &Credentials,
) -> Result<AttributeChange, Errno> {
    if inode.kind() == FileKind::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    if !permission::owns(inode, credentials)? {
        return Err(Errno::EPERM);
    }
    let (owner, _) = inode.permissions()?;
    let mut mode = mode & 0o7777;
    if !credentials.in_group(owner.group) && !credentials.has(Capabilities::FSETID) {
        mode &= !SET_GROUP;
    }
    Ok(AttributeChange {
        permissions: Some(mode),
        ..AttributeChange::default()
    })
}

/// What chown(2) and fchown(2) change, once allowed. Set-id bits of programs do not outlive a
/// change of hands.
pub fn owner_change(
    inode: &dyn Inode,
    user: Option<u32>,
    group: Option<u32>,
    credentials: &Credentials,
) -> Result<AttributeChange, Errno> {
    let (owner, permissions) = inode.permissions()?;
    if !credentials.has(Capabilities::CHOWN) {
        let is_owner = owner.user == credentials.user.file_system;
        let keeps_user = user.is_none_or(|user| user == owner.user && is_owner);
        let keeps_group = group
            .is_none_or(|group| is_owner && (group == owner.group || credentials.in_group(group)));
        if !keeps_user || !keeps_group {
            return Err(Errno::EPERM);
        }
    }
    let mut kept = permissions;
    if inode.kind() != FileKind::Directory {
        kept &= !SET_USER;
        let foreign = !credentials.in_group(owner.group) && !credentials.has(Capabilities::FSETID);
        if permissions & 0o010 != 0 || foreign {
            kept &= !SET_GROUP;
        }
    }
    Ok(AttributeChange {
        user,
        group,
        permissions: (kept != permissions).then_some(kept),
        ..AttributeChange::default()
    })
}

/// What truncate(2) changes, once allowed: the size, and set-id bits that the new contents must
/// not have.
pub(super) fn size_change(
    inode: &dyn Inode,
    size: u64,
    credentials: &Credentials,
) -> Result<AttributeChange, Errno> {
    let (_, permissions) = inode.permissions()?;
    let kept = if credentials.has(Capabilities::FSETID) {
        permissions
    } else {
        without_set_id(permissions)
    };
    Ok(AttributeChange {
        size: Some(size),
        permissions: (kept != permissions).then_some(kept),
        ..AttributeChange::default()
    })
}

/// Permission bits without those that make a program run as its owner. Set-group-id without
/// execution by the group means something else.
pub(super) fn without_set_id(permissions: u32) -> u32 {
    if permissions & 0o010 != 0 {
        permissions & !(SET_USER | SET_GROUP)
    } else {
        permissions & !SET_USER
    }
}
