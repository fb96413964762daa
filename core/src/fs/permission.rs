//! Who may do what with an inode, path_resolution(7) and inode(7).

use crate::credentials::{Capabilities, Credentials};
use crate::fs::{FileKind, Inode, MountFlags, Path};
use alloc::sync::Arc;
use bitflags::bitflags;
use capsid_platform::Errno;

bitflags! {
    /// What is asked for, with the bits of access(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Access: u32 {
        /// Execute a file, search a directory.
        const EXECUTE = 1;
        /// Write.
        const WRITE = 2;
        /// Read.
        const READ = 4;
    }
}

impl Access {
    /// What adding and removing names in a directory takes.
    pub const CHANGE_NAMES: Access = Access::WRITE.union(Access::EXECUTE);
}

/// Checks the permission bits of an inode against credentials: `EACCES`.
pub fn check_inode(
    inode: &dyn Inode,
    access: Access,
    credentials: &Credentials,
) -> Result<(), Errno> {
    let is_directory = inode.kind() == FileKind::Directory;
    // The capabilities first: for root no look at the inode is needed.
    if is_directory && credentials.has(Capabilities::DAC_OVERRIDE) {
        return Ok(());
    }
    let (owner, permissions) = inode.permissions()?;
    let shift = if credentials.user.file_system == owner.user {
        6
    } else if credentials.in_group(owner.group) {
        3
    } else {
        0
    };
    if Access::from_bits_retain(permissions >> shift).contains(access) {
        return Ok(());
    }
    let read_only = !access.contains(Access::WRITE);
    let allowed = if is_directory {
        read_only && credentials.has(Capabilities::DAC_READ_SEARCH)
    } else {
        let executable = !access.contains(Access::EXECUTE) || permissions & 0o111 != 0;
        (executable && credentials.has(Capabilities::DAC_OVERRIDE))
            || (access == Access::READ && credentials.has(Capabilities::DAC_READ_SEARCH))
    };
    if allowed { Ok(()) } else { Err(Errno::EACCES) }
}

/// Checks a place: as [`check_inode`], and `EROFS` for writes of what a read-only mount holds.
pub fn check(path: &Path, access: Access, credentials: &Credentials) -> Result<(), Errno> {
    let writable_file = matches!(
        path.kind(),
        FileKind::Regular | FileKind::Directory | FileKind::Symlink
    );
    if access.contains(Access::WRITE) && writable_file {
        check_writable(path)?;
    }
    check_inode(&**path.inode(), access, credentials)
}

/// Checks that the mount lets its files be changed: `EROFS`.
pub fn check_writable(path: &Path) -> Result<(), Errno> {
    if path.mount().flags().contains(MountFlags::READ_ONLY) {
        return Err(Errno::EROFS);
    }
    Ok(())
}

/// Whether the credentials are those of the inode's owner, or as good.
pub fn owns(inode: &dyn Inode, credentials: &Credentials) -> Result<bool, Errno> {
    if credentials.has(Capabilities::FOWNER) {
        return Ok(true);
    }
    let (owner, _) = inode.permissions()?;
    Ok(owner.user == credentials.user.file_system)
}

/// Checks that a name in `directory` that stands for `victim` may be removed: `EACCES`, and
/// `EPERM` for another's file in a sticky directory.
pub fn check_remove(
    directory: &Path,
    victim: &Arc<dyn Inode>,
    credentials: &Credentials,
) -> Result<(), Errno> {
    check(directory, Access::CHANGE_NAMES, credentials)?;
    if credentials.has(Capabilities::FOWNER) {
        return Ok(());
    }
    let (owner, permissions) = directory.inode().permissions()?;
    let user = credentials.user.file_system;
    if permissions & STICKY == 0 || owner.user == user {
        return Ok(());
    }
    let (victim, _) = victim.permissions()?;
    if victim.user == user {
        return Ok(());
    }
    Err(Errno::EPERM)
}

/// Set-user-id bit.
pub const SET_USER: u32 = 0o4000;
/// Set-group-id bit.
pub const SET_GROUP: u32 = 0o2000;
/// Sticky bit.
pub const STICKY: u32 = 0o1000;
