//! Files: the traits that file systems implement, and the walk over them.
//!
//! An [`Inode`] is a named object of a file system, a [`File`] is what an inode (or a pipe, a
//! socket, an eventfd) becomes when opened, and an [`OpenFile`] is the open file description that
//! descriptors share.

mod file;
mod inode;
mod metadata;
mod open_file;

pub use file::{Allocation, File, Mappable, WriteAt};
pub use inode::{DirectoryEntry, FileSystem, FileSystemStatistics, Inode, NewNode, RenameFlags};
pub use metadata::{AttributeChange, DeviceId, FileKind, Metadata, Owner, TimeChange};
pub use open_file::{OpenFile, StatusFlags};

/// The longest name of one path component, in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;
/// The longest path, in bytes, with its terminator (`PATH_MAX`).
pub const PATH_MAX: usize = 4096;
