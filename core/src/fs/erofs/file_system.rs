//! A mounted image.

use super::inode::ErofsInode;
use super::{Image, Node};
use crate::fs::{
    Attachment, DeviceId, FileKind, FileSystem, FileSystemStatistics, Inode, anonymous_device,
};
use crate::sync::Mutex;
use alloc::sync::{Arc, Weak};
use capsid_platform::Errno;
use hashbrown::HashMap;

/// What statfs(2) says of it.
const MAGIC: u64 = super::format::MAGIC as u64;

/// A file system over one image, which is mapped as long as the sandbox lives.
#[derive(Debug)]
pub struct Erofs {
    this: Weak<Erofs>,
    pub(super) image: Image<'static>,
    pub(super) device: DeviceId,
    root: Node,
    /// What hangs on FIFOs and sockets in use, by inode: all names of one lead to the same.
    attachments: Mutex<HashMap<u64, Weak<Attachment>>>,
}

impl Erofs {
    /// Makes the file system of an image: `EINVAL` or `EOPNOTSUPP` if it cannot be read, `EUCLEAN`
    /// if it is damaged.
    pub fn new(bytes: &'static [u8]) -> Result<Arc<Erofs>, Errno> {
        let image = Image::new(bytes)?;
        let root = Node::read(&image, image.root())?;
        if root.kind != FileKind::Directory {
            return Err(Errno::EUCLEAN);
        }
        Ok(Arc::new_cyclic(|this| Erofs {
            this: this.clone(),
            image,
            device: anonymous_device(),
            root,
            attachments: Mutex::default(),
        }))
    }

    pub(super) fn shared(&self) -> Arc<Erofs> {
        match self.this.upgrade() {
            Some(this) => this,
            // Nobody calls a method on a value that is gone.
            None => unreachable!("the file system is in use"),
        }
    }

    /// The attachment of inode `nid`.
    pub(super) fn attachment(&self, nid: u64) -> Arc<Attachment> {
        let mut attachments = self.attachments.lock();
        if let Some(attachment) = attachments.get(&nid).and_then(Weak::upgrade) {
            return attachment;
        }
        attachments.retain(|_, attachment| attachment.strong_count() > 0);
        let attachment = Arc::new(Attachment::default());
        attachments.insert(nid, Arc::downgrade(&attachment));
        attachment
    }
}

impl FileSystem for Erofs {
    fn root(&self) -> Arc<dyn Inode> {
        ErofsInode::new(self.shared(), self.root)
    }

    fn statistics(&self) -> Result<FileSystemStatistics, Errno> {
        Ok(FileSystemStatistics {
            block_size: super::format::BLOCK_SIZE as u64,
            blocks: self.image.block_count(),
            blocks_free: 0,
            files: self.image.inode_count(),
            files_free: 0,
        })
    }

    fn type_name(&self) -> &'static str {
        "erofs"
    }

    fn magic(&self) -> u64 {
        MAGIC
    }
}
