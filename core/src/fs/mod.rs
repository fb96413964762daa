//! Files: the traits that file systems implement, and the walk over them.
//!
//! An [`Inode`] is a named object of a file system, a [`File`] is what an inode (or a pipe, a
//! socket, an eventfd) becomes when opened, and an [`OpenFile`] is the open file description that
//! descriptors share.

pub mod attributes;
mod dentry;
mod dentry_cache;
mod detached;
pub mod devfs;
mod directory_file;
pub mod erofs;
mod file;
pub mod hostfs;
mod inode;
pub mod leases;
pub mod locks;
pub mod memfd;
mod metadata;
mod mount;
mod names;
mod namespace;
pub mod notify;
mod open;
mod open_file;
pub mod overlay;
mod path;
pub mod permission;
mod rename;
pub mod special;
pub mod stdio;
#[cfg(test)]
mod tests;
pub mod tmpfs;
mod view;
mod walk;
pub mod write_access;
mod xattr;

pub use dentry::Dentry;
pub use dentry_cache::{forget_unused, remembered_names};
pub use detached::DetachedInode;
pub use directory_file::{DirectoryFile, PathFile};
pub use file::{Allocation, File, Mappable, WriteAt};
pub use inode::{DirectoryEntry, FileSystem, FileSystemStatistics, Inode, NewNode, RenameFlags};
pub use metadata::{
    AttributeChange, DeviceId, FileKind, Metadata, Owner, TimeChange, anonymous_device,
};
pub use mount::{Mount, MountFlags, Tree};
pub use namespace::{Detach, MountNamespace};
pub use open::{CreationFlags, OpenOptions};
pub use open_file::{DescriptionObserver, OpenFile, StatusFlags};
pub use path::{Path, Reach};
pub use permission::Access;
pub use special::Attachment;
pub use view::{Place, View};
pub use walk::LookupFlags;

/// The longest name of one path component, in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;
/// The longest path, in bytes, with its terminator (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;
