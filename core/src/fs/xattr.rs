//! Extended attributes and who may touch which, xattr(7).

use crate::credentials::Capabilities;
use crate::fs::notify::{FileEvents, dentry_event};
use crate::fs::permission::{self, Access, STICKY};
use crate::fs::view::View;
use crate::fs::{FileKind, Path};
use alloc::vec::Vec;
use capsid_platform::Errno;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// The longest value, in bytes.
const VALUE_BYTES_MAX: usize = 65_536;

/// Whether an attribute is read or changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Change,
}

impl View<'_> {
    /// Reads an attribute: `ENODATA`.
    pub fn xattr(&self, path: &Path, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.check_xattr(path, name, Use::Read)?;
        path.inode().xattr(name)
    }

    /// Sets an attribute; `create` and `replace` are the flags of setxattr(2).
    pub fn set_xattr(
        &self,
        path: &Path,
        name: &[u8],
        value: &[u8],
        create: bool,
        replace: bool,
    ) -> Result<(), Errno> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(Errno::E2BIG);
        }
        self.check_xattr(path, name, Use::Change)?;
        path.inode().set_xattr(name, value, create, replace)?;
        dentry_event(path.dentry(), FileEvents::ATTRIBUTES);
        Ok(())
    }

    /// Removes an attribute.
    pub fn remove_xattr(&self, path: &Path, name: &[u8]) -> Result<(), Errno> {
        self.check_xattr(path, name, Use::Change)?;
        path.inode().remove_xattr(name)?;
        dentry_event(path.dentry(), FileEvents::ATTRIBUTES);
        Ok(())
    }

    /// The names that the credentials may see.
    pub fn xattr_names(&self, path: &Path) -> Result<Vec<Vec<u8>>, Errno> {
        let mut names = path.inode().xattr_names()?;
        if !self.credentials.has(Capabilities::SYS_ADMIN) {
            names.retain(|name| !name.starts_with(b"trusted."));
        }
        Ok(names)
    }

    fn check_xattr(&self, path: &Path, name: &[u8], what: Use) -> Result<(), Errno> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Errno::ERANGE);
        }
        if what == Use::Change {
            permission::check_writable(path)?;
        }
        let refusal = match what {
            Use::Read => Errno::ENODATA,
            Use::Change => Errno::EPERM,
        };
        let inode = &**path.inode();
        if name.starts_with(b"trusted.") {
            return if self.credentials.has(Capabilities::SYS_ADMIN) {
                Ok(())
            } else {
                Err(refusal)
            };
        }
        if name.starts_with(b"security.") {
            let needed = if name == b"security.capability" {
                Capabilities::SETFCAP
            } else {
                Capabilities::SYS_ADMIN
            };
            return match what {
                Use::Change if !self.credentials.has(needed) => Err(Errno::EPERM),
                _ => Ok(()),
            };
        }
        if !name.starts_with(b"user.") || name == b"user." {
            return Err(Errno::EOPNOTSUPP);
        }
        match path.kind() {
            FileKind::Regular => {}
            FileKind::Directory => {
                let (_, permissions) = inode.permissions()?;
                if what == Use::Change
                    && permissions & STICKY != 0
                    && !permission::owns(inode, self.credentials)?
                {
                    return Err(Errno::EPERM);
                }
            }
            _ => return Err(refusal),
        }
        let access = match what {
            Use::Read => Access::READ,
            Use::Change => Access::WRITE,
        };
        permission::check_inode(inode, access, self.credentials)
    }
}
