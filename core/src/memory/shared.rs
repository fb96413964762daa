//! Shared anonymous memory, mmap(2) with `MAP_SHARED | MAP_ANONYMOUS`: pages of the pool that live
//! as long as something maps them.

use crate::fs::{File, Mappable, OpenFile, StatusFlags};
use crate::memory::{Contents, Extent, pool};
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::{Backing, Errno, PAGE_SIZE, PoolPage};
use core::sync::atomic::{AtomicU64, Ordering};

/// The file system number in identities of shared memory. No file system has it.
const IDENTITY: u64 = u64::MAX;

/// A piece of shared memory.
#[derive(Debug)]
pub struct SharedMemory {
    id: u64,
    length: u64,
    /// In order; each with the index of its first page.
    extents: Vec<(u64, Extent)>,
}

impl SharedMemory {
    /// Allocates zeroed memory: `ENOMEM`.
    pub fn new(length: u64) -> Result<SharedMemory, Errno> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let pages = length.div_ceil(PAGE_SIZE as u64);
        let mut memory = SharedMemory {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            length,
            extents: Vec::new(),
        };
        let mut done = 0;
        while done < pages {
            let wanted = u32::try_from(pages - done).map_err(|_| Errno::ENOMEM)?;
            // What was allocated so far is freed with `memory`.
            let allocated = pool()
                .allocate(wanted, None, Contents::Zeroed)
                .ok_or(Errno::ENOMEM)?;
            memory.extents.push((done, allocated.extent));
            done += u64::from(allocated.extent.count);
        }
        Ok(memory)
    }

    /// Allocates memory and opens it for mapping: `ENOMEM`.
    pub fn open(length: u64) -> Result<Arc<OpenFile>, Errno> {
        let memory = Arc::new(SharedMemory::new(length)?);
        Ok(Arc::new(OpenFile::new(memory, StatusFlags::READ_WRITE)))
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        for (_, extent) in self.extents.drain(..) {
            pool().free(extent);
        }
    }
}

impl File for SharedMemory {
    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        Ok(self)
    }
}

impl Mappable for SharedMemory {
    fn identity(&self) -> (u64, u64) {
        (IDENTITY, self.id)
    }

    fn version(&self) -> u64 {
        0
    }

    fn size(&self) -> u64 {
        self.length
    }

    fn backing(&self, offset: u64, length: u64, _shared: bool) -> Result<(Backing, u64), Errno> {
        let page = offset / PAGE_SIZE as u64;
        let after = self.extents.partition_point(|(first, _)| *first <= page);
        let &(first, extent) = after
            .checked_sub(1)
            .and_then(|index| self.extents.get(index))
            .ok_or(Errno::EIO)?;
        let within = u32::try_from(page - first).map_err(|_| Errno::EIO)?;
        let left = extent.count.checked_sub(within).filter(|left| *left > 0);
        let bytes = u64::from(left.ok_or(Errno::EIO)?) * PAGE_SIZE as u64;
        Ok((
            Backing::Pool(PoolPage(extent.start.0 + within)),
            bytes.min(length),
        ))
    }
}
