//! Attributes: stat(2), lstat(2), fstat(2), newfstatat(2), statx(2).

use crate::call::{Call, CallResult};
use crate::files::PathArgument;
use capsid_core::Errno;
use capsid_core::fs::{DeviceId, LookupFlags, Metadata};
use capsid_platform::GuestAddr;
use linux_raw_sys::general as raw;

const NS_PER_S: u64 = 1_000_000_000;
/// `struct stat`, in bytes.
const STAT_BYTES: usize = 144;
/// `struct statx`, in bytes.
const STATX_BYTES: usize = 256;

/// stat(2).
pub fn sys_stat(call: &mut Call<'_>) -> CallResult {
    stat_at(call, raw::AT_FDCWD, call.pointer(0), call.pointer(1), 0)
}

/// lstat(2).
pub fn sys_lstat(call: &mut Call<'_>) -> CallResult {
    let flags = raw::AT_SYMLINK_NOFOLLOW;
    stat_at(call, raw::AT_FDCWD, call.pointer(0), call.pointer(1), flags)
}

/// fstat(2).
pub fn sys_fstat(call: &mut Call<'_>) -> CallResult {
    let metadata = call.file(call.int(0))?.file.metadata()?;
    write_stat(call.pointer(1), &metadata)
}

/// newfstatat(2).
pub fn sys_newfstatat(call: &mut Call<'_>) -> CallResult {
    stat_at(
        call,
        call.int(0),
        call.pointer(1),
        call.pointer(2),
        call.uint(3),
    )
}

fn stat_at(
    call: &Call<'_>,
    directory: i32,
    path: GuestAddr,
    buffer: GuestAddr,
    flags: u32,
) -> CallResult {
    const KNOWN: u32 = raw::AT_SYMLINK_NOFOLLOW | raw::AT_NO_AUTOMOUNT | raw::AT_EMPTY_PATH;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let metadata = find_metadata(call, directory, path, flags)?;
    write_stat(buffer, &metadata)
}

/// Attributes of what a descriptor and a path name; with `AT_EMPTY_PATH` perhaps the descriptor's.
fn find_metadata(
    call: &Call<'_>,
    directory: i32,
    path: GuestAddr,
    flags: u32,
) -> Result<Metadata, Errno> {
    let empty_allowed = flags & raw::AT_EMPTY_PATH != 0;
    let path = if empty_allowed {
        PathArgument::read_optional(path)?
    } else {
        PathArgument::read(path)?
    };
    if path.is_empty() && empty_allowed && directory != raw::AT_FDCWD {
        return call.file(directory)?.file.metadata();
    }
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(LookupFlags::EMPTY_PATH, empty_allowed);
    call.with_place(directory, &path, |view, place| view.metadata(place, lookup))
}

/// Puts fields one after another.
struct Fields<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Fields<'_> {
    fn put(&mut self, field: &[u8]) {
        let end = self.at + field.len();
        if let Some(place) = self.bytes.get_mut(self.at..end) {
            place.copy_from_slice(field);
        }
        self.at = end;
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    fn time(&mut self, nanoseconds: u64) {
        self.u64(nanoseconds / NS_PER_S);
        self.u64(nanoseconds % NS_PER_S);
    }
}

fn write_stat(address: GuestAddr, metadata: &Metadata) -> CallResult {
    let mut bytes = [0; STAT_BYTES];
    let mut fields = Fields {
        bytes: &mut bytes,
        at: 0,
    };
    fields.u64(metadata.device);
    fields.u64(metadata.inode);
    fields.u64(metadata.links.into());
    fields.u32(metadata.mode());
    fields.u32(metadata.owner.user);
    fields.u32(metadata.owner.group);
    fields.u32(0);
    fields.u64(metadata.special_device.encode());
    fields.u64(metadata.size);
    fields.u64(metadata.block_size.into());
    fields.u64(metadata.blocks);
    fields.time(metadata.atime);
    fields.time(metadata.mtime);
    fields.time(metadata.ctime);
    address.write(&bytes)?;
    Ok(0)
}

/// statx(2).
pub fn sys_statx(call: &mut Call<'_>) -> CallResult {
    const KNOWN: u32 = raw::AT_SYMLINK_NOFOLLOW
        | raw::AT_NO_AUTOMOUNT
        | raw::AT_EMPTY_PATH
        | raw::AT_STATX_SYNC_TYPE;
    let (flags, mask) = (call.uint(2), call.uint(3));
    if mask & raw::STATX__RESERVED != 0
        || flags & !KNOWN != 0
        || flags & raw::AT_STATX_SYNC_TYPE == raw::AT_STATX_SYNC_TYPE
    {
        return Err(Errno::EINVAL);
    }
    let metadata = find_metadata(call, call.int(0), call.pointer(1), flags)?;
    write_statx(call.pointer(4), &metadata)
}

fn write_statx(address: GuestAddr, metadata: &Metadata) -> CallResult {
    let mut mask = raw::STATX_BASIC_STATS;
    if metadata.btime != 0 {
        mask |= raw::STATX_BTIME;
    }
    let mut bytes = [0; STATX_BYTES];
    let mut fields = Fields {
        bytes: &mut bytes,
        at: 0,
    };
    fields.u32(mask);
    fields.u32(metadata.block_size);
    fields.u64(0);
    fields.u32(metadata.links);
    fields.u32(metadata.owner.user);
    fields.u32(metadata.owner.group);
    // The mode has 16 bits, and 16 spare ones behind it.
    fields.u32(metadata.mode());
    fields.u64(metadata.inode);
    fields.u64(metadata.size);
    fields.u64(metadata.blocks);
    fields.u64(0);
    for time in [
        metadata.atime,
        metadata.btime,
        metadata.ctime,
        metadata.mtime,
    ] {
        fields.time(time);
    }
    for device in [metadata.special_device, DeviceId::decode(metadata.device)] {
        fields.u32(device.major);
        fields.u32(device.minor);
    }
    address.write(&bytes)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use linux_raw_sys::general as raw;

    #[test]
    fn sizes_are_those_of_linux() {
        assert_eq!(super::STAT_BYTES, size_of::<raw::stat>());
        assert_eq!(super::STATX_BYTES, size_of::<raw::statx>());
    }
}
