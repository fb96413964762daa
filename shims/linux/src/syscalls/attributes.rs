//! Changing modes and owners: chmod(2), fchmod(2), fchmodat(2), fchmodat2(2), chown(2), lchown(2),
//! fchown(2), fchownat(2).

use crate::call::{Call, CallResult};
use crate::files::PathArgument;
use capsid_core::Errno;
use capsid_core::fs::{LookupFlags, OpenFile, Path, View, attributes};
use capsid_platform::GuestAddr;
use linux_raw_sys::general as raw;

/// chmod(2).
pub fn sys_chmod(call: &mut Call<'_>) -> CallResult {
    do_chmod(call, raw::AT_FDCWD, call.pointer(0), call.uint(1), 0)
}

/// fchmodat(2): the kernel's, which has no flags.
pub fn sys_fchmodat(call: &mut Call<'_>) -> CallResult {
    do_chmod(call, call.int(0), call.pointer(1), call.uint(2), 0)
}

/// fchmodat2(2).
pub fn sys_fchmodat2(call: &mut Call<'_>) -> CallResult {
    do_chmod(
        call,
        call.int(0),
        call.pointer(1),
        call.uint(2),
        call.uint(3),
    )
}

fn do_chmod(call: &Call<'_>, directory: i32, path: GuestAddr, mode: u32, flags: u32) -> CallResult {
    change_at(call, directory, path, flags, |view, path| {
        view.set_mode(path, mode)
    })
}

/// fchmod(2).
pub fn sys_fchmod(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let mode = call.uint(1);
    if let Some(path) = file.path() {
        call.with_view(|view, _| view.set_mode(path, mode))?;
    } else {
        let inode = file.file.inode().ok_or(Errno::EINVAL)?;
        let change = attributes::mode_change(&*inode, mode, &call.thread.credentials())?;
        file.file.set_attributes(&change)?;
    }
    Ok(0)
}

/// Applies a change to what a descriptor and a path name.
fn change_at(
    call: &Call<'_>,
    directory: i32,
    path: GuestAddr,
    flags: u32,
    change: impl FnOnce(&View<'_>, &Path) -> Result<(), Errno>,
) -> CallResult {
    if flags & !(raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let empty = flags & raw::AT_EMPTY_PATH != 0;
    let path = if empty {
        PathArgument::read_optional(path)?
    } else {
        PathArgument::read(path)?
    };
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(LookupFlags::EMPTY_PATH, empty);
    call.with_place(directory, &path, |view, place| {
        change(view, &view.resolve(place, lookup)?)
    })?;
    Ok(0)
}

/// An id, or `None` for -1: leave it alone.
fn id(value: u32) -> Option<u32> {
    (value != u32::MAX).then_some(value)
}

/// chown(2).
pub fn sys_chown(call: &mut Call<'_>) -> CallResult {
    let owner = (id(call.uint(1)), id(call.uint(2)));
    change_at(call, raw::AT_FDCWD, call.pointer(0), 0, |view, path| {
        view.set_owner(path, owner.0, owner.1)
    })
}

/// lchown(2).
pub fn sys_lchown(call: &mut Call<'_>) -> CallResult {
    let owner = (id(call.uint(1)), id(call.uint(2)));
    let flags = raw::AT_SYMLINK_NOFOLLOW;
    change_at(call, raw::AT_FDCWD, call.pointer(0), flags, |view, path| {
        view.set_owner(path, owner.0, owner.1)
    })
}

/// fchownat(2).
pub fn sys_fchownat(call: &mut Call<'_>) -> CallResult {
    let owner = (id(call.uint(2)), id(call.uint(3)));
    change_at(
        call,
        call.int(0),
        call.pointer(1),
        call.uint(4),
        |view, path| view.set_owner(path, owner.0, owner.1),
    )
}

/// fchown(2).
pub fn sys_fchown(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    do_fchown(call, &file, id(call.uint(1)), id(call.uint(2)))
}

fn do_fchown(
    call: &Call<'_>,
    file: &OpenFile,
    user: Option<u32>,
    group: Option<u32>,
) -> CallResult {
    if let Some(path) = file.path() {
        call.with_view(|view, _| view.set_owner(path, user, group))?;
    } else {
        let inode = file.file.inode().ok_or(Errno::EINVAL)?;
        let credentials = call.thread.credentials();
        let change = attributes::owner_change(&*inode, user, group, &credentials)?;
        file.file.set_attributes(&change)?;
    }
    Ok(0)
}
