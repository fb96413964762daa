//! What guests tell and ask about mapped pages: madvise(2), msync(2), mincore(2), mlock(2),
//! mlock2(2), munlock(2), mlockall(2), munlockall(2).

use crate::call::{Call, CallResult};
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::memory::{GuestAdvice, MemoryLimits, VmaFlags};
use capsid_platform::{GuestRange, PAGE_SIZE};
use linux_raw_sys::general as raw;

/// madvise(2).
pub fn sys_madvise(call: &mut Call<'_>) -> CallResult {
    let advice = match call.uint(2) {
        raw::MADV_NORMAL
        | raw::MADV_RANDOM
        | raw::MADV_SEQUENTIAL
        | raw::MADV_WILLNEED
        | raw::MADV_COLD
        | raw::MADV_PAGEOUT
        | raw::MADV_COLLAPSE => GuestAdvice::Nothing,
        raw::MADV_DONTNEED | raw::MADV_DONTNEED_LOCKED => GuestAdvice::DontNeed,
        raw::MADV_FREE => GuestAdvice::Free,
        raw::MADV_REMOVE => GuestAdvice::Remove,
        raw::MADV_POPULATE_READ => GuestAdvice::PopulateRead,
        raw::MADV_POPULATE_WRITE => GuestAdvice::PopulateWrite,
        raw::MADV_HUGEPAGE => GuestAdvice::HugePage,
        raw::MADV_NOHUGEPAGE => GuestAdvice::NoHugePage,
        raw::MADV_DONTFORK => GuestAdvice::Set(VmaFlags::DONT_FORK),
        raw::MADV_DOFORK => GuestAdvice::Clear(VmaFlags::DONT_FORK),
        raw::MADV_MERGEABLE => GuestAdvice::Set(VmaFlags::MERGEABLE),
        raw::MADV_UNMERGEABLE => GuestAdvice::Clear(VmaFlags::MERGEABLE),
        raw::MADV_DONTDUMP => GuestAdvice::Set(VmaFlags::DONT_DUMP),
        raw::MADV_DODUMP => GuestAdvice::Clear(VmaFlags::DONT_DUMP),
        raw::MADV_WIPEONFORK => GuestAdvice::Set(VmaFlags::WIPE_ON_FORK),
        raw::MADV_KEEPONFORK => GuestAdvice::Clear(VmaFlags::WIPE_ON_FORK),
        _ => return Err(Errno::EINVAL),
    };
    let memory = call.process().memory();
    memory.space.advise(call.pointer(0), call.raw(1), advice)?;
    Ok(0)
}

/// msync(2).
pub fn sys_msync(call: &mut Call<'_>) -> CallResult {
    let flags = call.uint(2);
    let both = raw::MS_ASYNC | raw::MS_SYNC;
    if flags & !(both | raw::MS_INVALIDATE) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let flush = flags & raw::MS_SYNC != 0;
    let memory = call.process().memory();
    memory
        .space
        .synchronize(call.pointer(0), call.raw(1), flush)?;
    Ok(0)
}

/// mincore(2).
pub fn sys_mincore(call: &mut Call<'_>) -> CallResult {
    const CHUNK: u64 = 512;
    let (start, vector) = (call.pointer(0), call.pointer(2));
    if !start.is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    let page = PAGE_SIZE as u64;
    let pages = call.raw(1).div_ceil(page);
    let runs = call.process().memory().space.resident(start, call.raw(1))?;
    let is_resident = |at: u64| runs.iter().any(|run: &GuestRange| run.contains(at));
    for first in (0..pages).step_by(512) {
        let mut bytes = [0u8; 512];
        let count = (pages - first).min(CHUNK);
        for (byte, number) in bytes.iter_mut().zip(first..first + count) {
            *byte = u8::from(is_resident(start.0 + number * page));
        }
        let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
        let bytes = bytes.get(..count).ok_or(Errno::EINVAL)?;
        vector.offset(first)?.write(bytes)?;
    }
    Ok(0)
}

/// The limits on locking: `EPERM` for who may lock nothing.
fn locking_limits(call: &Call<'_>) -> Result<MemoryLimits, Errno> {
    let mut limits = call.process().memory_limits();
    if call.thread.credentials().has(Capabilities::IPC_LOCK) {
        limits.locked = u64::MAX;
    } else if limits.locked == 0 {
        return Err(Errno::EPERM);
    }
    Ok(limits)
}

fn do_lock(call: &Call<'_>, lock: bool) -> CallResult {
    let limits = if lock {
        locking_limits(call)?
    } else {
        MemoryLimits::NONE
    };
    let memory = call.process().memory();
    memory
        .space
        .lock(call.pointer(0), call.raw(1), lock, &limits)?;
    Ok(0)
}

/// mlock(2).
pub fn sys_mlock(call: &mut Call<'_>) -> CallResult {
    do_lock(call, true)
}

/// mlock2(2).
pub fn sys_mlock2(call: &mut Call<'_>) -> CallResult {
    if call.uint(2) & !raw::MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    do_lock(call, true)
}

/// munlock(2).
pub fn sys_munlock(call: &mut Call<'_>) -> CallResult {
    do_lock(call, false)
}

/// mlockall(2).
pub fn sys_mlockall(call: &mut Call<'_>) -> CallResult {
    let flags = call.uint(0);
    let known = raw::MCL_CURRENT | raw::MCL_FUTURE | raw::MCL_ONFAULT;
    if flags == 0 || flags & !known != 0 || flags == raw::MCL_ONFAULT {
        return Err(Errno::EINVAL);
    }
    let limits = locking_limits(call)?;
    let current = flags & raw::MCL_CURRENT != 0;
    let future = flags & raw::MCL_FUTURE != 0;
    let memory = call.process().memory();
    memory.space.lock_all(current, future, &limits)?;
    Ok(0)
}

/// munlockall(2).
pub fn sys_munlockall(call: &mut Call<'_>) -> CallResult {
    call.process().memory().space.unlock_all();
    Ok(0)
}
