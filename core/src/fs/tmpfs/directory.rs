//! A tmpfs directory: names, found by name and listed in the order they were made.

use super::inode::TmpInode;
use crate::fs::DirectoryEntry;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::ops::{Bound, ControlFlow};
use hashbrown::HashMap;

/// The names in one directory.
#[derive(Default)]
pub(super) struct Directory {
    names: HashMap<Arc<[u8]>, Entry>,
    /// The names by their numbers, which are the positions after them.
    order: BTreeMap<u64, Arc<[u8]>>,
    last_number: u64,
    /// Removed: nothing can be made in it.
    removed: bool,
}

struct Entry {
    number: u64,
    inode: Arc<TmpInode>,
}

impl Directory {
    /// Finds a name: `ENOENT`.
    pub(super) fn find(&self, name: &[u8]) -> Result<&Arc<TmpInode>, Errno> {
        let entry = self.names.get(name).ok_or(Errno::ENOENT)?;
        Ok(&entry.inode)
    }

    /// What stat shows as the size: as on Linux, 20 bytes for each name, `.` and `..` included.
    pub(super) fn size(&self) -> u64 {
        (self.names.len() as u64 + 2) * 20
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Checks that `name` can be added: `EEXIST`, or `ENOENT` in a removed directory.
    pub(super) fn check_new(&self, name: &[u8]) -> Result<(), Errno> {
        if self.removed {
            return Err(Errno::ENOENT);
        }
        if self.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        Ok(())
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed
    }

    pub(super) fn mark_removed(&mut self) {
        self.removed = true;
    }

    /// Gives `inode` a name, and returns what had it before.
    pub(super) fn insert(&mut self, name: &[u8], inode: Arc<TmpInode>) -> Option<Arc<TmpInode>> {
        if let Some(entry) = self.names.get_mut(name) {
            return Some(core::mem::replace(&mut entry.inode, inode));
        }
        let name: Arc<[u8]> = name.into();
        self.last_number += 1;
        let number = self.last_number;
        self.order.insert(number, name.clone());
        self.names.insert(name, Entry { number, inode });
        None
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Arc<TmpInode>> {
        let entry = self.names.remove(name)?;
        self.order.remove(&entry.number);
        Some(entry.inode)
    }

    /// Lists the names after `position`.
    pub(super) fn list(
        &self,
        position: u64,
        emit: &mut dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) {
        for (&number, name) in self
            .order
            .range((Bound::Excluded(position), Bound::Unbounded))
        {
            let Some(entry) = self.names.get(name) else {
                continue;
            };
            let entry = DirectoryEntry {
                name,
                inode: entry.inode.number(),
                kind: entry.inode.file_kind(),
                next: number,
            };
            if emit(entry).is_break() {
                return;
            }
        }
    }

    /// Empties the directory.
    pub(super) fn take(&mut self) -> Vec<Arc<TmpInode>> {
        self.removed = true;
        self.order.clear();
        let names = core::mem::take(&mut self.names);
        names.into_values().map(|entry| entry.inode).collect()
    }
}
