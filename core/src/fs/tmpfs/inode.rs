//! Inodes of tmpfs, and how names are made, moved and removed.

use super::attributes::{Attributes, now};
use super::content::Content;
use super::directory::Directory;
use super::xattrs::Xattrs;
use super::{Tmpfs, file};
use crate::fs::write_access::WriteAccess;
use crate::fs::{
    Attachment, AttributeChange, DeviceId, DirectoryEntry, File, FileKind, FileSystem, Inode,
    Mappable, Metadata, NewNode, Owner, RenameFlags, StatusFlags,
};
use crate::sync::RwLock;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::{Errno, PAGE_SIZE};
use core::any::Any;
use core::fmt;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};

/// An inode.
pub(in crate::fs) struct TmpInode {
    this: Weak<TmpInode>,
    pub(super) tmpfs: Arc<Tmpfs>,
    number: u64,
    pub(in crate::fs) attributes: Attributes,
    pub(super) node: Node,
    xattrs: Xattrs,
    write_access: WriteAccess,
    /// Made without a name, and may still get its first.
    nameless: AtomicBool,
}

/// What kind of inode it is.
pub(super) enum Node {
    Regular(Content),
    Directory(RwLock<Directory>),
    Symlink(Box<[u8]>),
    Fifo(Attachment),
    Socket(Attachment),
    CharacterDevice(DeviceId),
    BlockDevice(DeviceId),
}

impl TmpInode {
    /// Makes an inode without a name or links.
    pub(super) fn new(
        tmpfs: &Arc<Tmpfs>,
        node: NewNode<'_>,
        permissions: u32,
        owner: Owner,
    ) -> Arc<TmpInode> {
        let node = match node {
            NewNode::Regular => Node::Regular(Content::default()),
            NewNode::Directory => Node::Directory(RwLock::default()),
            NewNode::Symlink(target) => Node::Symlink(target.into()),
            NewNode::Fifo => Node::Fifo(Attachment::default()),
            NewNode::Socket => Node::Socket(Attachment::default()),
            NewNode::CharacterDevice(device) => Node::CharacterDevice(device),
            NewNode::BlockDevice(device) => Node::BlockDevice(device),
        };
        tmpfs.inodes.fetch_add(1, Ordering::Relaxed);
        Arc::new_cyclic(|this| TmpInode {
            this: this.clone(),
            tmpfs: tmpfs.clone(),
            number: tmpfs.next_inode.fetch_add(1, Ordering::Relaxed),
            attributes: Attributes::new(permissions, owner),
            node,
            xattrs: Xattrs::default(),
            write_access: WriteAccess::default(),
            nameless: AtomicBool::new(true),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn file_kind(&self) -> FileKind {
        match self.node {
            Node::Regular(_) => FileKind::Regular,
            Node::Directory(_) => FileKind::Directory,
            Node::Symlink(_) => FileKind::Symlink,
            Node::Fifo(_) => FileKind::Fifo,
            Node::Socket(_) => FileKind::Socket,
            Node::CharacterDevice(_) => FileKind::CharacterDevice,
            Node::BlockDevice(_) => FileKind::BlockDevice,
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.node, Node::Directory(_))
    }

    /// The names in it: `ENOTDIR`.
    pub(super) fn directory(&self) -> Result<&RwLock<Directory>, Errno> {
        match &self.node {
            Node::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn itself(&self) -> Option<Arc<TmpInode>> {
        self.this.upgrade()
    }

    /// The inode behind a trait object, if it is of this file system: `EXDEV`.
    fn of_same(&self, inode: &Arc<dyn Inode>) -> Result<Arc<TmpInode>, Errno> {
        let any: &dyn Any = &**inode;
        let inode: &TmpInode = any.downcast_ref().ok_or(Errno::EXDEV)?;
        if !Arc::ptr_eq(&inode.tmpfs, &self.tmpfs) {
            return Err(Errno::EXDEV);
        }
        inode.itself().ok_or(Errno::ESTALE)
    }

    /// Takes all names out of a directory that is torn down.
    pub(super) fn take_children(&self) -> Vec<Arc<TmpInode>> {
        match &self.node {
            Node::Directory(directory) => directory.write().take(),
            _ => Vec::new(),
        }
    }

    /// Counts the link that a new name of `inode` in this directory makes, and the new `..`.
    pub(super) fn link_child(&self, inode: &TmpInode) {
        inode.nameless.store(false, Ordering::Relaxed);
        if inode.is_directory() {
            inode.attributes.add_links(2);
            self.attributes.add_links(1);
        } else {
            inode.attributes.add_links(1);
        }
    }

    pub(super) fn unlink_child(&self, inode: &TmpInode, now: u64) {
        if inode.is_directory() {
            inode.attributes.remove_links(2);
            self.attributes.remove_links(1);
        } else {
            inode.attributes.remove_links(1);
        }
        inode.attributes.changed(now);
    }
}

impl Inode for TmpInode {
    fn metadata(&self) -> Result<Metadata, Errno> {
        let attributes = &self.attributes;
        let (atime, mtime, ctime) = attributes.times();
        let (size, pages) = match &self.node {
            Node::Regular(content) => (content.size(), content.pages()),
            Node::Symlink(target) => (target.len() as u64, 0),
            Node::Directory(directory) => (directory.read().size(), 0),
            _ => (0, 0),
        };
        Ok(Metadata {
            device: self.tmpfs.device.encode(),
            inode: self.number,
            kind: self.file_kind(),
            permissions: attributes.permissions(),
            links: attributes.links(),
            owner: attributes.owner(),
            special_device: match self.node {
                Node::CharacterDevice(device) | Node::BlockDevice(device) => device,
                _ => DeviceId::default(),
            },
            size,
            blocks: pages * (PAGE_SIZE as u64 / 512),
            block_size: 4096,
            atime,
            mtime,
            ctime,
            btime: attributes.btime,
        })
    }

    fn kind(&self) -> FileKind {
        self.file_kind()
    }

    fn permissions(&self) -> Result<(Owner, u32), Errno> {
        Ok((self.attributes.owner(), self.attributes.permissions()))
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.tmpfs.clone()
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        let now = now();
        if let Some(size) = change.size {
            let Node::Regular(content) = &self.node else {
                return Err(Errno::EINVAL);
            };
            content.truncate(&self.tmpfs, size)?;
            self.attributes.modified(now);
        }
        self.attributes.apply(change, now);
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let directory = self.directory()?.read();
        Ok(directory.find(name)?.clone())
    }

    fn create(
        &self,
        name: &[u8],
        node: NewNode<'_>,
        permissions: u32,
        owner: Owner,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let directory = self.directory()?;
        let inode = TmpInode::new(&self.tmpfs, node, permissions, owner);
        let _names = self.tmpfs.names.lock();
        let mut directory = directory.write();
        directory.check_new(name)?;
        directory.insert(name, inode.clone());
        drop(directory);
        self.link_child(&inode);
        self.attributes.modified(inode.attributes.btime);
        Ok(inode)
    }

    fn create_unnamed(&self, permissions: u32, owner: Owner) -> Result<Arc<dyn Inode>, Errno> {
        self.directory()?;
        Ok(self.tmpfs.unnamed(permissions, owner))
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let target = self.of_same(target)?;
        if target.is_directory() {
            return Err(Errno::EPERM);
        }
        let _names = self.tmpfs.names.lock();
        let mut directory = self.directory()?.write();
        directory.check_new(name)?;
        if target.attributes.links() == 0 && !target.nameless.load(Ordering::Relaxed) {
            return Err(Errno::ENOENT);
        }
        directory.insert(name, target.clone());
        drop(directory);
        self.link_child(&target);
        let now = now();
        target.attributes.changed(now);
        self.attributes.modified(now);
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        let _names = self.tmpfs.names.lock();
        let mut directory = self.directory()?.write();
        if directory.find(name)?.is_directory() {
            return Err(Errno::EISDIR);
        }
        let victim = directory.remove(name);
        drop(directory);
        if let Some(victim) = victim {
            let now = now();
            self.unlink_child(&victim, now);
            self.attributes.modified(now);
        }
        Ok(())
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        let _names = self.tmpfs.names.lock();
        let victim = self.directory()?.read().find(name)?.clone();
        victim.remove_if_empty()?;
        self.directory()?.write().remove(name);
        let now = now();
        self.unlink_child(&victim, now);
        self.attributes.modified(now);
        Ok(())
    }

    fn rename(
        &self,
        name: &[u8],
        new_parent: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let new_parent = self.of_same(new_parent)?;
        let _names = self.tmpfs.names.lock();
        self.rename_locked(name, &new_parent, new_name, flags)
    }

    fn read_directory(
        &self,
        position: u64,
        emit: &mut dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        self.directory()?.read().list(position, emit);
        self.attributes.accessed();
        Ok(())
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match &self.node {
            Node::Symlink(target) => Ok(target.to_vec()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn attachment(&self) -> Option<&Attachment> {
        match &self.node {
            Node::Fifo(attachment) | Node::Socket(attachment) => Some(attachment),
            _ => None,
        }
    }

    fn write_access(&self) -> Option<&WriteAccess> {
        Some(&self.write_access)
    }

    fn mapped_identity(&self) -> Option<(u64, u64)> {
        match &self.node {
            Node::Regular(content) if content.is_mapped() => Some(Mappable::identity(self)),
            _ => None,
        }
    }

    fn open(self: Arc<Self>, flags: StatusFlags) -> Result<Arc<dyn File>, Errno> {
        match self.node {
            Node::Regular(_) => Ok(file::open(self, flags)),
            _ => Err(Errno::ENXIO),
        }
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.xattrs.get(name)
    }

    fn set_xattr(
        &self,
        name: &[u8],
        value: &[u8],
        create: bool,
        replace: bool,
    ) -> Result<(), Errno> {
        self.xattrs.set(name, value, create, replace)?;
        self.attributes.changed(now());
        Ok(())
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.xattrs.remove(name)?;
        self.attributes.changed(now());
        Ok(())
    }

    fn xattr_names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        Ok(self.xattrs.names())
    }
}

impl Drop for TmpInode {
    fn drop(&mut self) {
        if let Node::Regular(content) = &mut self.node {
            content.free(&self.tmpfs);
        }
        self.tmpfs.inodes.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for TmpInode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TmpInode")
            .field("number", &self.number)
            .field("kind", &self.file_kind())
            .finish_non_exhaustive()
    }
}
