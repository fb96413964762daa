//! Sizes and space: truncate(2), ftruncate(2), fallocate(2).

use crate::call::{Call, CallResult};
use crate::files::{PathArgument, despite_leases};
use capsid_core::Errno;
use capsid_core::fs::notify::{FileEvents, attributes_changed, file_event};
use capsid_core::fs::{Allocation, AttributeChange, FileKind, Inode, LookupFlags, StatusFlags};
use linux_raw_sys::general as raw;

fn length(call: &Call<'_>, index: usize) -> Result<u64, Errno> {
    u64::try_from(call.long(index)).map_err(|_| Errno::EINVAL)
}

/// Checks a new size against the limit on file sizes.
fn check_limit(call: &Call<'_>, size: u64, old: u64) -> Result<(), Errno> {
    if size > old && size > call.file_size_limit() {
        call.raise_file_size();
        return Err(Errno::EFBIG);
    }
    Ok(())
}

/// truncate(2).
pub fn sys_truncate(call: &mut Call<'_>) -> CallResult {
    let size = length(call, 1)?;
    let path = PathArgument::read(call.pointer(0))?;
    call.with_place(raw::AT_FDCWD, &path, |view, place| {
        let file = view.resolve(place, LookupFlags::FOLLOW)?;
        if call.file_size_limit() != u64::MAX {
            check_limit(call, size, file.inode().metadata()?.size)?;
        }
        despite_leases(call, StatusFlags::empty(), || view.truncate(&file, size))?;
        tell_mappers(call, &**file.inode());
        Ok(())
    })?;
    Ok(0)
}

/// ftruncate(2).
pub fn sys_ftruncate(call: &mut Call<'_>) -> CallResult {
    let size = length(call, 1)?;
    let file = call.usable_file(0)?;
    if !file.flags().writable() {
        return Err(Errno::EINVAL);
    }
    let metadata = file.file.metadata()?;
    if metadata.kind != FileKind::Regular {
        return Err(Errno::EINVAL);
    }
    check_limit(call, size, metadata.size)?;
    let change = AttributeChange {
        size: Some(size),
        ..AttributeChange::default()
    };
    file.file.set_attributes(&change)?;
    attributes_changed(&file, &change);
    if size < metadata.size
        && let Some(inode) = file.file.inode()
    {
        tell_mappers(call, &*inode);
    }
    Ok(0)
}

/// Lets accesses past the end of a file that was cut fault, in every process that maps it. The
/// host does that itself for its own files.
pub fn tell_mappers(call: &Call<'_>, inode: &dyn Inode) {
    if let Some(identity) = inode.mapped_identity() {
        call.kernel().file_shrank(call.process(), identity);
    }
}

/// fallocate(2).
pub fn sys_fallocate(call: &mut Call<'_>) -> CallResult {
    let (offset, length) = (length(call, 2)?, length(call, 3)?);
    let file = call.usable_file(0)?;
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    let what = allocation(call.uint(1))?;
    if !file.flags().writable() {
        return Err(Errno::EBADF);
    }
    let metadata = file.file.metadata()?;
    match metadata.kind {
        FileKind::Regular => {}
        FileKind::Fifo => return Err(Errno::ESPIPE),
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::ENODEV),
    }
    let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
    if i64::try_from(end).is_err() {
        return Err(Errno::EFBIG);
    }
    if matches!(what, Allocation::Extend | Allocation::Zero) {
        check_limit(call, end, metadata.size)?;
    }
    file.file.allocate(what, offset, length)?;
    file_event(&file, FileEvents::MODIFY);
    Ok(0)
}

fn allocation(mode: u32) -> Result<Allocation, Errno> {
    const KEEP: u32 = raw::FALLOC_FL_KEEP_SIZE;
    const PUNCH: u32 = raw::FALLOC_FL_PUNCH_HOLE | KEEP;
    const ZERO: u32 = raw::FALLOC_FL_ZERO_RANGE;
    const ZERO_KEEP: u32 = ZERO | KEEP;
    Ok(match mode {
        0 => Allocation::Extend,
        KEEP => Allocation::KeepSize,
        PUNCH => Allocation::PunchHole,
        ZERO => Allocation::Zero,
        ZERO_KEEP => Allocation::ZeroKeepSize,
        raw::FALLOC_FL_COLLAPSE_RANGE => Allocation::Collapse,
        raw::FALLOC_FL_INSERT_RANGE => Allocation::Insert,
        _ => return Err(Errno::EOPNOTSUPP),
    })
}
