//! Inodes and file systems: what an implementation provides.

use crate::fs::write_access::WriteAccess;
use crate::fs::{
    Attachment, AttributeChange, DeviceId, File, FileKind, Metadata, Owner, Path, StatusFlags,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use capsid_platform::Errno;
use core::any::Any;
use core::fmt::Debug;
use core::ops::ControlFlow;

/// One file system.
pub trait FileSystem: Send + Sync + Debug {
    /// The root directory.
    fn root(&self) -> Arc<dyn Inode>;

    /// Sizes, statfs(2).
    fn statistics(&self) -> Result<FileSystemStatistics, Errno>;

    /// The type's name, as in `/proc/mounts`.
    fn type_name(&self) -> &'static str;

    /// The type's magic number, statfs(2).
    fn magic(&self) -> u64;

    /// Whether look-ups below it may be kept in the dentry cache without asking again.
    fn caches_names(&self) -> bool {
        true
    }

    /// Flushes everything, sync(2).
    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// The last mount of it went away, and nothing opened through one is left.
    fn unmounted(&self) {}
}

/// Sizes of a file system, statfs(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of statfs(2)")]
pub struct FileSystemStatistics {
    pub block_size: u64,
    pub blocks: u64,
    pub blocks_free: u64,
    pub files: u64,
    pub files_free: u64,
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryEntry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The inode number.
    pub inode: u64,
    /// The type.
    pub kind: FileKind,
    /// The position after this entry: where a later read goes on. Never 0.
    pub next: u64,
}

/// What to create.
#[derive(Clone, Copy, Debug)]
pub enum NewNode<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link to this path.
    Symlink(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// The name of a Unix socket.
    Socket,
    /// A character device node.
    CharacterDevice(DeviceId),
    /// A block device node.
    BlockDevice(DeviceId),
}

bitflags! {
    /// Flags of renameat2(2), with Linux's bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// Fail with `EEXIST` if the new name exists.
        const NOREPLACE = 1;
        /// Exchange the two.
        const EXCHANGE = 2;
        /// Leave a whiteout at the old name.
        const WHITEOUT = 4;
    }
}

/// A named object of a file system.
///
/// The walk has checked permissions, name lengths, `.` and `..`, and that both sides of a link or
/// rename lie in one file system. An implementation does its own locking; functions that change
/// a directory are atomic.
pub trait Inode: Any + Send + Sync + Debug {
    /// The attributes.
    fn metadata(&self) -> Result<Metadata, Errno>;

    /// The type. Never changes, so that it needs no look at the storage.
    fn kind(&self) -> FileKind;

    /// Owner and permission bits (07777): what each step of a walk asks for.
    fn permissions(&self) -> Result<(Owner, u32), Errno> {
        let metadata = self.metadata()?;
        Ok((metadata.owner, metadata.permissions))
    }

    /// Whether `other` is the same object. Asked where a look-up is repeated.
    fn is_same(&self, other: &dyn Inode) -> bool {
        match (self.metadata(), other.metadata()) {
            (Ok(one), Ok(two)) => {
                (one.device, one.inode, self.kind()) == (two.device, two.inode, other.kind())
            }
            _ => false,
        }
    }

    /// The file system.
    fn file_system(&self) -> Arc<dyn FileSystem>;

    /// Sets attributes, and no more: set-id bits that must go come as new permissions.
    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno>;

    /// Finds a name in this directory: `ENOENT`, `ENOTDIR`.
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let _ = name;
        Err(Errno::ENOTDIR)
    }

    /// As [`Inode::lookup`], in a walk that goes on with the path `rest` below the name, which may
    /// hold symlinks and `..`. A file system far away can fetch all of it at once.
    fn lookup_ahead(&self, name: &[u8], rest: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let _ = rest;
        self.lookup(name)
    }

    /// Creates a name: `EEXIST`, `ENOSPC`, `EROFS`.
    fn create(
        &self,
        name: &[u8],
        node: NewNode<'_>,
        permissions: u32,
        owner: Owner,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let _ = (name, node, permissions, owner);
        Err(Errno::ENOTDIR)
    }

    /// Makes a file without a name (`O_TMPFILE`), which [`Inode::link`] can name.
    fn create_unnamed(&self, permissions: u32, owner: Owner) -> Result<Arc<dyn Inode>, Errno> {
        let _ = (permissions, owner);
        Err(Errno::EOPNOTSUPP)
    }

    /// Gives `target`, of the same file system, another name here.
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let _ = (name, target);
        Err(Errno::EPERM)
    }

    /// Removes a name that is not a directory's.
    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::ENOTDIR)
    }

    /// Removes an empty directory: `ENOTEMPTY`.
    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::ENOTDIR)
    }

    /// Moves `name` to `new_name` in `new_parent`, rename(2): replaces a file, or an empty
    /// directory by a directory.
    fn rename(
        &self,
        name: &[u8],
        new_parent: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let _ = (name, new_parent, new_name, flags);
        Err(Errno::ENOTDIR)
    }

    /// Lists this directory without `.` and `..`, from `position` (0 at first, else a
    /// [`DirectoryEntry::next`]) until `emit` breaks. Names that exist throughout are seen
    /// exactly once, whatever changes between calls.
    fn read_directory(
        &self,
        position: u64,
        emit: &mut dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let _ = (position, emit);
        Err(Errno::ENOTDIR)
    }

    /// The target of this symlink.
    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    /// Where a magic link leads, as those of `/proc/self/fd` do without a path; `None` for an
    /// ordinary symlink.
    fn follow(&self) -> Result<Option<Path>, Errno> {
        Ok(None)
    }

    /// Where other parts of the library OS hang what belongs to this inode: the pipe of a FIFO,
    /// the socket bound to a name. `None` if the file system has no such nodes.
    fn attachment(&self) -> Option<&Attachment> {
        None
    }

    /// Who writes or executes this file; `None` if it cannot be written.
    fn write_access(&self) -> Option<&WriteAccess> {
        None
    }

    /// The identity of the bytes ([`Mappable::identity`](crate::fs::Mappable::identity)), if this
    /// library OS keeps them and they are mapped: who maps them must hear of a cut.
    fn mapped_identity(&self) -> Option<(u64, u64)> {
        None
    }

    /// Opens the object. Called for regular files and whatever is not a directory, FIFO, socket
    /// or device node; directories are read through [`Inode::read_directory`]. `flags` holds the
    /// access mode and status flags; creation and truncation were done.
    fn open(self: Arc<Self>, flags: StatusFlags) -> Result<Arc<dyn File>, Errno>;

    /// Reads an extended attribute: `ENODATA`, `EOPNOTSUPP`.
    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an extended attribute; `create` and `replace` are the flags of setxattr(2).
    fn set_xattr(
        &self,
        name: &[u8],
        value: &[u8],
        create: bool,
        replace: bool,
    ) -> Result<(), Errno> {
        let _ = (name, value, create, replace);
        Err(Errno::EOPNOTSUPP)
    }

    /// Removes an extended attribute.
    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }

    /// The names of the extended attributes.
    fn xattr_names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        Ok(Vec::new())
    }
}
