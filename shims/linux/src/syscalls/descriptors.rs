//! Descriptors: close(2), close_range(2), dup(2), dup2(2), dup3(2).

use crate::call::{Call, CallResult};
use crate::files::{Descriptor, DescriptorFlags};
use alloc::sync::Arc;
use capsid_core::Errno;
use linux_raw_sys::general as raw;

// Flags that the generated header lacks.
const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// close(2).
pub fn sys_close(call: &mut Call<'_>) -> CallResult {
    let files = call.thread.files.lock();
    let descriptor = files.remove(call.int(0))?;
    files.close(descriptor);
    Ok(0)
}

/// close_range(2).
pub fn sys_close_range(call: &mut Call<'_>) -> CallResult {
    const KNOWN: u32 = CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC;
    let (first, last, flags) = (call.uint(0), call.uint(1), call.uint(2));
    if flags & !KNOWN != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        let mut files = call.thread.files.lock();
        if Arc::strong_count(&files) > 1 {
            *files = Arc::new(files.duplicate());
        }
    }
    let files = call.thread.files();
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        files.mark_range(first, last);
        return Ok(0);
    }
    for descriptor in files.remove_range(first, last) {
        files.close(descriptor);
    }
    Ok(0)
}

/// dup(2).
pub fn sys_dup(call: &mut Call<'_>) -> CallResult {
    do_dup(call, call.int(0), 0, DescriptorFlags::empty())
}

/// Gives a description another descriptor, the lowest free from `lowest` on.
pub fn do_dup(call: &Call<'_>, fd: i32, lowest: u32, flags: DescriptorFlags) -> CallResult {
    let file = call.file(fd)?;
    let limit = call.descriptor_limit();
    let descriptor = Descriptor { file, flags };
    let fd = call.thread.files.lock().insert(descriptor, lowest, limit)?;
    Ok(u64::from(fd.cast_unsigned()))
}

/// dup2(2).
pub fn sys_dup2(call: &mut Call<'_>) -> CallResult {
    let (old, new) = (call.int(0), call.int(1));
    if old == new {
        call.file(old)?;
        return Ok(u64::from(new.cast_unsigned()));
    }
    replace(call, old, new, DescriptorFlags::empty())
}

/// dup3(2).
pub fn sys_dup3(call: &mut Call<'_>) -> CallResult {
    let (old, new, flags) = (call.int(0), call.int(1), call.uint(2));
    if flags & !raw::O_CLOEXEC != 0 || old == new {
        return Err(Errno::EINVAL);
    }
    let mut descriptor_flags = DescriptorFlags::empty();
    descriptor_flags.set(DescriptorFlags::CLOSE_ON_EXEC, flags != 0);
    replace(call, old, new, descriptor_flags)
}

fn replace(call: &Call<'_>, old: i32, new: i32, flags: DescriptorFlags) -> CallResult {
    let number = u32::try_from(new).map_err(|_| Errno::EBADF)?;
    if number >= call.descriptor_limit() {
        return Err(Errno::EBADF);
    }
    let file = call.file(old)?;
    let files = call.thread.files();
    if let Some(before) = files.replace(new, Descriptor { file, flags })? {
        files.close(before);
    }
    Ok(number.into())
}
