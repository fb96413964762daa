//! Copying up: giving a lower inode an upper part, before it changes.

use super::Overlay;
use super::inode::OverlayInode;
use crate::fs::{
    AttributeChange, FileKind, Inode, Metadata, NewNode, StatusFlags, TimeChange, WriteAt,
};
use crate::io::{Destination, Source};
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;

/// Bytes copied at a time.
const CHUNK: usize = 65_536;

/// The attributes of an inode, as a change that gives them to another.
pub(super) fn attributes_of(metadata: &Metadata) -> AttributeChange {
    AttributeChange {
        permissions: Some(metadata.permissions),
        user: Some(metadata.owner.user),
        group: Some(metadata.owner.group),
        size: None,
        atime: Some(TimeChange::To(metadata.atime)),
        mtime: Some(TimeChange::To(metadata.mtime)),
    }
}

impl OverlayInode {
    /// The upper part, made now if there is none: with the directories that lead to it, contents
    /// (up to `size`, if it is about to be set), attributes and extended attributes.
    pub(super) fn copy_up(&self, size: Option<u64>) -> Result<Arc<dyn Inode>, Errno> {
        if let Some(upper) = self.upper() {
            return Ok(upper.clone());
        }
        // From the top down, without recursion: trees can be deep.
        let mut missing = Vec::new();
        let mut above = self.directory();
        while let Some(directory) = above.filter(|directory| directory.upper().is_none()) {
            above = directory.directory();
            missing.push(directory);
        }
        while let Some(directory) = missing.pop() {
            directory.copy_alone(None)?;
        }
        self.copy_alone(size)
    }

    fn directory(&self) -> Option<Arc<OverlayInode>> {
        let place = self.place.lock();
        place.as_ref().map(|place| place.directory.clone())
    }

    /// Copies this inode, whose directory has an upper part.
    fn copy_alone(&self, size: Option<u64>) -> Result<Arc<dyn Inode>, Errno> {
        let _copying = self.copying.lock();
        if let Some(upper) = self.upper() {
            return Ok(upper.clone());
        }
        let overlay = self.overlay()?;
        let lower = self.lowers.first().ok_or(Errno::ESTALE)?;
        let metadata = lower.metadata()?;
        if self.kind() != FileKind::Regular {
            let _names = overlay.names.lock();
            let upper = self.copy_node(&overlay, lower, &metadata)?;
            self.finish_copy(&overlay, upper.clone())?;
            return Ok(upper);
        }
        let root = overlay.upper.root();
        let upper = root.create_unnamed(metadata.permissions, metadata.owner)?;
        let number = upper.metadata()?.inode;
        copy_contents(lower, &upper, size.unwrap_or(u64::MAX))?;
        copy_xattrs(&**lower, &*upper)?;
        upper.set_attributes(&attributes_of(&metadata))?;
        let _names = overlay.names.lock();
        if let Some(place) = self.place.lock().clone()
            && let Some(directory) = place.directory.upper()
        {
            // Before it can be found: a look-up then finds this inode.
            overlay.records.lock().origins.insert(number, self.key);
            keeping_times(&**directory, || directory.link(&place.name, &upper))?;
            self.hide_lower_name();
        }
        self.finish_copy(&overlay, upper.clone())?;
        Ok(upper)
    }

    /// Makes the copy of what is not a regular file.
    fn copy_node(
        &self,
        overlay: &Overlay,
        lower: &Arc<dyn Inode>,
        metadata: &Metadata,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let target;
        let node = match self.kind() {
            FileKind::Directory => NewNode::Directory,
            FileKind::Symlink => {
                target = lower.read_link()?;
                NewNode::Symlink(&target)
            }
            FileKind::CharacterDevice => NewNode::CharacterDevice(metadata.special_device),
            FileKind::BlockDevice => NewNode::BlockDevice(metadata.special_device),
            FileKind::Fifo => NewNode::Fifo,
            FileKind::Socket => NewNode::Socket,
            FileKind::Regular | FileKind::Anonymous => return Err(Errno::EIO),
        };
        let (mode, owner) = (metadata.permissions, metadata.owner);
        let upper = match self.place.lock().clone() {
            Some(place) => {
                let directory = place.directory.upper().ok_or(Errno::ESTALE)?;
                keeping_times(&**directory, || {
                    directory.create(&place.name, node, mode, owner)
                })
                .inspect(|_| self.hide_lower_name())?
            }
            // Its name was removed: it is made under a name of its own, which goes at once.
            None => {
                let directory = overlay.upper.root();
                let name = alloc::format!("#{:x}", self.number);
                let upper = directory.create(name.as_bytes(), node, mode, owner)?;
                if self.kind() == FileKind::Directory {
                    directory.remove_directory(name.as_bytes())?;
                } else {
                    directory.unlink(name.as_bytes())?;
                }
                upper
            }
        };
        copy_xattrs(&**lower, &*upper)?;
        upper.set_attributes(&attributes_of(metadata))?;
        Ok(upper)
    }

    /// Records the copy and makes it the upper part. The overlay's names are locked.
    fn finish_copy(&self, overlay: &Overlay, upper: Arc<dyn Inode>) -> Result<(), Errno> {
        let number = upper.metadata()?.inode;
        overlay.records.lock().origins.insert(number, self.key);
        self.set_upper(upper);
        *self.place.lock() = None;
        Ok(())
    }
}

/// Runs a change in a directory that guests shall not notice by its times.
pub(super) fn keeping_times<T>(
    directory: &dyn Inode,
    change: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let before = directory.metadata()?;
    let result = change()?;
    directory.set_attributes(&AttributeChange {
        atime: Some(TimeChange::To(before.atime)),
        mtime: Some(TimeChange::To(before.mtime)),
        ..AttributeChange::default()
    })?;
    Ok(result)
}

/// Copies the first `limit` bytes, leaving holes as holes.
fn copy_contents(from: &Arc<dyn Inode>, to: &Arc<dyn Inode>, limit: u64) -> Result<(), Errno> {
    let size = from.metadata()?.size;
    let end = size.min(limit);
    let source = from.clone().open(StatusFlags::empty())?;
    let target = to.clone().open(StatusFlags::READ_WRITE)?;
    let mut buffer = alloc::vec![0; CHUNK.min(usize::try_from(end).unwrap_or(CHUNK))];
    let mut at = 0;
    while at < end {
        at = match source.seek_data(at, false) {
            Ok(data) => data,
            Err(Errno::ENXIO) => break,
            Err(_) => at,
        };
        let wanted = usize::try_from(end.saturating_sub(at))
            .unwrap_or(CHUNK)
            .min(buffer.len());
        let count = source.read(at, &mut Destination::kernel(&mut buffer[..wanted]))?;
        if count == 0 {
            break;
        }
        let mut left = Source::kernel(&buffer[..count]);
        while left.remaining() > 0 {
            let (written, next) = target.write(WriteAt::Offset(at), &mut left)?;
            if written == 0 {
                return Err(Errno::ENOSPC);
            }
            at = next;
        }
    }
    source.closed(true);
    target.closed(true);
    to.set_attributes(&AttributeChange {
        size: Some(end),
        ..AttributeChange::default()
    })
}

fn copy_xattrs(from: &dyn Inode, to: &dyn Inode) -> Result<(), Errno> {
    for name in from.xattr_names()? {
        // What a lower overlay noted for itself means nothing here.
        if !name.starts_with(b"trusted.overlay.") {
            to.set_xattr(&name, &from.xattr(&name)?, false, false)?;
        }
    }
    Ok(())
}
