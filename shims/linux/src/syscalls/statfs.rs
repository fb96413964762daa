//! File systems: statfs(2), fstatfs(2).

use crate::call::{Call, CallResult};
use crate::files::PathArgument;
use capsid_core::Errno;
use capsid_core::fs::{FileSystem, LookupFlags, MountFlags, NAME_MAX, Path};
use capsid_platform::GuestAddr;
use linux_raw_sys::general as raw;

/// `struct statfs`, in words of 8 bytes.
const STATFS_WORDS: usize = 15;
/// The flags of statfs(2) that mean "these flags are valid".
const ST_VALID: u64 = 0x20;

/// statfs(2).
pub fn sys_statfs(call: &mut Call<'_>) -> CallResult {
    let path = PathArgument::read(call.pointer(0))?;
    let found = call.resolve(raw::AT_FDCWD, &path, LookupFlags::FOLLOW)?;
    write_path(call.pointer(1), &found)
}

/// fstatfs(2).
pub fn sys_fstatfs(call: &mut Call<'_>) -> CallResult {
    let file = call.file(call.int(0))?;
    match file.path() {
        Some(path) => write_path(call.pointer(1), path),
        None => {
            let inode = file.file.inode().ok_or(Errno::ENOSYS)?;
            write(call.pointer(1), &*inode.file_system(), 0)
        }
    }
}

fn write_path(address: GuestAddr, path: &Path) -> CallResult {
    const KNOWN: MountFlags = MountFlags::READ_ONLY
        .union(MountFlags::NO_SET_ID)
        .union(MountFlags::NO_DEVICES)
        .union(MountFlags::NO_EXECUTE)
        .union(MountFlags::NO_ACCESS_TIME)
        .union(MountFlags::NO_DIRECTORY_ACCESS_TIME);
    let mount = path.mount();
    let mut flags = u64::from((mount.flags() & KNOWN).bits());
    if mount.flags().contains(MountFlags::RELATIVE_ACCESS_TIME) {
        flags |= 0x1000;
    }
    write(address, &**mount.file_system(), flags)
}

fn write(address: GuestAddr, file_system: &dyn FileSystem, flags: u64) -> CallResult {
    let sizes = file_system.statistics()?;
    let words: [u64; STATFS_WORDS] = [
        file_system.magic(),
        sizes.block_size,
        sizes.blocks,
        sizes.blocks_free,
        sizes.blocks_free,
        sizes.files,
        sizes.files_free,
        0,
        NAME_MAX as u64,
        sizes.block_size,
        flags | ST_VALID,
        0,
        0,
        0,
        0,
    ];
    let mut bytes = [0; STATFS_WORDS * 8];
    for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    address.write(&bytes)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_size_is_that_of_linux() {
        let size = size_of::<linux_raw_sys::general::statfs>();
        assert_eq!(super::STATFS_WORDS * 8, size);
    }
}
