//! Moving bytes: read(2), write(2), pread64(2), pwrite64(2), readv(2), writev(2), preadv(2),
//! pwritev(2), preadv2(2), pwritev2(2).

use crate::call::{Call, CallResult};
use crate::files::{At, IoVectors, MAX_TRANSFER_BYTES, Patience, do_read, do_write};
use capsid_core::Errno;
use capsid_core::io::{Destination, Segment, Source};
use linux_raw_sys::general as raw;

/// The buffer that two arguments name.
fn buffer(call: &Call<'_>, address: usize, length: usize) -> [Segment; 1] {
    [Segment {
        address: call.pointer(address),
        length: call.size(length).min(MAX_TRANSFER_BYTES),
    }]
}

/// An offset: `EINVAL` if it is negative.
fn offset(call: &Call<'_>, index: usize) -> Result<At, Errno> {
    u64::try_from(call.long(index))
        .map(At::Offset)
        .map_err(|_| Errno::EINVAL)
}

/// read(2).
pub fn sys_read(call: &mut Call<'_>) -> CallResult {
    let file = call.file(call.int(0))?;
    let segments = buffer(call, 1, 2);
    let mut destination = Destination::guest(&segments);
    do_read(
        call,
        &file,
        &mut destination,
        At::Position,
        Patience::Description,
    )
}

/// write(2).
pub fn sys_write(call: &mut Call<'_>) -> CallResult {
    let file = call.file(call.int(0))?;
    let segments = buffer(call, 1, 2);
    let mut source = Source::guest(&segments);
    do_write(
        call,
        &file,
        &mut source,
        At::Position,
        Patience::Description,
    )
}

/// pread64(2).
pub fn sys_pread64(call: &mut Call<'_>) -> CallResult {
    let at = offset(call, 3)?;
    let file = call.file(call.int(0))?;
    let segments = buffer(call, 1, 2);
    let mut destination = Destination::guest(&segments);
    do_read(call, &file, &mut destination, at, Patience::Description)
}

/// pwrite64(2).
pub fn sys_pwrite64(call: &mut Call<'_>) -> CallResult {
    let at = offset(call, 3)?;
    let file = call.file(call.int(0))?;
    let segments = buffer(call, 1, 2);
    let mut source = Source::guest(&segments);
    do_write(call, &file, &mut source, at, Patience::Description)
}

fn read_vectors(call: &Call<'_>, at: At, patience: Patience) -> CallResult {
    let file = call.file(call.int(0))?;
    let vectors = IoVectors::read(call.pointer(1), call.size(2))?;
    do_read(call, &file, &mut Destination::guest(&vectors), at, patience)
}

fn write_vectors(call: &Call<'_>, at: At, patience: Patience) -> CallResult {
    let file = call.file(call.int(0))?;
    let vectors = IoVectors::read(call.pointer(1), call.size(2))?;
    do_write(call, &file, &mut Source::guest(&vectors), at, patience)
}

/// readv(2).
pub fn sys_readv(call: &mut Call<'_>) -> CallResult {
    read_vectors(call, At::Position, Patience::Description)
}

/// writev(2).
pub fn sys_writev(call: &mut Call<'_>) -> CallResult {
    write_vectors(call, At::Position, Patience::Description)
}

/// preadv(2).
pub fn sys_preadv(call: &mut Call<'_>) -> CallResult {
    let at = offset(call, 3)?;
    read_vectors(call, at, Patience::Description)
}

/// pwritev(2).
pub fn sys_pwritev(call: &mut Call<'_>) -> CallResult {
    let at = offset(call, 3)?;
    write_vectors(call, at, Patience::Description)
}

/// Flags of preadv2(2) that ask for nothing that is not done anyway, or that only hurry.
const HINTS: u32 = raw::RWF_HIPRI | raw::RWF_DSYNC | raw::RWF_SYNC | raw::RWF_NOWAIT;

fn patience(flags: u32) -> Patience {
    if flags & raw::RWF_NOWAIT == 0 {
        Patience::Description
    } else {
        Patience::None
    }
}

/// An offset, or the position for -1.
fn offset_or_position(call: &Call<'_>) -> Result<At, Errno> {
    if call.long(3) == -1 {
        return Ok(At::Position);
    }
    offset(call, 3)
}

/// preadv2(2).
pub fn sys_preadv2(call: &mut Call<'_>) -> CallResult {
    let at = offset_or_position(call)?;
    let flags = call.uint(5);
    if flags & !HINTS != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    read_vectors(call, at, patience(flags))
}

/// pwritev2(2).
pub fn sys_pwritev2(call: &mut Call<'_>) -> CallResult {
    let mut at = offset_or_position(call)?;
    let flags = call.uint(5);
    if flags & !(HINTS | raw::RWF_APPEND) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags & raw::RWF_APPEND != 0 {
        at = At::End;
    }
    let count = write_vectors(call, at, patience(flags))?;
    if flags & (raw::RWF_DSYNC | raw::RWF_SYNC) != 0 {
        let file = call.file(call.int(0))?;
        file.file.sync(flags & raw::RWF_SYNC == 0)?;
    }
    Ok(count)
}
