//! Replacing the program: execve(2), execveat(2).

use crate::call::{After, Call, CallResult};
use crate::exec::{self, Request, budget, read_strings};
use crate::files::PathArgument;
use crate::task::Resource;
use capsid_core::Errno;
use capsid_core::fs::{LookupFlags, Path};
use capsid_platform::GuestAddr;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW};

/// execve(2).
pub fn sys_execve(call: &mut Call<'_>) -> CallResult {
    let [path, arguments, environment] = [0, 1, 2].map(|index| call.pointer(index));
    execute(
        call,
        None,
        path,
        arguments,
        environment,
        LookupFlags::FOLLOW,
    )
}

/// execveat(2).
pub fn sys_execveat(call: &mut Call<'_>) -> CallResult {
    let given = call.uint(4);
    if given & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut flags = LookupFlags::empty();
    flags.set(LookupFlags::FOLLOW, given & AT_SYMLINK_NOFOLLOW == 0);
    flags.set(LookupFlags::EMPTY_PATH, given & AT_EMPTY_PATH != 0);
    let start = match call.int(0) {
        AT_FDCWD => None,
        fd => Some(fd),
    };
    let [path, arguments, environment] = [1, 2, 3].map(|index| call.pointer(index));
    execute(call, start, path, arguments, environment, flags)
}

fn execute(
    call: &mut Call<'_>,
    descriptor: Option<i32>,
    path: GuestAddr,
    arguments: GuestAddr,
    environment: GuestAddr,
    flags: LookupFlags,
) -> CallResult {
    let path = PathArgument::read(path)?.to_vec();
    let start = match descriptor {
        Some(fd) if path.first() != Some(&b'/') => Some(start_of(call, fd)?),
        _ => None,
    };
    let mut room = budget(call.process().limits.soft(Resource::Stack));
    let request = Request {
        start,
        descriptor,
        path,
        flags,
        arguments: read_strings(arguments, &mut room)?,
        environment: read_strings(environment, &mut room)?,
    };
    let program = exec::prepare(call.thread, request).map_err(|error| match error {
        // A symlink that was not to be followed.
        Errno::EACCES if !flags.contains(LookupFlags::FOLLOW) => Errno::ELOOP,
        error => error,
    })?;
    call.then(After::Execute(program));
    Ok(0)
}

fn start_of(call: &Call<'_>, fd: i32) -> Result<Path, Errno> {
    let file = call.file(fd)?;
    file.path().cloned().ok_or(Errno::ENOTDIR)
}
