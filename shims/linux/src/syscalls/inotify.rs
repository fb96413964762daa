//! Watching files: inotify_init(2), inotify_init1(2), inotify_add_watch(2), inotify_rm_watch(2).

use crate::call::{Call, CallResult};
use crate::files::{DescriptorFlags, PathArgument};
use capsid_core::Errno;
use capsid_core::fs::notify::{FileEvents, Inotify, WatchOptions};
use capsid_core::fs::{Access, LookupFlags, OpenFile, StatusFlags, permission};
use core::any::Any;
use linux_raw_sys::general as raw;

/// The bits of a mask that mean something: others are refused.
const KNOWN: u32 = FileEvents::all().bits() | WatchOptions::all().bits();

/// inotify_init(2).
pub fn sys_inotify_init(call: &mut Call<'_>) -> CallResult {
    do_init(call, 0)
}

/// inotify_init1(2).
pub fn sys_inotify_init1(call: &mut Call<'_>) -> CallResult {
    do_init(call, call.uint(0))
}

fn do_init(call: &Call<'_>, flags: u32) -> CallResult {
    if flags & !(raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let user = call.thread.credentials().user.real;
    let status = StatusFlags::from_bits_truncate(flags & raw::O_NONBLOCK);
    let mut descriptor_flags = DescriptorFlags::empty();
    descriptor_flags.set(DescriptorFlags::CLOSE_ON_EXEC, flags & raw::O_CLOEXEC != 0);
    call.install(OpenFile::new(Inotify::new(user)?, status), descriptor_flags)
}

fn instance(file: &OpenFile) -> Result<&Inotify, Errno> {
    let any: &dyn Any = &*file.file;
    any.downcast_ref().ok_or(Errno::EINVAL)
}

/// inotify_add_watch(2).
pub fn sys_inotify_add_watch(call: &mut Call<'_>) -> CallResult {
    let mask = call.uint(2);
    if mask & !KNOWN != 0 || mask == 0 {
        return Err(Errno::EINVAL);
    }
    let file = call.usable_file(0)?;
    let options = WatchOptions::from_bits_truncate(mask);
    if options.contains(WatchOptions::MASK_ADD | WatchOptions::MASK_CREATE) {
        return Err(Errno::EINVAL);
    }
    let path = PathArgument::read(call.pointer(1));
    do_add_watch(call, instance(&file)?, &path?, mask, options)
}

fn do_add_watch(
    call: &Call<'_>,
    inotify: &Inotify,
    path: &[u8],
    mask: u32,
    options: WatchOptions,
) -> CallResult {
    let mut lookup = LookupFlags::empty();
    lookup.set(
        LookupFlags::FOLLOW,
        !options.contains(WatchOptions::NO_FOLLOW),
    );
    let events = FileEvents::from_bits_truncate(mask) & FileEvents::ALL;
    let number = call.with_place(raw::AT_FDCWD, path, |view, place| {
        let path = view.resolve(place, lookup)?;
        options.check_kind(path.kind())?;
        permission::check_inode(&**path.inode(), Access::READ, view.credentials)?;
        inotify.add_watch(&path, events, options)
    })?;
    Ok(u64::from(number.cast_unsigned()))
}

/// inotify_rm_watch(2).
pub fn sys_inotify_rm_watch(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    instance(&file)?.remove_watch(call.int(1))?;
    Ok(0)
}
