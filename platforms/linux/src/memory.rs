//! Memory of the calling guest process, and the page pool.

use crate::boot::{FD_IMAGE, FD_POOL, GUEST_END, GUEST_START, POOL_BASE};
use crate::{areas, copy, host};
use capsid_platform::{
    Advice, Backing, Errno, GuestRange, IoSource, IoTarget, PAGE_SIZE, PoolMemory, PoolPage,
    Protection, Sharing,
};
use linux_raw_sys::general as raw;

/// Flags that mappings are made with. The filter allows no others, and asks for `MAP_FIXED`.
pub const MAP_FLAGS: u32 =
    raw::MAP_SHARED | raw::MAP_PRIVATE | raw::MAP_FIXED | raw::MAP_ANONYMOUS | raw::MAP_NORESERVE;
/// Flags of mremap(2): exactly these.
pub const REMAP_FLAGS: u32 = raw::MREMAP_MAYMOVE | raw::MREMAP_FIXED;
/// Advice that is given.
pub const ADVICE: [u32; 9] = [
    raw::MADV_DONTNEED,
    raw::MADV_FREE,
    raw::MADV_REMOVE,
    raw::MADV_DONTFORK,
    raw::MADV_DOFORK,
    raw::MADV_HUGEPAGE,
    raw::MADV_NOHUGEPAGE,
    raw::MADV_POPULATE_READ,
    raw::MADV_POPULATE_WRITE,
];

/// Checks that a range is the guest's to change: one mistake in the library OS must not unmap it.
fn guest(range: GuestRange) -> Result<[usize; 2], Errno> {
    let aligned = |value: u64| value.is_multiple_of(PAGE_SIZE as u64);
    if range.start() < GUEST_START
        || range.end() > GUEST_END
        || !aligned(range.start())
        || !aligned(range.end())
    {
        return Err(Errno::EINVAL);
    }
    Ok([range.start() as usize, range.len() as usize])
}

/// See [`capsid_platform::Platform::map`].
pub fn map(
    range: GuestRange,
    protection: Protection,
    backing: Backing,
    sharing: Sharing,
) -> Result<(), Errno> {
    let [address, length] = guest(range)?;
    if length == 0 {
        return Ok(());
    }
    let sharing_flag = match sharing {
        Sharing::Private => raw::MAP_PRIVATE,
        Sharing::Shared => raw::MAP_SHARED,
    };
    let (flags, descriptor, offset) = match backing {
        Backing::Anonymous => (raw::MAP_ANONYMOUS, usize::MAX, 0),
        Backing::Pool(page) => (0, FD_POOL as usize, u64::from(page.0) * PAGE_SIZE as u64),
        Backing::Image(offset) => (0, FD_IMAGE as usize, offset),
        Backing::HostFile(file, offset) => (0, file.0 as usize, offset),
    };
    let flags = flags | sharing_flag | raw::MAP_FIXED | raw::MAP_NORESERVE;
    // SAFETY: the range was checked to be the guest's.
    let result = unsafe {
        host::call6(
            raw::__NR_mmap,
            [
                address,
                length,
                protection.bits().into(),
                flags as usize,
                descriptor,
                offset as usize,
            ],
        )
    };
    host::check(result).map(drop)
}

/// See [`capsid_platform::Platform::unmap`].
pub fn unmap(range: GuestRange) -> Result<(), Errno> {
    let [address, length] = guest(range)?;
    if length == 0 {
        return Ok(());
    }
    // SAFETY: the range was checked to be the guest's.
    host::check(unsafe { host::call3(raw::__NR_munmap, [address, length, 0]) }).map(drop)
}

/// See [`capsid_platform::Platform::protect`].
pub fn protect(range: GuestRange, protection: Protection) -> Result<(), Errno> {
    let [address, length] = guest(range)?;
    let protection = usize::from(protection.bits());
    // SAFETY: the range was checked to be the guest's.
    let result = unsafe { host::call3(raw::__NR_mprotect, [address, length, protection]) };
    host::check(result).map(drop)
}

/// See [`capsid_platform::Platform::remap`].
pub fn remap(old: GuestRange, new: GuestRange) -> Result<(), Errno> {
    let [old_address, old_length] = guest(old)?;
    let [new_address, new_length] = guest(new)?;
    // The host takes no old length for the wish to map the same pages twice.
    if old_length == 0 || new_length == 0 {
        return Err(Errno::EINVAL);
    }
    // SAFETY: both ranges were checked to be the guest's.
    let result = unsafe {
        host::call6(
            raw::__NR_mremap,
            [
                old_address,
                old_length,
                new_length,
                REMAP_FLAGS as usize,
                new_address,
                0,
            ],
        )
    };
    host::check(result).map(drop)
}

/// See [`capsid_platform::Platform::advise`].
pub fn advise(range: GuestRange, advice: Advice) -> Result<(), Errno> {
    let [address, length] = guest(range)?;
    let advice = match advice {
        Advice::DontNeed => raw::MADV_DONTNEED,
        Advice::Free => raw::MADV_FREE,
        Advice::HugePage => raw::MADV_HUGEPAGE,
        Advice::NoHugePage => raw::MADV_NOHUGEPAGE,
        Advice::PopulateRead => raw::MADV_POPULATE_READ,
        Advice::PopulateWrite => raw::MADV_POPULATE_WRITE,
    };
    give_advice(address, length, advice)
}

fn give_advice(address: usize, length: usize, advice: u32) -> Result<(), Errno> {
    // SAFETY: callers pass the guest's memory, or our own that holds nothing any more.
    let result = unsafe { host::call3(raw::__NR_madvise, [address, length, advice as usize]) };
    host::check(result).map(drop)
}

/// Whether the next fork copies the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtFork {
    /// It does, as usual.
    Copy,
    /// It leaves the child with none.
    Leave,
}

/// Says what the next fork of this process does with the guest's memory.
pub fn set_at_fork(what: AtFork) {
    let advice = match what {
        AtFork::Copy => raw::MADV_DOFORK,
        AtFork::Leave => raw::MADV_DONTFORK,
    };
    // It applies to all that is mapped, and says ENOMEM for the rest.
    let _ = give_advice(
        GUEST_START as usize,
        (GUEST_END - GUEST_START) as usize,
        advice,
    );
}

/// Gives whole pages of the shared heap that hold nothing back to the host.
pub fn release_heap(address: usize, length: usize) {
    // A host that refuses keeps the memory, no more.
    let _ = give_advice(address, length, raw::MADV_REMOVE);
}

/// The pool memory of `length` bytes from `offset` in `page`: its address, and how much of it
/// exists.
fn pool(page: PoolPage, offset: usize, length: usize) -> (*mut u8, usize) {
    let start = (page.0 as usize * PAGE_SIZE).saturating_add(offset);
    let existing = areas::pool_bytes().saturating_sub(start).min(length);
    (
        (POOL_BASE as usize).saturating_add(start) as *mut u8,
        existing,
    )
}

/// See [`capsid_platform::Platform::pool_read`].
pub fn pool_read(page: PoolPage, offset: usize, target: IoTarget<'_>) -> usize {
    let (from, length) = pool(page, offset, target.len());
    // SAFETY: `length` bytes of the pool exist at `from`. Guests may write there meanwhile: the
    // copies are in assembly, and take whatever is there.
    unsafe {
        match target {
            IoTarget::Guest(to, _) => copy::raw_to_guest(to, from, length),
            IoTarget::Kernel(to) => copy::copy(to.as_mut_ptr(), from, length),
        }
    }
}

/// See [`capsid_platform::Platform::pool_write`].
pub fn pool_write(page: PoolPage, offset: usize, source: IoSource<'_>) -> usize {
    let (to, length) = pool(page, offset, source.len());
    // SAFETY: as in `pool_read`.
    unsafe {
        match source {
            IoSource::Guest(from, _) => copy::guest_to_raw(to, from, length),
            IoSource::Kernel(from) => copy::copy(to, from.as_ptr(), length),
        }
    }
}

/// See [`capsid_platform::Platform::pool_zero`].
pub fn pool_zero(page: PoolPage, offset: usize, length: usize, memory: PoolMemory) {
    let (to, length) = pool(page, offset, length);
    let is_whole = offset.is_multiple_of(PAGE_SIZE) && length.is_multiple_of(PAGE_SIZE);
    if memory == PoolMemory::GivenBack
        && is_whole
        && give_advice(to as usize, length, raw::MADV_REMOVE).is_ok()
    {
        return;
    }
    // SAFETY: as in `pool_read`.
    unsafe { copy::zero(to, length) };
}
