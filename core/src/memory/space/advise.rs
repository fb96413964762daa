//! Advice, madvise(2), and what is known about pages: mincore(2), msync(2).

use super::vma::{Object, VmaFlags};
use super::{AddressSpace, host, page_range};
use crate::fs::Allocation;
use alloc::vec::Vec;
use capsid_platform::{Advice, Errno, GuestAddr, GuestRange, Protection, Sharing, platform};

/// What a guest can advise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestAdvice {
    /// Something that changes nothing: `MADV_NORMAL`, `MADV_RANDOM`, `MADV_WILLNEED`, `MADV_COLD`.
    Nothing,
    /// `MADV_DONTNEED`.
    DontNeed,
    /// `MADV_FREE`.
    Free,
    /// `MADV_REMOVE`: punch a hole into the file.
    Remove,
    /// `MADV_POPULATE_READ`.
    PopulateRead,
    /// `MADV_POPULATE_WRITE`.
    PopulateWrite,
    /// `MADV_HUGEPAGE`.
    HugePage,
    /// `MADV_NOHUGEPAGE`.
    NoHugePage,
    /// Set this property: `MADV_DONTFORK` and the like.
    Set(VmaFlags),
    /// Take it away.
    Clear(VmaFlags),
}

impl AddressSpace {
    /// Follows advice: `EINVAL` if it does not fit the mapping, `ENOMEM` where nothing is mapped
    /// (the rest is done all the same), `EFAULT` if pages cannot be faulted in.
    pub fn advise(&self, start: GuestAddr, length: u64, advice: GuestAdvice) -> Result<(), Errno> {
        let range = page_range(start, length).ok_or(Errno::EINVAL)?;
        if range.is_empty() {
            return Ok(());
        }
        let mut map = self.map.lock();
        let mut holes = false;
        let mut at = range.start();
        let mut files = Vec::new();
        for (piece, vma) in map.tree.pieces(range) {
            holes |= piece.start() != at;
            at = piece.end();
            let locked = vma.flags.contains(VmaFlags::LOCKED);
            let private_anonymous = matches!(vma.object, Object::Anonymous);
            match advice {
                GuestAdvice::DontNeed if locked => return Err(Errno::EINVAL),
                GuestAdvice::Free if locked || !private_anonymous => return Err(Errno::EINVAL),
                GuestAdvice::Set(VmaFlags::WIPE_ON_FORK) if !private_anonymous => {
                    return Err(Errno::EINVAL);
                }
                GuestAdvice::PopulateRead if !vma.permits(Protection::READ) => {
                    return Err(Errno::EFAULT);
                }
                GuestAdvice::PopulateWrite if !vma.permits(Protection::WRITE) => {
                    return Err(Errno::EFAULT);
                }
                GuestAdvice::Remove => {
                    let vma_start = piece.start();
                    let start = map.tree.find(vma_start).map_or(vma_start, |(s, _)| s);
                    let Some((file, offset)) = vma.file_at(start, piece.start()) else {
                        return Err(Errno::EINVAL);
                    };
                    if locked || vma.sharing != Sharing::Shared {
                        return Err(Errno::EINVAL);
                    }
                    if !vma.allowed.contains(Protection::WRITE) {
                        return Err(Errno::EACCES);
                    }
                    files.push((file.clone(), offset, piece.len()));
                }
                _ => {}
            }
        }
        holes |= at != range.end();
        let host_advice = match advice {
            GuestAdvice::DontNeed => Some(Advice::DontNeed),
            GuestAdvice::Free => Some(Advice::Free),
            GuestAdvice::PopulateRead => Some(Advice::PopulateRead),
            GuestAdvice::PopulateWrite => Some(Advice::PopulateWrite),
            GuestAdvice::HugePage => Some(Advice::HugePage),
            GuestAdvice::NoHugePage => Some(Advice::NoHugePage),
            GuestAdvice::Nothing
            | GuestAdvice::Remove
            | GuestAdvice::Set(_)
            | GuestAdvice::Clear(_) => None,
        };
        if let Some(advice) = host_advice {
            for run in host::populated_runs(map.tree.populated_pieces(range)) {
                match platform().advise(run, advice) {
                    Ok(()) => {}
                    // A host without such pages.
                    Err(_) if matches!(advice, Advice::HugePage | Advice::NoHugePage) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let (set, clear) = match advice {
            GuestAdvice::Set(flags) => (flags, VmaFlags::empty()),
            GuestAdvice::Clear(flags) => (VmaFlags::empty(), flags),
            GuestAdvice::HugePage => (VmaFlags::HUGE_PAGE, VmaFlags::NO_HUGE_PAGE),
            GuestAdvice::NoHugePage => (VmaFlags::NO_HUGE_PAGE, VmaFlags::HUGE_PAGE),
            _ => (VmaFlags::empty(), VmaFlags::empty()),
        };
        if !(set | clear).is_empty() {
            map.room_for_splits(2)?;
            map.tree.change(range, |vma| {
                vma.flags.remove(clear);
                vma.flags.insert(set);
            });
        }
        drop(map);
        for (file, offset, length) in files {
            file.file.allocate(Allocation::PunchHole, offset, length)?;
        }
        if holes { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Writes shared changes to storage, msync(2) with `MS_SYNC`; `ENOMEM` if part of the range is
    /// not mapped. With `flush` false only the range is checked.
    pub fn synchronize(&self, start: GuestAddr, length: u64, flush: bool) -> Result<(), Errno> {
        if !start.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let range = page_range(start, length).ok_or(Errno::ENOMEM)?;
        let map = self.map.lock();
        let mut files: Vec<_> = Vec::new();
        let mut at = range.start();
        let mut holes = false;
        for (piece, vma) in map.tree.pieces(range) {
            holes |= piece.start() != at;
            at = piece.end();
            if let Object::File { file, .. } = &vma.object
                && vma.sharing == Sharing::Shared
            {
                files.push(file.clone());
            }
        }
        holes |= at != range.end();
        drop(map);
        for file in files.into_iter().filter(|_| flush) {
            match file.file.sync(true) {
                // Memory has no storage.
                Ok(()) | Err(Errno::EINVAL) => {}
                Err(error) => return Err(error),
            }
        }
        if holes { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Which pages are there, mincore(2): calls `each` with a number of pages that are, run by
    /// run. The host is not asked: all that the host maps counts. `ENOMEM` if part is not mapped.
    pub fn resident(&self, start: GuestAddr, length: u64) -> Result<Vec<GuestRange>, Errno> {
        let range = page_range(start, length).ok_or(Errno::ENOMEM)?;
        let map = self.map.lock();
        if map.tree.mapped_prefix(range) < range.end() {
            return Err(Errno::ENOMEM);
        }
        Ok(host::populated_runs(map.tree.populated_pieces(range)).collect())
    }
}
