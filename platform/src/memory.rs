//! Memory as the two sides name it: protections, backings, pool pages.

use crate::{GuestAddr, HostFile};
use bitflags::bitflags;

/// The page size, in bytes.
pub const PAGE_SIZE: usize = 4096;

bitflags! {
    /// What the guest may do with a page, mmap(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Protection: u8 {
        /// Load.
        const READ = 1;
        /// Store.
        const WRITE = 2;
        /// Fetch instructions.
        const EXECUTE = 4;
    }
}

/// Whose writes a mapping shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Writes stay in the guest process; a copied process gets its own copy.
    Private,
    /// Writes reach the backing, and every process that maps it.
    Shared,
}

/// A page of the sandbox's page pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolPage(pub u32);

/// Where the bytes of a mapping come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Fresh zeroed pages. Private only: shared anonymous memory comes from the pool.
    Anonymous,
    /// Consecutive pages of the pool, from the one given.
    Pool(PoolPage),
    /// The root image, from a byte offset that is a multiple of the page size. Private only.
    Image(u64),
    /// A donated host file, from a byte offset that is a multiple of the page size.
    HostFile(HostFile, u64),
}

/// What the guest expects of a range, madvise(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The contents are not needed: private anonymous pages read as zero afterwards.
    DontNeed,
    /// As [`Advice::DontNeed`], at the host's leisure.
    Free,
    /// Worth large pages.
    HugePage,
    /// Not worth large pages.
    NoHugePage,
    /// Fault the pages in for reading, now.
    PopulateRead,
    /// Fault the pages in for writing, now.
    PopulateWrite,
}

/// What becomes of memory of the pool that is set to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMemory {
    /// It is about to be used.
    Kept,
    /// Nobody uses it.
    GivenBack,
}

/// Where bytes go to.
#[derive(Debug)]
pub enum IoTarget<'a> {
    /// Guest memory: this many bytes from the address.
    Guest(GuestAddr, usize),
    /// Memory of the library OS.
    Kernel(&'a mut [u8]),
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug)]
pub enum IoSource<'a> {
    /// Guest memory: this many bytes from the address.
    Guest(GuestAddr, usize),
    /// Memory of the library OS.
    Kernel(&'a [u8]),
}

impl IoTarget<'_> {
    /// How many bytes fit.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            IoTarget::Guest(_, length) => *length,
            IoTarget::Kernel(bytes) => bytes.len(),
        }
    }

    /// Whether nothing fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl IoSource<'_> {
    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            IoSource::Guest(_, length) => *length,
            IoSource::Kernel(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
