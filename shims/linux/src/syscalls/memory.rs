//! Mappings: mmap(2), munmap(2), mprotect(2), pkey_mprotect(2), mremap(2), brk(2).

use crate::call::{Call, CallResult};
use capsid_core::Errno;
use capsid_core::memory::{MapRequest, MapSource, Placement, RemapFlags, RemapRequest, VmaFlags};
use capsid_platform::{PAGE_SIZE, Protection, Sharing};
use linux_raw_sys::general as raw;

/// Flags that `MAP_SHARED_VALIDATE` knows.
const KNOWN_FLAGS: u32 = raw::MAP_TYPE
    | raw::MAP_FIXED
    | raw::MAP_ANONYMOUS
    | raw::MAP_32BIT
    | raw::MAP_GROWSDOWN
    | raw::MAP_DENYWRITE
    | raw::MAP_EXECUTABLE
    | raw::MAP_LOCKED
    | raw::MAP_NORESERVE
    | raw::MAP_POPULATE
    | raw::MAP_NONBLOCK
    | raw::MAP_STACK
    | raw::MAP_FIXED_NOREPLACE;

/// `PROT_*` as a protection; other bits mean nothing, as on Linux.
fn protection(bits: u32) -> Protection {
    let mut protection = Protection::empty();
    protection.set(Protection::READ, bits & raw::PROT_READ != 0);
    protection.set(Protection::WRITE, bits & raw::PROT_WRITE != 0);
    protection.set(Protection::EXECUTE, bits & raw::PROT_EXEC != 0);
    protection
}

/// mmap(2).
pub fn sys_mmap(call: &mut Call<'_>) -> CallResult {
    let [address, length, _, _, _, offset] = call.arguments;
    let flags = call.uint(3);
    if !offset.is_multiple_of(PAGE_SIZE as u64) {
        return Err(Errno::EINVAL);
    }
    let sharing = match flags & raw::MAP_TYPE {
        raw::MAP_PRIVATE => Sharing::Private,
        raw::MAP_SHARED => Sharing::Shared,
        raw::MAP_SHARED_VALIDATE if flags & !KNOWN_FLAGS != 0 => return Err(Errno::EOPNOTSUPP),
        raw::MAP_SHARED_VALIDATE => Sharing::Shared,
        _ => return Err(Errno::EINVAL),
    };
    let source = if flags & raw::MAP_ANONYMOUS != 0 {
        MapSource::Anonymous
    } else {
        MapSource::File(call.usable_file(4)?, offset)
    };
    if flags & raw::MAP_HUGETLB != 0 {
        // A machine without reserved huge pages.
        return Err(Errno::ENOMEM);
    }
    let mut vma_flags = VmaFlags::empty();
    vma_flags.set(VmaFlags::NO_RESERVE, flags & raw::MAP_NORESERVE != 0);
    vma_flags.set(VmaFlags::LOCKED, flags & raw::MAP_LOCKED != 0);
    if flags & raw::MAP_GROWSDOWN != 0 {
        if sharing == Sharing::Shared || matches!(source, MapSource::File(..)) {
            return Err(Errno::EINVAL);
        }
        vma_flags.insert(VmaFlags::GROWS_DOWN);
    }
    let request = MapRequest {
        placement: placement(address, flags),
        length,
        protection: protection(call.uint(2)),
        sharing,
        source,
        flags: vma_flags,
        populate: flags & (raw::MAP_POPULATE | raw::MAP_NONBLOCK) == raw::MAP_POPULATE,
    };
    let limits = call.process().memory_limits();
    call.process().memory().space.map(request, &limits)
}

fn placement(address: u64, flags: u32) -> Placement {
    if flags & raw::MAP_FIXED_NOREPLACE != 0 {
        Placement::FixedNoReplace(address)
    } else if flags & raw::MAP_FIXED != 0 {
        Placement::Fixed(address)
    } else if flags & raw::MAP_32BIT != 0 {
        Placement::Low(address)
    } else {
        Placement::Hint(address)
    }
}

/// munmap(2).
pub fn sys_munmap(call: &mut Call<'_>) -> CallResult {
    let memory = call.process().memory();
    memory.space.unmap(call.pointer(0), call.raw(1))?;
    Ok(0)
}

/// mprotect(2).
pub fn sys_mprotect(call: &mut Call<'_>) -> CallResult {
    let bits = call.uint(2);
    let growing = raw::PROT_GROWSDOWN | raw::PROT_GROWSUP;
    let known = raw::PROT_READ | raw::PROT_WRITE | raw::PROT_EXEC | raw::PROT_SEM | growing;
    if bits & !known != 0 || bits & growing == growing {
        return Err(Errno::EINVAL);
    }
    let (mut start, mut length) = (call.pointer(0), call.raw(1));
    let memory = call.process().memory();
    if bits & growing != 0 {
        // The stack's executability: from where the stack begins now.
        let region = memory.space.region_at(start.0).ok_or(Errno::ENOMEM)?;
        let downward = region.flags.contains(VmaFlags::GROWS_DOWN);
        if !downward || bits & raw::PROT_GROWSUP != 0 {
            return Err(Errno::EINVAL);
        }
        length = length.saturating_add(start.0 - region.range.start());
        start.0 = region.range.start();
    }
    let limits = call.process().memory_limits();
    memory
        .space
        .protect(start, length, protection(bits), &limits)?;
    Ok(0)
}

/// pkey_mprotect(2): without keys, as on a processor that has none.
pub fn sys_pkey_mprotect(call: &mut Call<'_>) -> CallResult {
    if call.int(3) != -1 {
        return Err(Errno::EINVAL);
    }
    sys_mprotect(call)
}

/// pkey_alloc(2).
pub fn sys_pkey_alloc(call: &mut Call<'_>) -> CallResult {
    if call.raw(0) != 0 || call.raw(1) & !3 != 0 {
        return Err(Errno::EINVAL);
    }
    Err(Errno::ENOSPC)
}

/// pkey_free(2).
pub fn sys_pkey_free(_call: &mut Call<'_>) -> CallResult {
    Err(Errno::EINVAL)
}

/// mremap(2).
pub fn sys_mremap(call: &mut Call<'_>) -> CallResult {
    let flags = u32::try_from(call.raw(3)).map_err(|_| Errno::EINVAL)?;
    let request = RemapRequest {
        address: call.pointer(0),
        old_length: call.raw(1),
        new_length: call.raw(2),
        flags: RemapFlags::from_bits(flags).ok_or(Errno::EINVAL)?,
        new_address: call.raw(4),
    };
    let limits = call.process().memory_limits();
    call.process().memory().space.remap(request, &limits)
}

/// brk(2).
pub fn sys_brk(call: &mut Call<'_>) -> CallResult {
    let limits = call.process().memory_limits();
    let memory = call.process().memory();
    Ok(memory.space.set_break(call.raw(0), &limits))
}
