//! The broker's file operations as functions. What comes back is checked here.

use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::{Errno, HostFile, platform};
use capsid_wire::message::{
    DIRECTORY_END, LOOKUP_HANDLE, LOOKUP_OPEN, OPEN_NO_DONATION, OPEN_NO_HANDLE, SET_ATIME,
    SET_MODE, SET_MTIME, SET_OWNER, SET_SIZE,
};
use capsid_wire::{HostStat, LookupReply, Operation, Reply, Request};

use crate::fs::{AttributeChange, TimeChange};

/// Room for the reply of a look-up: 128 components and a symlink's target fit.
const LOOKUP_BYTES: usize = 20 * 1024;

/// Sends a request with `data`, and returns the reply with at most `room` bytes of its own.
fn call(
    operation: Operation,
    args: &[u64],
    data: &[u8],
    room: usize,
) -> Result<(Reply, Vec<u8>), Errno> {
    let mut all = [0; 6];
    for (place, arg) in all.iter_mut().zip(args) {
        *place = *arg;
    }
    let request = Request {
        operation,
        args: all,
        data_len: u32::try_from(data.len()).map_err(|_| Errno::ENAMETOOLONG)?,
    };
    let mut buffer = vec![0; room.max(data.len())];
    buffer[..data.len()].copy_from_slice(data);
    let reply = platform().broker_call(&request, &mut buffer)?;
    buffer.truncate(usize::try_from(reply.data_len).unwrap_or(usize::MAX));
    Ok((reply, buffer))
}

/// As [`call`], for replies that are attributes.
fn call_for_stat(operation: Operation, args: &[u64], data: &[u8]) -> Result<HostStat, Errno> {
    let (_, reply) = call(operation, args, data, HostStat::BYTES)?;
    HostStat::from_bytes(&reply).ok_or(Errno::EIO)
}

/// What a look-up brought.
#[derive(Debug)]
pub(super) struct Looked {
    /// Attributes of the components after the skipped ones, as far as it came.
    pub(super) components: Vec<HostStat>,
    /// Why it went no further.
    pub(super) error: Option<Errno>,
    /// The target, if the last one is a symlink.
    pub(super) target: Vec<u8>,
    /// The last one, open for reading, if that was wanted and it is a regular file.
    pub(super) opened: Option<(HostFile, u64)>,
}

/// Looks up the components of `path` after the first `skip`, and opens the last for reading if
/// `open` says what to keep.
pub(super) fn lookup(
    export: u64,
    path: &[u8],
    skip: usize,
    open: Option<Keep>,
) -> Result<Looked, Errno> {
    let flags = match open {
        None => 0,
        Some(Keep::Descriptor) => LOOKUP_OPEN,
        Some(Keep::Both | Keep::Handle) => LOOKUP_OPEN | LOOKUP_HANDLE,
    };
    let args = [export, flags, skip as u64];
    let (reply, data) = call(Operation::Lookup, &args, path, LOOKUP_BYTES)?;
    let outcome = LookupReply::from_value(reply.value);
    let count = usize::try_from(outcome.components).map_err(|_| Errno::EIO)?;
    let length = count.checked_mul(HostStat::BYTES).ok_or(Errno::EIO)?;
    let (stats, target) = data.split_at_checked(length).ok_or(Errno::EIO)?;
    let components = stats
        .chunks_exact(HostStat::BYTES)
        .map(|bytes| HostStat::from_bytes(bytes).ok_or(Errno::EIO))
        .collect::<Result<_, _>>()?;
    let handle = match target.try_into() {
        Ok(bytes) if flags & LOOKUP_HANDLE != 0 => u64::from_le_bytes(bytes),
        _ => 0,
    };
    Ok(Looked {
        opened: reply.donated.map(|file| (HostFile(file), handle)),
        components,
        error: (outcome.error != 0).then(|| Errno::from_raw(outcome.error.into())),
        target: target.to_vec(),
    })
}

/// Attributes of one path.
pub(super) fn stat(export: u64, path: &[u8]) -> Result<HostStat, Errno> {
    let depth = path.split(|&byte| byte == b'/').count();
    let looked = lookup(export, path, depth - 1, None)?;
    match (looked.components.last(), looked.error) {
        (Some(stat), None) => Ok(*stat),
        (_, error) => Err(error.unwrap_or(Errno::EIO)),
    }
}

/// What an open brought.
#[derive(Debug)]
pub(super) struct Opened {
    /// The handle, unless none was wanted.
    pub(super) handle: u64,
    /// The descriptor, if it is a regular file.
    pub(super) file: Option<HostFile>,
    /// Attributes.
    pub(super) stat: HostStat,
}

/// Whether the broker should keep a handle beside the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// The descriptor alone.
    Descriptor,
    /// Both.
    Both,
    /// The handle alone: a directory.
    Handle,
}

/// Opens a path.
pub(super) fn open(
    export: u64,
    path: &[u8],
    flags: u32,
    mode: u32,
    keep: Keep,
) -> Result<Opened, Errno> {
    let options = match keep {
        Keep::Descriptor => OPEN_NO_HANDLE,
        Keep::Both => 0,
        Keep::Handle => OPEN_NO_DONATION,
    };
    let args = [export, flags.into(), mode.into(), options];
    let (reply, data) = call(Operation::Open, &args, path, HostStat::BYTES)?;
    Ok(Opened {
        handle: reply.value,
        file: reply.donated.map(HostFile),
        stat: HostStat::from_bytes(&data).ok_or(Errno::EIO)?,
    })
}

/// Closes handles.
pub(super) fn close(handles: &[u64]) {
    let Some((first, more)) = handles.split_first() else {
        return;
    };
    let more: Vec<u8> = more
        .iter()
        .flat_map(|handle| handle.to_le_bytes())
        .collect();
    // A broker that is gone has closed them too.
    let _ = call(Operation::Close, &[*first], &more, 0);
}

/// Reads directory entries after `cookie`, as the wire has them; and says whether more follow.
pub(super) fn read_directory(handle: u64, cookie: u64) -> Result<(Vec<u8>, bool), Errno> {
    let room = capsid_wire::layout::DATA_BYTES;
    let (reply, data) = call(Operation::ReadDirectory, &[handle, cookie], &[], room)?;
    let more = reply.value & DIRECTORY_END == 0;
    Ok((data, more))
}

/// Reads a symlink.
pub(super) fn read_link(export: u64, path: &[u8]) -> Result<Vec<u8>, Errno> {
    let room = crate::fs::PATH_MAX;
    Ok(call(Operation::ReadLink, &[export], path, room)?.1)
}

/// Makes a directory.
pub(super) fn make_directory(export: u64, path: &[u8], mode: u32) -> Result<HostStat, Errno> {
    call_for_stat(Operation::MakeDirectory, &[export, mode.into()], path)
}

/// Makes a FIFO or a socket's name; `mode` holds the type.
pub(super) fn make_node(export: u64, path: &[u8], mode: u32) -> Result<HostStat, Errno> {
    call_for_stat(Operation::MakeNode, &[export, mode.into()], path)
}

/// Makes a symlink.
pub(super) fn symlink(export: u64, path: &[u8], target: &[u8]) -> Result<HostStat, Errno> {
    let args = [export, target.len() as u64];
    call_for_stat(Operation::Symlink, &args, &[target, path].concat())
}

/// Removes a name that is a directory's (1) or another's (0).
pub(super) fn unlink(export: u64, path: &[u8], directory: u64) -> Result<(), Errno> {
    call(Operation::Unlink, &[export, directory], path, 0).map(drop)
}

/// Renames.
pub(super) fn rename(export: u64, old: &[u8], new: &[u8], flags: u32) -> Result<(), Errno> {
    let args = [export, old.len() as u64, flags.into()];
    call(Operation::Rename, &args, &[old, new].concat(), 0).map(drop)
}

/// Makes a hard link.
pub(super) fn link(export: u64, existing: &[u8], new: &[u8]) -> Result<(), Errno> {
    let args = [export, existing.len() as u64];
    call(Operation::Link, &args, &[existing, new].concat(), 0).map(drop)
}

/// Attributes of an open file.
pub(super) fn stat_handle(handle: u64) -> Result<HostStat, Errno> {
    call_for_stat(Operation::StatHandle, &[handle], &[])
}

/// What attributes are set of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    /// A path of an export.
    Path(u64, &'a [u8]),
    /// An open file.
    Handle(u64),
}

/// Sets attributes.
pub(super) fn set_attributes(
    target: Target<'_>,
    change: &AttributeChange,
) -> Result<HostStat, Errno> {
    let (operation, number, path) = match target {
        Target::Path(export, path) => (Operation::SetAttributes, export, path),
        Target::Handle(handle) => (Operation::SetHandleAttributes, handle, &[][..]),
    };
    let time = |change: Option<TimeChange>| match change {
        Some(TimeChange::To(ns)) => ns.min(u64::MAX - 1),
        Some(TimeChange::Now) => u64::MAX,
        None => 0,
    };
    let flag = |wanted: bool, bit: u64| if wanted { bit } else { 0 };
    let mask = flag(change.permissions.is_some(), SET_MODE)
        | flag(change.size.is_some(), SET_SIZE)
        | flag(change.user.is_some() || change.group.is_some(), SET_OWNER)
        | flag(change.atime.is_some(), SET_ATIME)
        | flag(change.mtime.is_some(), SET_MTIME);
    let size = change.size.unwrap_or(0);
    if size >> 52 != 0 {
        return Err(Errno::EFBIG);
    }
    let owner = u64::from(change.user.unwrap_or(u32::MAX))
        | u64::from(change.group.unwrap_or(u32::MAX)) << 32;
    let permissions = u64::from(change.permissions.unwrap_or(0) & 0o7777);
    let args = [
        number,
        mask,
        permissions | size << 12,
        owner,
        time(change.atime),
        time(change.mtime),
    ];
    call_for_stat(operation, &args, path)
}

/// Flushes an open file.
pub(super) fn sync(handle: u64, data_only: bool) -> Result<(), Errno> {
    call(Operation::Sync, &[handle, data_only.into()], &[], 0).map(drop)
}

/// Allocates or punches space, with the mode bits of fallocate(2).
pub(super) fn allocate(handle: u64, mode: u32, offset: u64, length: u64) -> Result<(), Errno> {
    let args = [handle, mode.into(), offset, length];
    call(Operation::Allocate, &args, &[], 0).map(drop)
}

/// File-system statistics: type, block size, blocks, free, available, files, free files, name
/// length.
pub(super) fn statistics(export: u64) -> Result<[u64; 8], Errno> {
    let (_, data) = call(Operation::FileSystemStat, &[export], &[], 64)?;
    let mut words = [0; 8];
    if data.len() < 64 {
        return Err(Errno::EIO);
    }
    for (word, chunk) in words.iter_mut().zip(data.chunks_exact(8)) {
        *word = chunk.try_into().map_or(0, u64::from_le_bytes);
    }
    Ok(words)
}
