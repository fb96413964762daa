//! The descriptor table, shared by `CLONE_FILES`.

use super::slots::Slots;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use capsid_core::Errno;
use capsid_core::fs::OpenFile;
use capsid_core::fs::locks::{self, LockOwner};
use capsid_core::sync::RwLock;
use core::sync::atomic::{AtomicBool, Ordering};

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

impl Descriptor {
    /// Makes a descriptor of a new description.
    #[must_use]
    pub fn new(file: OpenFile, flags: DescriptorFlags) -> Descriptor {
        Descriptor {
            file: Arc::new(file),
            flags,
        }
    }
}

/// A descriptor table.
#[derive(Debug, Default)]
pub struct DescriptorTable {
    slots: RwLock<Slots>,
    /// Who holds the record locks of those who share the table, fcntl(2).
    owner: LockOwner,
    /// A record lock was taken: closing must look for it.
    has_locks: AtomicBool,
}

fn index_of(fd: i32) -> Result<usize, Errno> {
    usize::try_from(fd).map_err(|_| Errno::EBADF)
}

impl DescriptorTable {
    /// The open file description behind a descriptor: `EBADF`.
    pub fn get(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        let index = index_of(fd)?;
        let slots = self.slots.read();
        let slot = slots.get(index).ok_or(Errno::EBADF)?;
        Ok(slot.file.clone())
    }

    /// A descriptor with its flags: `EBADF`.
    pub fn descriptor(&self, fd: i32) -> Result<Descriptor, Errno> {
        let index = index_of(fd)?;
        self.slots.read().get(index).cloned().ok_or(Errno::EBADF)
    }

    /// Sets the flags of a descriptor: `EBADF`.
    pub fn set_flags(&self, fd: i32, flags: DescriptorFlags) -> Result<(), Errno> {
        let index = index_of(fd)?;
        let mut slots = self.slots.write();
        slots.get_mut(index).ok_or(Errno::EBADF)?.flags = flags;
        Ok(())
    }

    /// Puts a description at the lowest free number that is at least `lowest` and below `limit`:
    /// `EMFILE`.
    pub fn insert(&self, descriptor: Descriptor, lowest: u32, limit: u32) -> Result<i32, Errno> {
        self.slots
            .write()
            .insert(descriptor, lowest as usize, limit as usize)
    }

    /// Puts a description at a number, and returns what was there, for the caller to close.
    pub fn replace(&self, fd: i32, descriptor: Descriptor) -> Result<Option<Descriptor>, Errno> {
        let index = index_of(fd)?;
        Ok(self.slots.write().replace(index, descriptor))
    }

    /// Takes a descriptor out, for the caller to close with [`DescriptorTable::close`]: `EBADF`.
    pub fn remove(&self, fd: i32) -> Result<Descriptor, Errno> {
        let index = index_of(fd)?;
        self.slots.write().remove(index).ok_or(Errno::EBADF)
    }

    /// Does what closing a descriptor does beyond taking it out of the table.
    pub fn close(&self, descriptor: Descriptor) {
        if self.has_locks.load(Ordering::Relaxed) {
            // Any descriptor of a file takes all of the process's locks on it along.
            locks::release_file(&descriptor.file, self.owner);
        }
        descriptor.file.file.closed(false);
    }

    /// Takes out the descriptors from `first` to `last`, both included, for the caller to close.
    pub fn remove_range(&self, first: u32, last: u32) -> Vec<Descriptor> {
        self.slots
            .write()
            .remove_where(first as usize, last as usize, |_| true)
    }

    /// Marks the descriptors from `first` to `last` to be closed by execve.
    pub fn mark_range(&self, first: u32, last: u32) {
        let mut slots = self.slots.write();
        slots.each_mut(first as usize, last as usize, |descriptor| {
            descriptor.flags |= DescriptorFlags::CLOSE_ON_EXEC;
        });
    }

    /// Closes what execve closes.
    pub fn close_on_exec(&self) {
        let gone = self
            .slots
            .write()
            .remove_where(0, usize::MAX, |descriptor| {
                descriptor.flags.contains(DescriptorFlags::CLOSE_ON_EXEC)
            });
        for descriptor in gone {
            self.close(descriptor);
        }
    }

    /// Copies the table: fork, `unshare(CLONE_FILES)`. Record locks are not inherited.
    #[must_use]
    pub fn duplicate(&self) -> DescriptorTable {
        DescriptorTable {
            slots: RwLock::new(self.slots.read().clone()),
            owner: LockOwner::default(),
            has_locks: AtomicBool::new(false),
        }
    }

    /// The numbers in use, in order.
    #[must_use]
    pub fn numbers(&self) -> Vec<i32> {
        self.slots.read().numbers()
    }

    /// How many numbers there are places for, `FDSize` in `/proc/self/status`.
    #[must_use]
    pub fn size(&self) -> usize {
        self.slots.read().len()
    }

    /// Who holds record locks; the caller is about to take one.
    pub fn lock_owner(&self) -> LockOwner {
        self.has_locks.store(true, Ordering::Relaxed);
        self.owner
    }
}

impl Drop for DescriptorTable {
    fn drop(&mut self) {
        for descriptor in self.remove_range(0, u32::MAX) {
            self.close(descriptor);
        }
    }
}
