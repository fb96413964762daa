//! Inodes of an image.

use super::file_system::Erofs;
use super::format::BLOCK_SIZE;
use super::node::{Extent, Node};
use crate::fs::{
    Attachment, AttributeChange, DirectoryEntry, File, FileKind, FileSystem, Inode, Metadata,
    NewNode, Owner, PATH_MAX, RenameFlags, StatusFlags,
};
use crate::memory::Extent as PoolExtent;
use crate::sync::Mutex;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::fmt;
use core::ops::ControlFlow;

/// An inode of an image.
pub(super) struct ErofsInode {
    this: Weak<ErofsInode>,
    pub(super) erofs: Arc<Erofs>,
    pub(super) node: Node,
    attachment: Option<Arc<Attachment>>,
    /// The copy of a last page that the image does not hold as a page of its own, once mapped.
    pub(super) tail: Mutex<Option<PoolExtent>>,
}

impl ErofsInode {
    pub(super) fn new(erofs: Arc<Erofs>, node: Node) -> Arc<ErofsInode> {
        let attachment = matches!(node.kind, FileKind::Fifo | FileKind::Socket)
            .then(|| erofs.attachment(node.nid));
        Arc::new_cyclic(|this| ErofsInode {
            this: this.clone(),
            erofs,
            node,
            attachment,
            tail: Mutex::new(None),
        })
    }

    /// This inode, shared.
    pub(super) fn itself(&self) -> Option<Arc<ErofsInode>> {
        self.this.upgrade()
    }

    /// Refuses a change of a directory, or of something that is none.
    fn refuse(&self) -> Errno {
        if self.node.kind == FileKind::Directory {
            Errno::EROFS
        } else {
            Errno::ENOTDIR
        }
    }
}

impl fmt::Debug for ErofsInode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErofsInode")
            .field("nid", &self.node.nid)
            .field("kind", &self.node.kind)
            .finish_non_exhaustive()
    }
}

impl Inode for ErofsInode {
    fn metadata(&self) -> Result<Metadata, Errno> {
        let node = &self.node;
        let (seconds, nanoseconds) = node.mtime;
        // Times before the epoch are the epoch.
        let seconds = u64::try_from(seconds.cast_signed()).unwrap_or(0);
        let time = seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(nanoseconds));
        Ok(Metadata {
            device: self.erofs.device.encode(),
            inode: node.nid,
            kind: node.kind,
            permissions: node.permissions,
            links: node.links,
            owner: node.owner,
            special_device: node.device,
            size: node.size,
            blocks: node.size.div_ceil(BLOCK_SIZE as u64) * (BLOCK_SIZE as u64 / 512),
            block_size: 4096,
            atime: time,
            mtime: time,
            ctime: time,
            btime: time,
        })
    }

    fn kind(&self) -> FileKind {
        self.node.kind
    }

    fn permissions(&self) -> Result<(Owner, u32), Errno> {
        Ok((self.node.owner, self.node.permissions))
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.erofs.clone()
    }

    fn set_attributes(&self, _change: &AttributeChange) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let image = &self.erofs.image;
        let found = self.node.find(image, name)?;
        let node = Node::read(image, found.nid)?;
        Ok(ErofsInode::new(self.erofs.clone(), node))
    }

    fn create(
        &self,
        _name: &[u8],
        _node: NewNode<'_>,
        _permissions: u32,
        _owner: Owner,
    ) -> Result<Arc<dyn Inode>, Errno> {
        Err(self.refuse())
    }

    fn create_unnamed(&self, _permissions: u32, _owner: Owner) -> Result<Arc<dyn Inode>, Errno> {
        Err(self.refuse())
    }

    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<(), Errno> {
        Err(self.refuse())
    }

    fn unlink(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(self.refuse())
    }

    fn remove_directory(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(self.refuse())
    }

    fn rename(
        &self,
        _name: &[u8],
        _new_parent: &Arc<dyn Inode>,
        _new_name: &[u8],
        _flags: RenameFlags,
    ) -> Result<(), Errno> {
        Err(self.refuse())
    }

    fn read_directory(
        &self,
        position: u64,
        emit: &mut dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let image = &self.erofs.image;
        self.node.list(image, position, |entry, next| {
            let kind = match entry.kind {
                Some(kind) => kind,
                None => Node::read(image, entry.nid)?.kind,
            };
            Ok(emit(DirectoryEntry {
                name: entry.name,
                inode: entry.nid,
                kind,
                next,
            }))
        })
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        if self.node.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        if self.node.size == 0 || self.node.size >= PATH_MAX as u64 {
            return Err(Errno::EUCLEAN);
        }
        let image = &self.erofs.image;
        let mut target = Vec::new();
        while let Some(extent) = self.node.extent(image, target.len() as u64, u64::MAX)? {
            let Extent::Stored(offset, length) = extent else {
                return Err(Errno::EUCLEAN);
            };
            target.extend_from_slice(image.bytes(offset, length)?);
        }
        if target.contains(&0) {
            return Err(Errno::EUCLEAN);
        }
        Ok(target)
    }

    fn attachment(&self) -> Option<&Attachment> {
        self.attachment.as_deref()
    }

    fn open(self: Arc<Self>, flags: StatusFlags) -> Result<Arc<dyn File>, Errno> {
        if flags.writable() {
            return Err(Errno::EROFS);
        }
        match self.node.kind {
            FileKind::Regular => Ok(self),
            _ => Err(Errno::ENXIO),
        }
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let found = self.node.each_attribute(&self.erofs.image, |attribute| {
            attribute.is_named(name).then(|| Vec::from(attribute.value))
        });
        found?.ok_or(Errno::ENODATA)
    }

    fn set_xattr(
        &self,
        _name: &[u8],
        _value: &[u8],
        _create: bool,
        _replace: bool,
    ) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn remove_xattr(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn xattr_names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let mut names = Vec::new();
        self.node.each_attribute(&self.erofs.image, |attribute| {
            names.push(attribute.name());
            None::<()>
        })?;
        Ok(names)
    }
}
