//! Making, moving and removing names: mkdir(2), mkdirat(2), mknod(2), mknodat(2), symlink(2),
//! symlinkat(2), link(2), linkat(2), rename(2), renameat(2), renameat2(2), unlink(2), unlinkat(2),
//! rmdir(2), readlink(2), readlinkat(2), name_to_handle_at(2).

use crate::call::{Call, CallResult};
use crate::files::PathArgument;
use capsid_core::Errno;
use capsid_core::fs::{DeviceId, LookupFlags, NewNode, Place, RenameFlags, View};
use capsid_platform::GuestAddr;
use linux_raw_sys::general as raw;

/// mkdir(2).
pub fn sys_mkdir(call: &mut Call<'_>) -> CallResult {
    do_mkdir(call, raw::AT_FDCWD, call.pointer(0), call.uint(1))
}

/// mkdirat(2).
pub fn sys_mkdirat(call: &mut Call<'_>) -> CallResult {
    do_mkdir(call, call.int(0), call.pointer(1), call.uint(2))
}

fn do_mkdir(call: &Call<'_>, directory: i32, path: GuestAddr, mode: u32) -> CallResult {
    let path = PathArgument::read(path)?;
    call.with_place(directory, &path, |view, place| {
        view.make_directory(place, mode)
    })?;
    Ok(0)
}

/// mknod(2).
pub fn sys_mknod(call: &mut Call<'_>) -> CallResult {
    do_mknod(
        call,
        raw::AT_FDCWD,
        call.pointer(0),
        call.uint(1),
        call.raw(2),
    )
}

/// mknodat(2).
pub fn sys_mknodat(call: &mut Call<'_>) -> CallResult {
    do_mknod(
        call,
        call.int(0),
        call.pointer(1),
        call.uint(2),
        call.raw(3),
    )
}

fn do_mknod(
    call: &Call<'_>,
    directory: i32,
    path: GuestAddr,
    mode: u32,
    device: u64,
) -> CallResult {
    // The kernel's own encoding of a device number has 32 bits.
    let device = DeviceId::decode(device & 0xffff_ffff);
    let node = match mode & raw::S_IFMT {
        0 | raw::S_IFREG => NewNode::Regular,
        raw::S_IFIFO => NewNode::Fifo,
        raw::S_IFSOCK => NewNode::Socket,
        raw::S_IFCHR => NewNode::CharacterDevice(device),
        raw::S_IFBLK => NewNode::BlockDevice(device),
        raw::S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    let path = PathArgument::read(path)?;
    call.with_place(directory, &path, |view, place| {
        view.make_node(place, node, mode & 0o7777)
    })?;
    Ok(0)
}

/// symlink(2).
pub fn sys_symlink(call: &mut Call<'_>) -> CallResult {
    do_symlink(call, call.pointer(0), raw::AT_FDCWD, call.pointer(1))
}

/// symlinkat(2).
pub fn sys_symlinkat(call: &mut Call<'_>) -> CallResult {
    do_symlink(call, call.pointer(0), call.int(1), call.pointer(2))
}

fn do_symlink(call: &Call<'_>, target: GuestAddr, directory: i32, path: GuestAddr) -> CallResult {
    let target = PathArgument::read(target)?;
    let path = PathArgument::read(path)?;
    call.with_place(directory, &path, |view, place| {
        view.make_symlink(&target, place)
    })?;
    Ok(0)
}

/// A directory descriptor and where its path stands.
type Named = (i32, GuestAddr);

/// Runs `action` with two places.
fn with_two(
    call: &Call<'_>,
    from: Named,
    to: Named,
    from_may_be_empty: bool,
    action: impl FnOnce(&View<'_>, Place<'_>, Place<'_>) -> Result<(), Errno>,
) -> CallResult {
    let from_path = if from_may_be_empty {
        PathArgument::read_optional(from.1)?
    } else {
        PathArgument::read(from.1)?
    };
    let to_path = PathArgument::read(to.1)?;
    call.with_place(from.0, &from_path, |view, from| {
        // The second place is found apart: its start is another descriptor's.
        call.with_place(to.0, &to_path, |_, to| action(view, from, to))
    })?;
    Ok(0)
}

/// link(2).
pub fn sys_link(call: &mut Call<'_>) -> CallResult {
    let from = (raw::AT_FDCWD, call.pointer(0));
    do_link(call, from, (raw::AT_FDCWD, call.pointer(1)), 0)
}

/// linkat(2).
pub fn sys_linkat(call: &mut Call<'_>) -> CallResult {
    let from = (call.int(0), call.pointer(1));
    do_link(call, from, (call.int(2), call.pointer(3)), call.uint(4))
}

fn do_link(call: &Call<'_>, from: Named, to: Named, flags: u32) -> CallResult {
    if flags & !(raw::AT_SYMLINK_FOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let empty = flags & raw::AT_EMPTY_PATH != 0;
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_FOLLOW != 0);
    lookup.set(LookupFlags::EMPTY_PATH, empty);
    with_two(call, from, to, empty, |view, from, to| {
        view.link(from, to, lookup)
    })
}

/// rename(2).
pub fn sys_rename(call: &mut Call<'_>) -> CallResult {
    let from = (raw::AT_FDCWD, call.pointer(0));
    do_rename(call, from, (raw::AT_FDCWD, call.pointer(1)), 0)
}

/// renameat(2).
pub fn sys_renameat(call: &mut Call<'_>) -> CallResult {
    let from = (call.int(0), call.pointer(1));
    do_rename(call, from, (call.int(2), call.pointer(3)), 0)
}

/// renameat2(2).
pub fn sys_renameat2(call: &mut Call<'_>) -> CallResult {
    let from = (call.int(0), call.pointer(1));
    do_rename(call, from, (call.int(2), call.pointer(3)), call.uint(4))
}

fn do_rename(call: &Call<'_>, from: Named, to: Named, flags: u32) -> CallResult {
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    with_two(call, from, to, false, |view, from, to| {
        view.rename(from, to, flags)
    })
}

/// unlink(2).
pub fn sys_unlink(call: &mut Call<'_>) -> CallResult {
    do_unlink(call, raw::AT_FDCWD, call.pointer(0), 0)
}

/// rmdir(2).
pub fn sys_rmdir(call: &mut Call<'_>) -> CallResult {
    do_unlink(call, raw::AT_FDCWD, call.pointer(0), raw::AT_REMOVEDIR)
}

/// unlinkat(2).
pub fn sys_unlinkat(call: &mut Call<'_>) -> CallResult {
    do_unlink(call, call.int(0), call.pointer(1), call.uint(2))
}

fn do_unlink(call: &Call<'_>, directory: i32, path: GuestAddr, flags: u32) -> CallResult {
    if flags & !raw::AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let path = PathArgument::read(path)?;
    call.with_place(directory, &path, |view, place| {
        if flags == 0 {
            view.unlink(place)
        } else {
            view.remove_directory(place)
        }
    })?;
    Ok(0)
}

/// readlink(2).
pub fn sys_readlink(call: &mut Call<'_>) -> CallResult {
    let buffer = (call.pointer(1), call.int(2));
    do_readlink(call, raw::AT_FDCWD, call.pointer(0), buffer)
}

/// readlinkat(2).
pub fn sys_readlinkat(call: &mut Call<'_>) -> CallResult {
    let buffer = (call.pointer(2), call.int(3));
    do_readlink(call, call.int(0), call.pointer(1), buffer)
}

fn do_readlink(
    call: &Call<'_>,
    directory: i32,
    path: GuestAddr,
    (buffer, size): (GuestAddr, i32),
) -> CallResult {
    let size = usize::try_from(size).ok().filter(|&size| size > 0);
    let size = size.ok_or(Errno::EINVAL)?;
    let path = PathArgument::read(path)?;
    let target = call.with_place(directory, &path, |view, place| view.read_link(place))?;
    let target = target.get(..size).unwrap_or(&target);
    buffer.write(target)?;
    Ok(target.len() as u64)
}

/// name_to_handle_at(2): no file system has handles.
pub fn sys_name_to_handle_at(_call: &mut Call<'_>) -> CallResult {
    Err(Errno::EOPNOTSUPP)
}
