//! Mounts: mount(2), umount2(2), pivot_root(2).
//!
//! Inside the sandbox a mount reaches nothing that was not there before: empty tmpfs, and parts of
//! the tree at a second place.

use crate::call::{Call, CallResult};
use crate::files::PathArgument;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::fs::tmpfs::{Tmpfs, TmpfsOptions};
use capsid_core::fs::{Detach, LookupFlags, MountFlags, Place};
use linux_raw_sys::general as raw;

/// Flags that say how mounts spread to other namespaces, of which there are none.
const PROPAGATION: u32 = raw::MS_SHARED | raw::MS_PRIVATE | raw::MS_SLAVE | raw::MS_UNBINDABLE;

fn check_allowed(call: &Call<'_>) -> Result<(), Errno> {
    if call.thread.credentials().has(Capabilities::SYS_ADMIN) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// mount(2).
pub fn sys_mount(call: &mut Call<'_>) -> CallResult {
    check_allowed(call)?;
    let source = PathArgument::read_optional(call.pointer(0))?;
    let target = PathArgument::read(call.pointer(1))?;
    let kind = PathArgument::read_optional(call.pointer(2))?;
    let flags = call.uint(3);
    let mount_flags = MountFlags::from_bits_truncate(flags);
    call.with_view(|view, places| {
        let at = Place::new(&places.directory, &target);
        let at = view.resolve(at, LookupFlags::FOLLOW)?;
        if flags & raw::MS_REMOUNT != 0 {
            if !at.is_mount_root() {
                return Err(Errno::EINVAL);
            }
            at.mount().set_flags(mount_flags);
            return Ok(());
        }
        if flags & raw::MS_BIND != 0 {
            let what = Place::new(&places.directory, &source);
            let what = view.resolve(what, LookupFlags::FOLLOW)?;
            let flags = what.mount().flags() | (mount_flags & MountFlags::READ_ONLY);
            return view.namespace.bind(&what, &at, flags).map(drop);
        }
        if flags & PROPAGATION != 0 {
            return Ok(());
        }
        if &*kind != b"tmpfs" {
            return Err(if flags & raw::MS_MOVE != 0 {
                Errno::EINVAL
            } else {
                Errno::ENODEV
            });
        }
        let options = TmpfsOptions {
            mode: 0o1777,
            ..TmpfsOptions::default()
        };
        let file_system = Tmpfs::new(options);
        view.namespace
            .mount(file_system, &at, mount_flags, &source)
            .map(drop)
    })?;
    Ok(0)
}

/// umount2(2).
pub fn sys_umount2(call: &mut Call<'_>) -> CallResult {
    const KNOWN: u32 = raw::MNT_FORCE | raw::MNT_DETACH | raw::MNT_EXPIRE | raw::UMOUNT_NOFOLLOW;
    check_allowed(call)?;
    let flags = call.uint(1);
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let path = PathArgument::read(call.pointer(0))?;
    let detach = if flags & raw::MNT_DETACH == 0 {
        Detach::IfUnused
    } else {
        Detach::Lazily
    };
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, flags & raw::UMOUNT_NOFOLLOW == 0);
    call.with_view(|view, places| {
        let at = view.resolve(Place::new(&places.directory, &path), lookup)?;
        view.namespace.unmount(&at, detach)
    })?;
    Ok(0)
}

/// pivot_root(2): refused, like every change of the namespace's root.
pub fn sys_pivot_root(call: &mut Call<'_>) -> CallResult {
    check_allowed(call)?;
    Err(Errno::EPERM)
}
