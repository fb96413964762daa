//! Descriptors and descriptions: fcntl(2), but for its locks.

use super::{descriptors, leases, record_locks};
use crate::call::{Call, CallResult};
use crate::files::{AsyncSignals, DescriptorFlags, SignalOwner, change_async};
use crate::signal::Signal;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::fs::memfd::Seals;
use capsid_core::fs::{FileKind, OpenFile, StatusFlags};
use capsid_core::ipc::pipe::{MAX_BYTES, Pipe, PipeEnd};
use core::any::Any;
use linux_raw_sys::general as raw;

// Constants that the header leaves to the C library.
const F_DUPFD_CLOEXEC: u32 = 1030;
const F_SETPIPE_SZ: u32 = 1031;
const F_GETPIPE_SZ: u32 = 1032;
const F_ADD_SEALS: u32 = 1033;
const F_GET_SEALS: u32 = 1034;
const F_SETLEASE: u32 = 1024;
const F_GETLEASE: u32 = 1025;
const F_OWNER_THREAD: u32 = 0;
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
        raw::F_SETFL => set_status(call, &file, fd),
        raw::F_GETLK | raw::F_OFD_GETLK => record_locks::do_test(call, &file, command),
        raw::F_SETLK | raw::F_SETLKW | raw::F_OFD_SETLK | raw::F_OFD_SETLKW => {
            record_locks::do_lock(call, &file, command)
        }
        raw::F_SETOWN => set_owner(call, &file, call.int(2)),
        raw::F_GETOWN => get_owner(call, &file),
        raw::F_SETOWN_EX => set_owner_of_kind(call, &file),
        raw::F_GETOWN_EX => get_owner_of_kind(call, &file),
        raw::F_GETSIG => {
            let signal = AsyncSignals::of(&file, call.kernel())?.signal();
            Ok(signal.map_or(0, |signal| signal.number().into()))
        }
        raw::F_SETSIG => {
            let signal = Signal::new_or_none(call.int(2))?;
            AsyncSignals::of(&file, call.kernel())?.set_signal(signal);
            Ok(0)
        }
        F_GETLEASE => leases::do_get_lease(&file),
        F_SETLEASE => leases::do_set_lease(call, &file, fd, call.uint(2)),
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

/// Names who gets signals about the description: a process, or a negated group.
fn set_owner(call: &Call<'_>, file: &OpenFile, id: i32) -> CallResult {
    let owner = match id {
        i32::MIN => return Err(Errno::EINVAL),
        0 => SignalOwner::Nobody,
        id if id < 0 => SignalOwner::Group(id.unsigned_abs()),
        _ => SignalOwner::Process(id.unsigned_abs()),
    };
    AsyncSignals::of(file, call.kernel())?.set_owner(owner, &call.thread.credentials())?;
    Ok(0)
}

fn get_owner(call: &Call<'_>, file: &OpenFile) -> CallResult {
    let id = match AsyncSignals::of(file, call.kernel())?.owner() {
        SignalOwner::Nobody => 0,
        SignalOwner::Thread(id) | SignalOwner::Process(id) => i64::from(id),
        SignalOwner::Group(id) => -i64::from(id),
    };
    Ok(id.cast_unsigned())
}

/// As [`set_owner`], by a `struct f_owner_ex`.
fn set_owner_of_kind(call: &Call<'_>, file: &OpenFile) -> CallResult {
    let kind = call.pointer(2).read_u32()?;
    let id = call.pointer(2).offset(4)?.read_u32()?;
    let owner = match kind {
        F_OWNER_THREAD..=F_OWNER_GROUP if id == 0 => SignalOwner::Nobody,
        F_OWNER_THREAD => SignalOwner::Thread(id),
        F_OWNER_PROCESS => SignalOwner::Process(id),
        F_OWNER_GROUP => SignalOwner::Group(id),
        _ => return Err(Errno::EINVAL),
    };
    AsyncSignals::of(file, call.kernel())?.set_owner(owner, &call.thread.credentials())?;
    Ok(0)
}

fn get_owner_of_kind(call: &Call<'_>, file: &OpenFile) -> CallResult {
    let (kind, id) = match AsyncSignals::of(file, call.kernel())?.owner() {
        SignalOwner::Nobody => (F_OWNER_THREAD, 0),
        SignalOwner::Thread(id) => (F_OWNER_THREAD, id),
        SignalOwner::Process(id) => (F_OWNER_PROCESS, id),
        SignalOwner::Group(id) => (F_OWNER_GROUP, id),
    };
    call.pointer(2).write_u32(kind)?;
    call.pointer(2).offset(4)?.write_u32(id)?;
    Ok(0)
}

/// Sets status flags, `F_SETFL`.
fn set_status(call: &Call<'_>, file: &OpenFile, fd: i32) -> CallResult {
    let mut flags = StatusFlags::from_bits_truncate(call.uint(2));
    check_direct(file, flags)?;
    let on = flags.contains(StatusFlags::ASYNC);
    match change_async(file, call.kernel(), fd, on) {
        Ok(()) => {}
        Err(Errno::ENOTTY) => flags -= StatusFlags::ASYNC,
        Err(error) => return Err(error),
    }
    file.set_flags(flags);
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
