//! Changing names: creating, linking, removing, renaming.

use super::descriptors::{Descriptor, Use};
use super::inode::{HostInode, HostPlace};
use super::protocol::{self, Keep, Target};
use crate::fs::{AttributeChange, FileKind, Inode, NewNode, Owner, RenameFlags};
use alloc::sync::Arc;
use capsid_platform::Errno;
use capsid_wire::HostStat;

/// `O_RDWR | O_CREAT | O_EXCL`.
const CREATE_NEW: u32 = 0o302;

impl HostInode {
    /// Makes a name in this directory.
    pub(super) fn make(
        &self,
        name: &[u8],
        node: NewNode<'_>,
        permissions: u32,
        owner: Owner,
    ) -> Result<Arc<HostInode>, Errno> {
        let path = self.path_of(name)?;
        let export = self.host().export();
        let mut opened = None;
        let made = match node {
            NewNode::Regular => protocol::open(export, &path, CREATE_NEW, permissions, Keep::Both)
                .map(|new| {
                    let stat = new.stat;
                    opened = Some(Descriptor::new(&new));
                    stat
                }),
            NewNode::Directory => protocol::make_directory(export, &path, permissions),
            NewNode::Symlink(target) => protocol::symlink(export, &path, target),
            NewNode::Fifo | NewNode::Socket => {
                let kind = if matches!(node, NewNode::Fifo) {
                    FileKind::Fifo
                } else {
                    FileKind::Socket
                };
                protocol::make_node(export, &path, kind.mode_bits() | permissions)
            }
            NewNode::CharacterDevice(_) | NewNode::BlockDevice(_) => Err(Errno::EPERM),
        };
        self.host().changed();
        let moment = self.host().moment();
        let stat = give_to(owner, made?, export, &path);
        let child = self.adopt(name, stat, moment)?;
        if let Some(descriptor) = opened {
            child.descriptors().put(Use::Write, descriptor);
        }
        Ok(child)
    }

    /// Gives a file of this export another name here.
    pub(super) fn make_link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let target = as_host(target)?;
        let existing = target.path()?;
        let new = self.path_of(name)?;
        let result = protocol::link(self.host().export(), &existing, &new);
        self.host().changed();
        result
    }

    /// Removes a name: of a directory (1) or of anything else (0).
    pub(super) fn remove(&self, name: &[u8], directory: u64) -> Result<(), Errno> {
        let path = self.path_of(name)?;
        // What is open must be reachable afterwards: its handle is, if there is one.
        let result = protocol::unlink(self.host().export(), &path, directory);
        self.host().changed();
        result?;
        if let Some(child) = self.children.take(name) {
            child.set_removed();
        }
        Ok(())
    }

    /// Moves a name.
    pub(super) fn move_name(
        &self,
        name: &[u8],
        new_parent: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let new_parent = as_host(new_parent)?;
        let old = self.path_of(name)?;
        let new = new_parent.path_of(new_name)?;
        let result = protocol::rename(self.host().export(), &old, &new, flags.bits());
        self.host().changed();
        result?;
        let moved = self.children.take(name);
        let replaced = new_parent.children.take(new_name);
        if let Some(replaced) = replaced {
            if flags.contains(RenameFlags::EXCHANGE) {
                put_at(&replaced, &self.me()?, name);
            } else {
                replaced.set_removed();
            }
        }
        if let Some(moved) = moved {
            put_at(&moved, &new_parent.me()?, new_name);
        }
        Ok(())
    }
}

fn put_at(inode: &Arc<HostInode>, parent: &Arc<HostInode>, name: &[u8]) {
    inode.set_place(HostPlace {
        parent: Some(parent.clone()),
        name: name.into(),
        removed: false,
    });
    parent.children.put(name, inode);
}

fn as_host(inode: &Arc<dyn Inode>) -> Result<&HostInode, Errno> {
    let inode: &dyn core::any::Any = &**inode;
    inode.downcast_ref().ok_or(Errno::EXDEV)
}

/// Gives a new file to the guest's user. Only a broker with the host's root rights can; the file
/// then stays the broker's own, which is how the sandbox's user is shown.
fn give_to(owner: Owner, stat: HostStat, export: u64, path: &[u8]) -> HostStat {
    if (stat.user, stat.group) == (owner.user, owner.group) {
        return stat;
    }
    let change = AttributeChange {
        user: Some(owner.user),
        group: Some(owner.group),
        ..AttributeChange::default()
    };
    protocol::set_attributes(Target::Path(export, path), &change).unwrap_or(stat)
}
