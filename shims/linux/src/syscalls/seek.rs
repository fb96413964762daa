//! Positions: lseek(2).

use crate::call::{Call, CallResult};
use crate::files::PidFile;
use capsid_core::Errno;
use capsid_core::fs::{FileKind, OpenFile};
use core::any::Any;
use linux_raw_sys::general as raw;

/// lseek(2).
pub fn sys_lseek(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    do_lseek(&file, call.long(1), call.uint(2))
}

fn do_lseek(file: &OpenFile, offset: i64, whence: u32) -> CallResult {
    if whence > raw::SEEK_HOLE {
        return Err(Errno::EINVAL);
    }
    if !file.file.is_seekable() {
        return seek_nowhere(file);
    }
    let mut position = file.position.lock();
    if file.file.has_one_position() {
        *position = 0;
        return Ok(0);
    }
    let base = match whence {
        raw::SEEK_SET => 0,
        raw::SEEK_CUR => position.cast_signed(),
        raw::SEEK_END => end_of(file)?,
        _ => {
            let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
            *position = file.file.seek_data(from, whence == raw::SEEK_HOLE)?;
            return Ok(*position);
        }
    };
    let target = base.checked_add(offset).ok_or(Errno::EOVERFLOW)?;
    let target = u64::try_from(target).map_err(|_| Errno::EINVAL)?;
    *position = target;
    Ok(target)
}

/// Linux's objects without a file let themselves be positioned, and stay where they are; streams
/// do not.
fn seek_nowhere(file: &OpenFile) -> CallResult {
    let object: &dyn Any = &*file.file;
    let is_anonymous = file
        .file
        .inode()
        .is_some_and(|inode| inode.kind() == FileKind::Anonymous);
    if is_anonymous && !object.is::<PidFile>() {
        return Ok(0);
    }
    Err(Errno::ESPIPE)
}

fn end_of(file: &OpenFile) -> Result<i64, Errno> {
    let metadata = file.file.metadata()?;
    match metadata.kind {
        FileKind::Directory => Ok(i64::MAX),
        _ => Ok(metadata.size.cast_signed()),
    }
}
