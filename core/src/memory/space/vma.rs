//! One mapping of an address space.

use crate::fs::OpenFile;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use capsid_platform::{GuestRange, PAGE_SIZE, Protection, Sharing};

pub(super) const PAGE: u64 = PAGE_SIZE as u64;

bitflags! {
    /// What is known about a mapping beside its protection.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct VmaFlags: u16 {
        /// Grows when the guest touches what lies below it.
        const GROWS_DOWN = 1;
        /// The heap of brk(2).
        const HEAP = 1 << 1;
        /// The first thread's stack.
        const STACK = 1 << 2;
        /// `MAP_NORESERVE`.
        const NO_RESERVE = 1 << 3;
        /// Locked, mlock(2).
        const LOCKED = 1 << 4;
        /// `MADV_DONTFORK`.
        const DONT_FORK = 1 << 5;
        /// `MADV_WIPEONFORK`.
        const WIPE_ON_FORK = 1 << 6;
        /// `MADV_DONTDUMP`.
        const DONT_DUMP = 1 << 7;
        /// `MADV_HUGEPAGE`.
        const HUGE_PAGE = 1 << 8;
        /// `MADV_NOHUGEPAGE`.
        const NO_HUGE_PAGE = 1 << 9;
        /// `MADV_MERGEABLE`.
        const MERGEABLE = 1 << 10;
        /// A private mapping of a file that the guest could write to, so that its pages may differ
        /// from the file's.
        const WAS_WRITABLE = 1 << 11;
    }
}

/// What lies behind a mapping.
#[derive(Clone, Debug)]
pub enum Object {
    /// Zeroed pages of the process's own.
    Anonymous,
    /// A file (or shared anonymous memory, which is a file without a name), from this byte on.
    File {
        /// The description, kept open by the mapping.
        file: Arc<OpenFile>,
        /// Byte offset of the mapping's first page.
        offset: u64,
    },
    /// Nothing that the guest knows: trampolines of a patched text.
    Trampolines,
    /// Nothing: addresses kept free for trampolines, that the guest may take by asking for them.
    Gap,
}

/// One mapping. Its start is its key in the tree.
#[derive(Clone, Debug)]
pub struct Vma {
    /// The address after the last.
    pub end: u64,
    /// What the guest may do.
    pub protection: Protection,
    /// What mprotect(2) may allow.
    pub allowed: Protection,
    /// Whose writes it shows.
    pub sharing: Sharing,
    /// Properties.
    pub flags: VmaFlags,
    /// What lies behind it.
    pub object: Object,
    /// How many bytes from the start the host has mapped. Less than all where the file ended
    /// when it was mapped.
    pub populated: u64,
}

impl Vma {
    /// Whether the guest sees a mapping.
    #[must_use]
    pub fn is_mapping(&self) -> bool {
        !matches!(self.object, Object::Gap | Object::Trampolines)
    }

    /// Whether it counts for `RLIMIT_DATA`.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.sharing == Sharing::Private
            && self.protection.contains(Protection::WRITE)
            && !self.flags.contains(VmaFlags::STACK)
    }

    /// Whether an access is allowed. On x86 what can be written or executed can be read.
    #[must_use]
    pub fn permits(&self, access: Protection) -> bool {
        if access == Protection::READ {
            !self.protection.is_empty()
        } else {
            self.protection.contains(access)
        }
    }

    /// The file and the byte offset of `address` in it.
    #[must_use]
    pub fn file_at(&self, start: u64, address: u64) -> Option<(&Arc<OpenFile>, u64)> {
        match &self.object {
            Object::File { file, offset } => Some((file, offset + (address - start))),
            _ => None,
        }
    }

    /// Addresses that the guest sees no mapping at.
    pub(super) fn unseen(range: GuestRange, object: Object) -> Vma {
        Vma {
            end: range.end(),
            protection: Protection::empty(),
            allowed: Protection::empty(),
            sharing: Sharing::Private,
            flags: VmaFlags::empty(),
            object,
            populated: 0,
        }
    }

    /// Notes that the guest can write to it, if it can.
    pub(super) fn note_write(&mut self) {
        let private_file =
            self.sharing == Sharing::Private && matches!(self.object, Object::File { .. });
        if private_file && self.protection.contains(Protection::WRITE) {
            self.flags.insert(VmaFlags::WAS_WRITABLE);
        }
    }

    /// Cuts the mapping at `at`, which lies inside, and returns the upper part.
    pub(super) fn split_off(&mut self, start: u64, at: u64) -> Vma {
        let lower = at - start;
        let mut upper = self.clone();
        if let Object::File { offset, .. } = &mut upper.object {
            *offset += lower;
        }
        upper.populated = self.populated.saturating_sub(lower);
        self.populated = self.populated.min(lower);
        self.end = at;
        upper
    }

    /// Whether `upper`, which starts where this ends, is the same mapping further on.
    pub(super) fn continues_as(&self, start: u64, upper: &Vma) -> bool {
        let object = match (&self.object, &upper.object) {
            (Object::Anonymous, Object::Anonymous) => true,
            (
                Object::File { file, offset },
                Object::File {
                    file: upper_file,
                    offset: upper_offset,
                },
            ) => Arc::ptr_eq(file, upper_file) && offset + (self.end - start) == *upper_offset,
            _ => false,
        };
        object
            && self.populated == self.end - start
            && self.protection == upper.protection
            && self.allowed == upper.allowed
            && self.sharing == upper.sharing
            && self.flags == upper.flags
    }

    /// Tells the file that `length` bytes of it are mapped, or no longer.
    fn tell_file(&self, length: u64, mapped: bool) {
        if let Object::File { file, offset } = &self.object
            && let Ok(mappable) = file.file.mappable()
        {
            mappable.hold(*offset, length, mapped);
        }
    }

    /// Keeps the file's pages while the mapping exists.
    pub(super) fn hold(&self, start: u64) {
        self.tell_file(self.end - start, true);
    }
}

/// Mappings that were taken out of a tree. They let go of their files when this is dropped, which
/// can be long work and belongs outside the lock.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Removed(pub(super) Vec<(u64, Vma)>);

impl Drop for Removed {
    fn drop(&mut self) {
        for (start, vma) in &self.0 {
            vma.tell_file(vma.end - start, false);
        }
    }
}
