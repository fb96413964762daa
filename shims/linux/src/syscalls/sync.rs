//! Storage: fsync(2), fdatasync(2), sync(2), syncfs(2), sync_file_range(2), posix_fadvise(2),
//! readahead(2).

use crate::call::{Call, CallResult};
use capsid_core::Errno;
use capsid_core::fs::FileKind;
use linux_raw_sys::general as raw;

/// fsync(2).
pub fn sys_fsync(call: &mut Call<'_>) -> CallResult {
    call.usable_file(0)?.file.sync(false)?;
    Ok(0)
}

/// fdatasync(2).
pub fn sys_fdatasync(call: &mut Call<'_>) -> CallResult {
    call.usable_file(0)?.file.sync(true)?;
    Ok(0)
}

/// sync(2).
pub fn sys_sync(call: &mut Call<'_>) -> CallResult {
    for mount in call.kernel().namespace.mounts() {
        // The call has no way to report an error.
        let _ = mount.file_system().sync();
    }
    Ok(0)
}

/// syncfs(2).
pub fn sys_syncfs(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    if let Some(path) = file.path() {
        path.mount().file_system().sync()?;
    }
    Ok(0)
}

/// sync_file_range(2).
pub fn sys_sync_file_range(call: &mut Call<'_>) -> CallResult {
    const KNOWN: u32 = raw::SYNC_FILE_RANGE_WAIT_BEFORE
        | raw::SYNC_FILE_RANGE_WRITE
        | raw::SYNC_FILE_RANGE_WAIT_AFTER;
    let file = call.usable_file(0)?;
    let (offset, length, flags) = (call.long(1), call.long(2), call.uint(3));
    let valid = offset >= 0 && length >= 0 && offset.checked_add(length).is_some();
    if flags & !KNOWN != 0 || !valid {
        return Err(Errno::EINVAL);
    }
    if !matches!(
        file.file.metadata()?.kind,
        FileKind::Regular | FileKind::Directory
    ) {
        return Err(Errno::ESPIPE);
    }
    if flags != 0 {
        file.file.sync(true)?;
    }
    Ok(0)
}

/// posix_fadvise(2). The advice has no effect.
pub fn sys_fadvise64(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    if file.file.metadata()?.kind == FileKind::Fifo {
        return Err(Errno::ESPIPE);
    }
    if call.long(2) < 0 || call.uint(3) > raw::POSIX_FADV_NOREUSE {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// readahead(2). Has no effect.
pub fn sys_readahead(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    if !file.flags().readable() {
        return Err(Errno::EBADF);
    }
    if file.file.metadata()?.kind != FileKind::Regular {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}
