//! Renaming in the overlay: what moves is copied up, a moved directory keeps its lower parts.

use super::copy_up::keeping_times;
use super::inode::OverlayInode;
use super::names::make_whiteout;
use super::{Overlay, is_whiteout};
use crate::fs::{FileKind, Inode, RenameFlags};
use alloc::sync::Arc;
use capsid_platform::Errno;

impl OverlayInode {
    pub(super) fn rename_name(
        &self,
        name: &[u8],
        new_parent: &OverlayInode,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        if flags.contains(RenameFlags::WHITEOUT) {
            // The whiteout would be the overlay's own.
            return Err(Errno::EINVAL);
        }
        let overlay = self.overlay()?;
        let source = self.find(name, b"")?;
        let target = match new_parent.find(new_name, b"") {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        check(&source, target.as_deref(), flags)?;
        if target
            .as_ref()
            .is_some_and(|target| Arc::ptr_eq(target, &source))
        {
            return Ok(());
        }
        // Before the lock: contents may take long.
        source.copy_up(None)?;
        if exchange && let Some(target) = &target {
            target.copy_up(None)?;
        }
        let from = self.copy_up(None)?;
        let to = new_parent.copy_up(None)?;
        let _names = overlay.names.lock();
        self.give_name(&source, name)?;
        if exchange && let Some(target) = &target {
            new_parent.give_name(target, new_name)?;
        }
        if exchange {
            from.rename(name, &to, new_name, flags)?;
            overlay.settle(&source)?;
            if let Some(target) = &target {
                overlay.settle(target)?;
            }
            return Ok(());
        }
        if let Some(target) = &target
            && target.kind() == FileKind::Directory
        {
            target.clear_whiteouts()?;
        }
        let covers = new_parent.upper_child(new_name)?;
        let whiteout = match &covers {
            Some(upper) => is_whiteout(&**upper)?,
            None => false,
        };
        if whiteout {
            to.unlink(new_name)?;
        }
        if let Err(error) = from.rename(name, &to, new_name, RenameFlags::empty()) {
            if whiteout {
                make_whiteout(&*to, new_name)?;
            }
            return Err(error);
        }
        overlay.settle(&source)?;
        if let Some(target) = &target {
            *target.place.lock() = None;
            if covers.is_none() {
                target.hide_lower_name();
            }
        }
        if self.is_in_lower(name)? {
            make_whiteout(&*from, name)?;
        }
        Ok(())
    }

    /// Names an upper inode here, if it was copied up by another of the lower file's links.
    fn give_name(&self, inode: &OverlayInode, name: &[u8]) -> Result<(), Errno> {
        let (Some(directory), Some(upper)) = (self.upper(), inode.upper()) else {
            return Err(Errno::ESTALE);
        };
        if self.upper_child(name)?.is_some() {
            return Ok(());
        }
        keeping_times(&**directory, || directory.link(name, upper))?;
        inode.hide_lower_name();
        Ok(())
    }
}

impl Overlay {
    /// Keeps the lower parts of a directory that moved: its new place may have others.
    fn settle(&self, moved: &OverlayInode) -> Result<(), Errno> {
        match moved.upper() {
            Some(upper) if moved.kind() == FileKind::Directory => {
                self.set_lower_parts(&**upper, moved.lowers.clone())
            }
            _ => Ok(()),
        }
    }
}

/// Checks what is to be replaced.
fn check(
    source: &OverlayInode,
    target: Option<&OverlayInode>,
    flags: RenameFlags,
) -> Result<(), Errno> {
    let Some(target) = target else {
        return if flags.contains(RenameFlags::EXCHANGE) {
            Err(Errno::ENOENT)
        } else {
            Ok(())
        };
    };
    if flags.contains(RenameFlags::NOREPLACE) {
        return Err(Errno::EEXIST);
    }
    if flags.contains(RenameFlags::EXCHANGE) {
        return Ok(());
    }
    let is_directory = |inode: &OverlayInode| inode.kind() == FileKind::Directory;
    match (is_directory(source), is_directory(target)) {
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
        (true, true) if !target.is_empty()? => Err(Errno::ENOTEMPTY),
        _ => Ok(()),
    }
}
