//! Making and removing names in the upper layer, with whiteouts where a lower one has the name.

use super::inode::OverlayInode;
use super::{Key, Overlay, is_whiteout};
use crate::fs::{DeviceId, FileKind, Inode, NewNode, Owner};
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::ops::ControlFlow;

/// What the upper layer has where a name is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Free {
    /// Nothing, and no lower layer has the name.
    Unused,
    /// A whiteout.
    Whiteout,
}

impl OverlayInode {
    /// Checks that `name` can be made: `EEXIST`. The overlay's names are locked.
    pub(super) fn check_free(&self, name: &[u8]) -> Result<Free, Errno> {
        match self.upper_child(name)? {
            Some(upper) if is_whiteout(&*upper)? => Ok(Free::Whiteout),
            Some(_) => Err(Errno::EEXIST),
            None if self.is_in_lower(name)? => Err(Errno::EEXIST),
            None => Ok(Free::Unused),
        }
    }

    pub(super) fn create_name(
        &self,
        name: &[u8],
        node: NewNode<'_>,
        permissions: u32,
        owner: Owner,
    ) -> Result<Arc<OverlayInode>, Errno> {
        self.check_directory()?;
        if let NewNode::CharacterDevice(device) = node
            && device == DeviceId::default()
        {
            // It would be a whiteout.
            return Err(Errno::EPERM);
        }
        let overlay = self.overlay()?;
        let directory = self.copy_up(None)?;
        let _names = overlay.names.lock();
        let free = self.check_free(name)?;
        if free == Free::Whiteout {
            directory.unlink(name)?;
        }
        let upper = match directory.create(name, node, permissions, owner) {
            Ok(upper) => upper,
            Err(error) => {
                if free == Free::Whiteout {
                    make_whiteout(&*directory, name)?;
                }
                return Err(error);
            }
        };
        if matches!(node, NewNode::Directory) {
            // What the lower layers have there was removed.
            overlay.set_lower_parts(&*upper, Vec::new())?;
        }
        overlay.of_upper(upper, None)
    }

    pub(super) fn link_name(&self, name: &[u8], target: &OverlayInode) -> Result<(), Errno> {
        self.check_directory()?;
        let overlay = self.overlay()?;
        let upper = target.copy_up(None)?;
        let directory = self.copy_up(None)?;
        let _names = overlay.names.lock();
        let free = self.check_free(name)?;
        if free == Free::Whiteout {
            directory.unlink(name)?;
        }
        let result = directory.link(name, &upper);
        if result.is_err() && free == Free::Whiteout {
            make_whiteout(&*directory, name)?;
        }
        result
    }

    pub(super) fn unlink_name(&self, name: &[u8]) -> Result<(), Errno> {
        let overlay = self.overlay()?;
        let victim = self.find(name, b"")?;
        if victim.kind() == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
        let directory = self.copy_up(None)?;
        let _names = overlay.names.lock();
        self.remove_upper(&*directory, &victim, name)
    }

    pub(super) fn remove_directory_name(&self, name: &[u8]) -> Result<(), Errno> {
        let overlay = self.overlay()?;
        let victim = self.find(name, b"")?;
        victim.check_directory()?;
        if !victim.is_empty()? {
            return Err(Errno::ENOTEMPTY);
        }
        let directory = self.copy_up(None)?;
        let _names = overlay.names.lock();
        victim.clear_whiteouts()?;
        self.remove_upper(&*directory, &victim, name)
    }

    /// Removes the upper part's name, and covers a lower one. The overlay's names are locked.
    fn remove_upper(
        &self,
        directory: &dyn Inode,
        victim: &OverlayInode,
        name: &[u8],
    ) -> Result<(), Errno> {
        let covered = self.is_in_lower(name)?;
        if self.upper_child(name)?.is_some() {
            if victim.kind() == FileKind::Directory {
                directory.remove_directory(name)?;
            } else {
                directory.unlink(name)?;
            }
        } else {
            victim.hide_lower_name();
        }
        // A copy that is still to come goes nowhere.
        *victim.place.lock() = None;
        if covered {
            make_whiteout(directory, name)?;
        }
        Ok(())
    }

    /// Removes the whiteouts in an otherwise empty directory, so that it can go.
    pub(super) fn clear_whiteouts(&self) -> Result<(), Errno> {
        let Some(upper) = self.upper() else {
            return Ok(());
        };
        let mut names = Vec::new();
        upper.read_directory(0, &mut |entry| {
            names.push((entry.name.to_vec(), entry.kind));
            ControlFlow::Continue(())
        })?;
        if names
            .iter()
            .any(|(_, kind)| *kind != FileKind::CharacterDevice)
        {
            return Err(Errno::ENOTEMPTY);
        }
        for (name, _) in names {
            upper.unlink(&name)?;
        }
        Ok(())
    }
}

impl Overlay {
    /// Says what the lower parts of an upper directory are, whatever lies in its place below.
    pub(super) fn set_lower_parts(
        &self,
        upper: &dyn Inode,
        parts: Vec<Arc<dyn Inode>>,
    ) -> Result<(), Errno> {
        let number = upper.metadata()?.inode;
        let before = self.records.lock().lower_parts.insert(number, parts);
        drop(before);
        Ok(())
    }

    /// The number that guests see for the upper inode of this number.
    pub(super) fn number_of_upper(&self, number: u64) -> u64 {
        let mut records = self.records.lock();
        let origin = records.origins.get(&number).copied();
        records.number(origin.unwrap_or(Key::Upper(number)))
    }

    /// The number that guests see for a lower inode.
    pub(super) fn number_of_lower(&self, device: u64, number: u64) -> u64 {
        self.records.lock().number(Key::Lower(device, number))
    }
}

/// Marks a name as removed.
pub(super) fn make_whiteout(directory: &dyn Inode, name: &[u8]) -> Result<(), Errno> {
    let node = NewNode::CharacterDevice(DeviceId::default());
    directory.create(name, node, 0, Owner::default())?;
    Ok(())
}
