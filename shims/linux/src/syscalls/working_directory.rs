//! Where walks start, and the umask: chdir(2), fchdir(2), chroot(2), getcwd(2), umask(2).

use crate::call::{Call, CallResult};
use crate::files::PathArgument;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::fs::{Access, LookupFlags, Path, permission};
use linux_raw_sys::general as raw;

fn find_directory(call: &Call<'_>) -> Result<Path, Errno> {
    let path = PathArgument::read(call.pointer(0))?;
    call.with_place(raw::AT_FDCWD, &path, |view, place| {
        let flags = LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
        let found = view.resolve(place, flags)?;
        permission::check(&found, Access::EXECUTE, view.credentials)?;
        Ok(found)
    })
}

/// chdir(2).
pub fn sys_chdir(call: &mut Call<'_>) -> CallResult {
    let directory = find_directory(call)?;
    call.thread.fs().set_directory(directory);
    Ok(0)
}

/// fchdir(2).
pub fn sys_fchdir(call: &mut Call<'_>) -> CallResult {
    let file = call.file(call.int(0))?;
    let path = file.path().ok_or(Errno::ENOTDIR)?;
    if !path.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    permission::check(path, Access::EXECUTE, &call.thread.credentials())?;
    call.thread.fs().set_directory(path.clone());
    Ok(0)
}

/// chroot(2).
pub fn sys_chroot(call: &mut Call<'_>) -> CallResult {
    let directory = find_directory(call)?;
    if !call.thread.credentials().has(Capabilities::SYS_CHROOT) {
        return Err(Errno::EPERM);
    }
    call.thread.fs().set_root(directory);
    Ok(0)
}

/// getcwd(2).
pub fn sys_getcwd(call: &mut Call<'_>) -> CallResult {
    let text = call.with_view(|view, places| {
        places
            .directory
            .directory_text(view.root)
            .ok_or(Errno::ENOENT)
    });
    let mut text = text?;
    text.push(0);
    if text.len() > call.size(1) {
        return Err(Errno::ERANGE);
    }
    call.pointer(0).write(&text)?;
    Ok(text.len() as u64)
}

/// umask(2).
pub fn sys_umask(call: &mut Call<'_>) -> CallResult {
    Ok(call.thread.fs().set_umask(call.uint(0)).into())
}
