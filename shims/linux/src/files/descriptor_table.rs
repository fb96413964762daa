//! The descriptor table, shared by `CLONE_FILES`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use capsid_core::Errno;
use capsid_core::fs::OpenFile;
use capsid_core::sync::RwLock;

bitflags! {
    /// Flags of a descriptor, fcntl(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct DescriptorFlags: u8 {
        /// `FD_CLOEXEC`: closed by execve.
        const CLOSE_ON_EXEC = 1;
    }
}

/// One descriptor: an open file description, and flags of the descriptor's own.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// The description.
    pub file: Arc<OpenFile>,
    /// The flags.
    pub flags: DescriptorFlags,
}

/// A descriptor table.
#[derive(Debug, Default)]
pub struct DescriptorTable {
    slots: RwLock<Vec<Option<Descriptor>>>,
}

impl DescriptorTable {
    /// The open file description behind a descriptor: `EBADF`.
    pub fn get(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let slots = self.slots.read();
        let slot = slots
            .get(index)
            .and_then(Option::as_ref)
            .ok_or(Errno::EBADF)?;
        Ok(slot.file.clone())
    }

    /// Puts a description at the lowest free number that is at least `lowest` and below `limit`:
    /// `EMFILE`.
    pub fn insert(&self, descriptor: Descriptor, lowest: u32, limit: u32) -> Result<i32, Errno> {
        let mut slots = self.slots.write();
        let lowest = lowest as usize;
        let free = (lowest..slots.len()).find(|&i| slots.get(i).is_some_and(Option::is_none));
        let index = free.unwrap_or_else(|| slots.len().max(lowest));
        if index >= limit as usize {
            return Err(Errno::EMFILE);
        }
        if index >= slots.len() {
            slots.resize(index + 1, None);
        }
        if let Some(slot) = slots.get_mut(index) {
            *slot = Some(descriptor);
        }
        i32::try_from(index).map_err(|_| Errno::EMFILE)
    }

    /// Takes a descriptor out: `EBADF`.
    pub fn remove(&self, fd: i32) -> Result<Descriptor, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        self.slots
            .write()
            .get_mut(index)
            .and_then(Option::take)
            .ok_or(Errno::EBADF)
    }
}
