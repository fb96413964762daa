//! Inodes of objects that have no place in a tree: pipes, sockets, eventfds.

use crate::fs::{
    Attachment, AttributeChange, DeviceId, File, FileKind, FileSystem, FileSystemStatistics, Inode,
    Metadata, Owner, StatusFlags,
};
use crate::sync::Mutex;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use capsid_platform::{Clock, Errno, PAGE_SIZE, platform};
use core::sync::atomic::{AtomicU64, Ordering};

/// The number of all anonymous inodes: they are told apart by nobody, as on Linux.
const ANONYMOUS_NUMBER: u64 = 1;

/// The inode of an object that is no file.
#[derive(Debug)]
pub struct DetachedInode {
    number: u64,
    kind: FileKind,
    /// `pipe`, `socket`, or the whole label of an anonymous one.
    class: &'static str,
    attributes: Mutex<Attributes>,
    attachment: Attachment,
}

#[derive(Clone, Copy, Debug)]
struct Attributes {
    permissions: u32,
    owner: Owner,
    time: u64,
}

impl DetachedInode {
    /// Makes an inode of its own for an object.
    #[must_use]
    pub fn new(
        kind: FileKind,
        permissions: u32,
        owner: Owner,
        class: &'static str,
    ) -> Arc<DetachedInode> {
        static NEXT: AtomicU64 = AtomicU64::new(ANONYMOUS_NUMBER + 1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        DetachedInode::numbered(number, kind, permissions, owner, class)
    }

    /// Makes the inode that objects of a class such as `[eventfd]` show.
    #[must_use]
    pub fn anonymous(class: &'static str) -> Arc<DetachedInode> {
        let kind = FileKind::Anonymous;
        DetachedInode::numbered(ANONYMOUS_NUMBER, kind, 0o600, Owner::default(), class)
    }

    fn numbered(
        number: u64,
        kind: FileKind,
        permissions: u32,
        owner: Owner,
        class: &'static str,
    ) -> Arc<DetachedInode> {
        Arc::new(DetachedInode {
            number,
            kind,
            class,
            attributes: Mutex::new(Attributes {
                permissions,
                owner,
                time: platform().now(Clock::Realtime),
            }),
            attachment: Attachment::default(),
        })
    }

    /// What `/proc/self/fd` shows.
    #[must_use]
    pub fn label(&self) -> String {
        match self.kind {
            FileKind::Anonymous => format!("anon_inode:{}", self.class),
            _ => format!("{}:[{}]", self.class, self.number),
        }
    }
}

impl Inode for DetachedInode {
    fn metadata(&self) -> Result<Metadata, Errno> {
        let attributes = *self.attributes.lock();
        Ok(Metadata {
            device: DetachedFileSystem::of(self.kind).device(),
            inode: self.number,
            kind: self.kind,
            permissions: attributes.permissions,
            links: 1,
            owner: attributes.owner,
            special_device: DeviceId::default(),
            size: 0,
            blocks: 0,
            block_size: 4096,
            atime: attributes.time,
            mtime: attributes.time,
            ctime: attributes.time,
            btime: 0,
        })
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::new(DetachedFileSystem::of(self.kind))
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        if change.size.is_some() {
            return Err(Errno::EINVAL);
        }
        let mut attributes = self.attributes.lock();
        if let Some(permissions) = change.permissions {
            attributes.permissions = permissions;
        }
        if let Some(user) = change.user {
            attributes.owner.user = user;
        }
        if let Some(group) = change.group {
            attributes.owner.group = group;
        }
        Ok(())
    }

    fn attachment(&self) -> Option<&Attachment> {
        Some(&self.attachment)
    }

    fn open(self: Arc<Self>, _flags: StatusFlags) -> Result<Arc<dyn File>, Errno> {
        Err(Errno::ENXIO)
    }
}

/// The file systems that Linux keeps such objects in; none can be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DetachedFileSystem {
    Pipes,
    Sockets,
    Anonymous,
}

impl DetachedFileSystem {
    fn of(kind: FileKind) -> DetachedFileSystem {
        match kind {
            FileKind::Fifo => DetachedFileSystem::Pipes,
            FileKind::Socket => DetachedFileSystem::Sockets,
            _ => DetachedFileSystem::Anonymous,
        }
    }

    fn device(self) -> u64 {
        match self {
            DetachedFileSystem::Pipes => 14,
            DetachedFileSystem::Sockets => 9,
            DetachedFileSystem::Anonymous => 15,
        }
    }
}

impl FileSystem for DetachedFileSystem {
    fn root(&self) -> Arc<dyn Inode> {
        DetachedInode::anonymous("[root]")
    }

    fn statistics(&self) -> Result<FileSystemStatistics, Errno> {
        Ok(FileSystemStatistics {
            block_size: PAGE_SIZE as u64,
            ..FileSystemStatistics::default()
        })
    }

    fn type_name(&self) -> &'static str {
        match self {
            DetachedFileSystem::Pipes => "pipefs",
            DetachedFileSystem::Sockets => "sockfs",
            DetachedFileSystem::Anonymous => "anon_inodefs",
        }
    }

    fn magic(&self) -> u64 {
        match self {
            DetachedFileSystem::Pipes => 0x5049_5045,
            DetachedFileSystem::Sockets => 0x534f_434b,
            DetachedFileSystem::Anonymous => 0x0904_1934,
        }
    }
}
