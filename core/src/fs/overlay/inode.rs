//! Inodes of the overlay: an upper inode, or lower ones, or both.

use super::{Key, LowerLinks, Overlay, file};
use crate::fs::write_access::WriteAccess;
use crate::fs::{
    Attachment, AttributeChange, DeviceId, DirectoryEntry, File, FileKind, FileSystem, Inode,
    Metadata, NewNode, Owner, Path, RenameFlags, StatusFlags,
};
use crate::sync::Mutex;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::any::Any;
use core::fmt;
use core::ops::ControlFlow;
use core::sync::atomic::Ordering;

/// An inode. It has an upper part, or exactly one lower part (more if it is a directory).
pub(super) struct OverlayInode {
    pub(super) this: Weak<OverlayInode>,
    overlay: Weak<Overlay>,
    device: DeviceId,
    pub(super) key: Key,
    pub(super) number: u64,
    kind: FileKind,
    links: Option<Arc<LowerLinks>>,
    /// Set once, by making the inode or by copying it up.
    upper: spin::Once<Arc<dyn Inode>>,
    /// Top first.
    pub(super) lowers: Vec<Arc<dyn Inode>>,
    /// Where a copy goes; `None` once the name was removed.
    pub(super) place: Mutex<Option<UpperPlace>>,
    /// Held while it is copied up.
    pub(super) copying: Mutex<()>,
    attachment: Attachment,
    write_access: WriteAccess,
}

/// A name in a directory of the overlay.
#[derive(Clone)]
pub(super) struct UpperPlace {
    pub(super) directory: Arc<OverlayInode>,
    pub(super) name: Arc<[u8]>,
}

/// What an inode is made of.
pub(super) struct Parts {
    pub(super) kind: FileKind,
    pub(super) upper: Option<Arc<dyn Inode>>,
    pub(super) lowers: Vec<Arc<dyn Inode>>,
    pub(super) place: Option<UpperPlace>,
    pub(super) links: Option<Arc<LowerLinks>>,
}

impl OverlayInode {
    pub(super) fn new(
        overlay: Weak<Overlay>,
        device: DeviceId,
        key: Key,
        number: u64,
        parts: Parts,
    ) -> Arc<OverlayInode> {
        Arc::new_cyclic(|this| OverlayInode {
            this: this.clone(),
            overlay,
            device,
            key,
            number,
            kind: parts.kind,
            links: parts.links,
            upper: match parts.upper {
                Some(upper) => spin::Once::initialized(upper),
                None => spin::Once::new(),
            },
            lowers: parts.lowers,
            place: Mutex::new(parts.place),
            copying: Mutex::new(()),
            attachment: Attachment::default(),
            write_access: WriteAccess::default(),
        })
    }

    /// The overlay; `ESTALE` if it is gone.
    pub(super) fn overlay(&self) -> Result<Arc<Overlay>, Errno> {
        self.overlay.upgrade().ok_or(Errno::ESTALE)
    }

    pub(super) fn itself(&self) -> Result<Arc<OverlayInode>, Errno> {
        self.this.upgrade().ok_or(Errno::ESTALE)
    }

    /// The upper part, if there is one yet.
    pub(super) fn upper(&self) -> Option<&Arc<dyn Inode>> {
        self.upper.get()
    }

    pub(super) fn set_upper(&self, upper: Arc<dyn Inode>) {
        if let Some(links) = &self.links {
            links.copy.call_once(|| upper.clone());
        }
        self.upper.call_once(|| upper);
    }

    /// Notes that one of the lower file's names no longer shows.
    pub(super) fn hide_lower_name(&self) {
        if let Some(links) = &self.links {
            links.hidden.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of links, when the top part has `own`.
    fn count_links(&self, own: u32) -> u32 {
        let upper = self.upper();
        if let Some(links) = &self.links {
            let shown = links
                .count
                .saturating_sub(links.hidden.load(Ordering::Relaxed));
            return shown + upper.map_or(0, |_| own);
        }
        match (self.kind, upper) {
            (_, None) if self.place.lock().is_none() => 0,
            // Counting the subdirectories of all layers would mean listing them.
            (FileKind::Directory, _) if !self.lowers.is_empty() => own.min(1),
            _ => own,
        }
    }

    /// What attributes and contents are read from.
    pub(super) fn top(&self) -> Result<&Arc<dyn Inode>, Errno> {
        self.upper()
            .or_else(|| self.lowers.first())
            .ok_or(Errno::ESTALE)
    }

    /// The inode behind a trait object, if it is of this overlay: `EXDEV`.
    pub(super) fn of_same(&self, inode: &Arc<dyn Inode>) -> Result<Arc<OverlayInode>, Errno> {
        let any: &dyn Any = &**inode;
        let inode: &OverlayInode = any.downcast_ref().ok_or(Errno::EXDEV)?;
        if !Weak::ptr_eq(&inode.overlay, &self.overlay) {
            return Err(Errno::EXDEV);
        }
        inode.itself()
    }

    pub(super) fn check_directory(&self) -> Result<(), Errno> {
        if self.kind == FileKind::Directory {
            Ok(())
        } else {
            Err(Errno::ENOTDIR)
        }
    }
}

impl Inode for OverlayInode {
    fn metadata(&self) -> Result<Metadata, Errno> {
        let mut metadata = self.top()?.metadata()?;
        metadata.device = self.device.encode();
        metadata.inode = self.number;
        metadata.links = self.count_links(metadata.links);
        Ok(metadata)
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    fn permissions(&self) -> Result<(Owner, u32), Errno> {
        self.top()?.permissions()
    }

    fn is_same(&self, other: &dyn Inode) -> bool {
        let other: &dyn Any = other;
        other
            .downcast_ref::<OverlayInode>()
            .is_some_and(|other| core::ptr::eq(self, other))
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        match self.overlay.upgrade() {
            Some(overlay) => overlay,
            // The overlay is gone; what is left of the inode lies in a layer.
            None => match self.top() {
                Ok(top) => top.file_system(),
                Err(_) => crate::fs::tmpfs::Tmpfs::new(Default::default()),
            },
        }
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        self.copy_up(change.size)?.set_attributes(change)
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.find(name, b"")?)
    }

    fn lookup_ahead(&self, name: &[u8], rest: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.find(name, rest)?)
    }

    fn create(
        &self,
        name: &[u8],
        node: NewNode<'_>,
        permissions: u32,
        owner: Owner,
    ) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.create_name(name, node, permissions, owner)?)
    }

    fn create_unnamed(&self, permissions: u32, owner: Owner) -> Result<Arc<dyn Inode>, Errno> {
        self.check_directory()?;
        let overlay = self.overlay()?;
        let upper = overlay.upper.root().create_unnamed(permissions, owner)?;
        Ok(overlay.of_upper(upper, None)?)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        self.link_name(name, &*self.of_same(target)?)
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        self.unlink_name(name)
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove_directory_name(name)
    }

    fn rename(
        &self,
        name: &[u8],
        new_parent: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let new_parent = self.of_same(new_parent)?;
        self.rename_name(name, &new_parent, new_name, flags)
    }

    fn read_directory(
        &self,
        position: u64,
        emit: &mut dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        self.list(position, emit)
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        self.top()?.read_link()
    }

    fn follow(&self) -> Result<Option<Path>, Errno> {
        self.top()?.follow()
    }

    fn attachment(&self) -> Option<&Attachment> {
        match self.kind {
            FileKind::Fifo | FileKind::Socket => Some(&self.attachment),
            _ => None,
        }
    }

    fn write_access(&self) -> Option<&WriteAccess> {
        Some(&self.write_access)
    }

    fn mapped_identity(&self) -> Option<(u64, u64)> {
        self.upper()?.mapped_identity()
    }

    fn open(self: Arc<Self>, flags: StatusFlags) -> Result<Arc<dyn File>, Errno> {
        let part = if flags.writable() {
            self.copy_up(None)?
        } else {
            self.top()?.clone()
        };
        Ok(Arc::new(file::OverlayFile::new(part.open(flags)?, self)))
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.top()?.xattr(name)
    }

    fn set_xattr(
        &self,
        name: &[u8],
        value: &[u8],
        create: bool,
        replace: bool,
    ) -> Result<(), Errno> {
        self.copy_up(None)?.set_xattr(name, value, create, replace)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.top()?.xattr(name)?;
        self.copy_up(None)?.remove_xattr(name)
    }

    fn xattr_names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        self.top()?.xattr_names()
    }
}

impl Drop for OverlayInode {
    fn drop(&mut self) {
        let Some(overlay) = self.overlay.upgrade() else {
            return;
        };
        let upper = self.upper().and_then(|upper| upper.metadata().ok());
        let gone = upper.filter(|metadata| self.count_links(metadata.links) == 0);
        overlay.forget(self.key, gone.map(|metadata| metadata.inode));
    }
}

impl fmt::Debug for OverlayInode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlayInode")
            .field("key", &self.key)
            .field("upper", &self.upper())
            .field("lowers", &self.lowers)
            .finish_non_exhaustive()
    }
}
