//! Whether a file can be used: access(2), faccessat(2), faccessat2(2).

use crate::call::{Call, CallResult};
use crate::files::PathArgument;
use capsid_core::Errno;
use capsid_core::fs::{Access, LookupFlags, View};
use capsid_platform::GuestAddr;
use linux_raw_sys::general as raw;

/// access(2).
pub fn sys_access(call: &mut Call<'_>) -> CallResult {
    do_access(call, raw::AT_FDCWD, call.pointer(0), call.uint(1), 0)
}

/// faccessat(2): the kernel's, which has no flags.
pub fn sys_faccessat(call: &mut Call<'_>) -> CallResult {
    do_access(call, call.int(0), call.pointer(1), call.uint(2), 0)
}

/// faccessat2(2).
pub fn sys_faccessat2(call: &mut Call<'_>) -> CallResult {
    do_access(
        call,
        call.int(0),
        call.pointer(1),
        call.uint(2),
        call.uint(3),
    )
}

fn do_access(
    call: &Call<'_>,
    directory: i32,
    path: GuestAddr,
    mode: u32,
    flags: u32,
) -> CallResult {
    const KNOWN: u32 = raw::AT_EACCESS | raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH;
    let access = Access::from_bits(mode).ok_or(Errno::EINVAL)?;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let path = PathArgument::read(path)?;
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(LookupFlags::EMPTY_PATH, flags & raw::AT_EMPTY_PATH != 0);
    call.with_place(directory, &path, |view, place| {
        if flags & raw::AT_EACCESS != 0 {
            let found = view.resolve(place, lookup)?;
            return view.access(&found, access);
        }
        let real = view.credentials.with_real_ids();
        let view = View {
            credentials: &real,
            ..*view
        };
        let found = view.resolve(place, lookup)?;
        view.access(&found, access)
    })?;
    Ok(0)
}
