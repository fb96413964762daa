//! Descriptors and descriptions: fcntl(2), but for its locks.

use super::{descriptors, record_locks};
use crate::call::{Call, CallResult};
use crate::files::DescriptorFlags;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::fs::memfd::Seals;
use capsid_core::fs::{FileKind, OpenFile, StatusFlags};
use capsid_core::ipc::pipe::{MAX_BYTES, Pipe, PipeEnd};
use core::any::Any;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as raw;

// Constants that the header leaves to the C library.
const F_DUPFD_CLOEXEC: u32 = 1030;
const F_SETPIPE_SZ: u32 = 1031;
const F_GETPIPE_SZ: u32 = 1032;
const F_ADD_SEALS: u32 = 1033;
const F_GET_SEALS: u32 = 1034;
const F_GETLEASE: u32 = 1025;
const F_OWNER_PROCESS: u32 = 1;
const F_OWNER_GROUP: u32 = 2;

/// The commands that work on `O_PATH` descriptors too.
const WITH_PATH: [u32; 5] = [
    raw::F_DUPFD,
    F_DUPFD_CLOEXEC,
    raw::F_GETFD,
    raw::F_SETFD,
    raw::F_GETFL,
];

/// fcntl(2).
pub fn sys_fcntl(call: &mut Call<'_>) -> CallResult {
    let (fd, command) = (call.int(0), call.uint(1));
    let file = call.file(fd)?;
    if file.flags().contains(StatusFlags::PATH) && !WITH_PATH.contains(&command) {
        return Err(Errno::EBADF);
    }
    match command {
        raw::F_DUPFD => duplicate(call, fd, DescriptorFlags::empty()),
        F_DUPFD_CLOEXEC => duplicate(call, fd, DescriptorFlags::CLOSE_ON_EXEC),
        raw::F_GETFD => Ok(call.thread.files().descriptor(fd)?.flags.bits().into()),
        raw::F_SETFD => {
            let bits = u8::try_from(call.raw(2) & 1).unwrap_or(0);
            let flags = DescriptorFlags::from_bits_truncate(bits);
            call.thread.files().set_flags(fd, flags)?;
            Ok(0)
        }
        raw::F_GETFL => Ok(file.flags().bits().into()),
        raw::F_SETFL => {
            let flags = StatusFlags::from_bits_truncate(call.uint(2));
            check_direct(&file, flags)?;
            file.set_flags(flags);
            Ok(0)
        }
        raw::F_GETLK | raw::F_OFD_GETLK => record_locks::do_test(call, &file, command),
        raw::F_SETLK | raw::F_SETLKW | raw::F_OFD_SETLK | raw::F_OFD_SETLKW => {
            record_locks::do_lock(call, &file, command)
        }
        raw::F_SETOWN => {
            file.signal_owner.store(call.int(2), Ordering::Relaxed);
            Ok(0)
        }
        raw::F_GETOWN => {
            let owner = file.signal_owner.load(Ordering::Relaxed);
            Ok(i64::from(owner).cast_unsigned())
        }
        raw::F_SETOWN_EX => set_owner(call, &file),
        raw::F_GETOWN_EX => get_owner(call, &file),
        // Signals about descriptors are not sent: no signal can be chosen for them.
        raw::F_GETSIG => Ok(0),
        raw::F_SETSIG if call.raw(2) == 0 => Ok(0),
        F_GETLEASE => Ok(raw::F_UNLCK.into()),
        F_SETPIPE_SZ => set_pipe_size(call, &file),
        F_GETPIPE_SZ => Ok(pipe_of(&file)?.capacity() as u64),
        F_ADD_SEALS => {
            if !file.flags().writable() {
                return Err(Errno::EPERM);
            }
            add_seals(call, &file, call.uint(2))
        }
        F_GET_SEALS => Ok(file.file.seals()?.into()),
        _ => Err(Errno::EINVAL),
    }
}

/// Adds seals: `EBUSY` if writing is to end and somebody maps the file to write.
fn add_seals(call: &Call<'_>, file: &OpenFile, seals: u32) -> CallResult {
    let adds_write = seals & Seals::WRITE.bits() != 0
        && file.file.seals()? & (Seals::WRITE | Seals::SEAL).bits() == 0;
    if adds_write && let Ok(mappable) = file.file.mappable() {
        let identity = mappable.identity();
        let processes = call.kernel().processes();
        let mut spaces = processes.iter().map(|process| process.memory());
        if spaces.any(|memory| memory.space.may_write(identity)) {
            return Err(Errno::EBUSY);
        }
    }
    file.file.add_seals(seals)?;
    Ok(0)
}

/// `O_DIRECT` means something for files, and for pipes, which keep packets apart: `EINVAL`.
fn check_direct(file: &OpenFile, flags: StatusFlags) -> Result<(), Errno> {
    if !flags.contains(StatusFlags::DIRECT) {
        return Ok(());
    }
    match file.file.metadata()?.kind {
        FileKind::Regular | FileKind::BlockDevice | FileKind::Fifo => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

fn duplicate(call: &Call<'_>, fd: i32, flags: DescriptorFlags) -> CallResult {
    let lowest = call.uint(2);
    if lowest >= call.descriptor_limit() {
        return Err(Errno::EINVAL);
    }
    descriptors::do_dup(call, fd, lowest, flags)
}

fn set_owner(call: &Call<'_>, file: &OpenFile) -> CallResult {
    let kind = call.pointer(2).read_u32()?;
    let id = call.pointer(2).offset(4)?.read_u32()?.cast_signed();
    let owner = match kind {
        // A thread or a process.
        0 | F_OWNER_PROCESS => id,
        F_OWNER_GROUP => id.wrapping_neg(),
        _ => return Err(Errno::EINVAL),
    };
    file.signal_owner.store(owner, Ordering::Relaxed);
    Ok(0)
}

fn get_owner(call: &Call<'_>, file: &OpenFile) -> CallResult {
    let owner = file.signal_owner.load(Ordering::Relaxed);
    let kind = if owner < 0 {
        F_OWNER_GROUP
    } else {
        F_OWNER_PROCESS
    };
    call.pointer(2).write_u32(kind)?;
    call.pointer(2).offset(4)?.write_u32(owner.unsigned_abs())?;
    Ok(0)
}

fn pipe_of(file: &OpenFile) -> Result<Arc<Pipe>, Errno> {
    let end = (&*file.file as &dyn Any).downcast_ref::<PipeEnd>();
    Ok(end.ok_or(Errno::EBADF)?.pipe().clone())
}

fn set_pipe_size(call: &Call<'_>, file: &OpenFile) -> CallResult {
    let pipe = pipe_of(file)?;
    let bytes = call.uint(2) as usize;
    let privileged = call.thread.credentials().has(Capabilities::SYS_RESOURCE);
    if bytes > pipe.capacity() && bytes > MAX_BYTES && !privileged {
        return Err(Errno::EPERM);
    }
    Ok(pipe.set_capacity(bytes)? as u64)
}
