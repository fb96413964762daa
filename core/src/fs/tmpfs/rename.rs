//! Renaming in tmpfs, rename(2).

use super::attributes::now;
use super::inode::TmpInode;
use crate::fs::{DeviceId, NewNode, Owner, RenameFlags};
use alloc::sync::Arc;
use capsid_platform::Errno;

impl TmpInode {
    /// Marks a directory as removed, if it has no names: `ENOTEMPTY`, `ENOTDIR`.
    pub(super) fn remove_if_empty(&self) -> Result<(), Errno> {
        let mut inside = self.directory()?.write();
        if !inside.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        inside.mark_removed();
        Ok(())
    }

    /// Renames; the file system's names are locked, so the steps need no common directory lock.
    pub(super) fn rename_locked(
        &self,
        name: &[u8],
        new_parent: &TmpInode,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let source = self.directory()?.read().find(name)?.clone();
        let target = match new_parent.directory()?.read() {
            directory if directory.is_removed() => return Err(Errno::ENOENT),
            directory => directory.find(new_name).ok().cloned(),
        };
        let now = now();
        if flags.contains(RenameFlags::EXCHANGE) {
            let target = target.ok_or(Errno::ENOENT)?;
            self.directory()?.write().insert(name, target.clone());
            new_parent
                .directory()?
                .write()
                .insert(new_name, source.clone());
            if source.is_directory() != target.is_directory() {
                let (gains, loses) = if source.is_directory() {
                    (new_parent, self)
                } else {
                    (self, new_parent)
                };
                gains.attributes.add_links(1);
                loses.attributes.remove_links(1);
            }
            target.attributes.changed(now);
        } else {
            if let Some(target) = &target {
                if flags.contains(RenameFlags::NOREPLACE) {
                    return Err(Errno::EEXIST);
                }
                if Arc::ptr_eq(target, &source) {
                    return Ok(());
                }
                match (source.is_directory(), target.is_directory()) {
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) => return Err(Errno::EISDIR),
                    (true, true) => target.remove_if_empty()?,
                    (false, false) => {}
                }
                new_parent.unlink_child(target, now);
            }
            self.directory()?.write().remove(name);
            new_parent
                .directory()?
                .write()
                .insert(new_name, source.clone());
            if source.is_directory() {
                self.attributes.remove_links(1);
                new_parent.attributes.add_links(1);
            }
            if flags.contains(RenameFlags::WHITEOUT) {
                self.leave_whiteout(name)?;
            }
        }
        source.attributes.changed(now);
        self.attributes.modified(now);
        new_parent.attributes.modified(now);
        Ok(())
    }

    fn leave_whiteout(&self, name: &[u8]) -> Result<(), Errno> {
        let node = NewNode::CharacterDevice(DeviceId::default());
        let whiteout = TmpInode::new(&self.tmpfs, node, 0, Owner::default());
        self.link_child(&whiteout);
        self.directory()?.write().insert(name, whiteout);
        Ok(())
    }
}
