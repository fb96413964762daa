//! POSIX message queues: mq_open(3), mq_unlink(3), mq_timedsend(3), mq_timedreceive(3),
//! mq_notify(3), mq_getsetattr(2).

use super::timeouts::read_timespec;
use crate::call::{Call, CallResult, restart};
use crate::files::{DescriptorFlags, PathArgument, Patience, block_on};
use crate::posix_queue::{Notification, PRIORITIES, PosixQueue, QueueSize, USUAL};
use crate::signal::Signal;
use crate::sysv::Layout;
use crate::task::Resource;
use alloc::sync::Arc;
use alloc::vec;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::fs::{Access, NAME_MAX, OpenFile, Path, StatusFlags};
use capsid_core::wait::Events;
use capsid_platform::{Clock, GuestAddr, platform};
use core::any::Any;
use linux_raw_sys::general as raw;

/// Reads a name, which the C library has taken its slash from.
fn read_name(address: GuestAddr) -> Result<PathArgument, Errno> {
    let name = PathArgument::read(address)?;
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    if name.contains(&b'/') || &*name == b"." || &*name == b".." {
        return Err(Errno::EACCES);
    }
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(name)
}

/// mq_open(2).
pub fn sys_mq_open(call: &mut Call<'_>) -> CallResult {
    let name = read_name(call.pointer(0))?;
    let flags = call.uint(1);
    let attributes = call.pointer(3);
    let creates = flags & raw::O_CREAT != 0;
    let size = if creates && !attributes.is_null() {
        let number = |at| -> Result<usize, Errno> {
            let value = attributes.offset(at)?.read_u64()?;
            Ok(usize::try_from(value).unwrap_or(usize::MAX))
        };
        QueueSize {
            messages: number(8)?,
            bytes: number(16)?,
        }
    } else {
        USUAL
    };
    do_mq_open(call, &name, flags, call.uint(2), size)
}

fn do_mq_open(call: &Call<'_>, name: &[u8], flags: u32, mode: u32, size: QueueSize) -> CallResult {
    let mut access = Access::empty();
    match flags & raw::O_ACCMODE {
        raw::O_RDONLY => access |= Access::READ,
        raw::O_WRONLY => access |= Access::WRITE,
        raw::O_RDWR => access |= Access::READ | Access::WRITE,
        _ => return Err(Errno::EINVAL),
    }
    let credentials = call.thread.credentials();
    let may_exceed = credentials.has(Capabilities::SYS_RESOURCE);
    let make = || {
        if flags & raw::O_CREAT == 0 {
            return Err(Errno::ENOENT);
        }
        size.check(
            &credentials,
            call.process().limits.soft(Resource::MessageQueues),
        )?;
        let mode = mode & 0o777 & !call.thread.fs().umask();
        Ok(PosixQueue::new(size, mode, call.new_owner()))
    };
    let (queue, is_new) = call.kernel().queues.open(name, may_exceed, make)?;
    if !is_new {
        let both = raw::O_CREAT | raw::O_EXCL;
        if flags & both == both {
            return Err(Errno::EEXIST);
        }
        queue.check(access, &credentials)?;
    }
    let status = StatusFlags::from_bits_truncate(flags & (raw::O_ACCMODE | raw::O_NONBLOCK));
    let path = Path::detached(queue.inode(), &[b"/", name].concat());
    // As on Linux, whatever was asked for.
    let descriptor_flags = DescriptorFlags::CLOSE_ON_EXEC;
    call.install(OpenFile::at(queue, status, path), descriptor_flags)
}

/// mq_unlink(2).
pub fn sys_mq_unlink(call: &mut Call<'_>) -> CallResult {
    let name = read_name(call.pointer(0))?;
    call.kernel()
        .queues
        .unlink(&name, &call.thread.credentials())?;
    Ok(0)
}

fn queue_of(file: &OpenFile) -> Result<&PosixQueue, Errno> {
    let object: &dyn Any = &*file.file;
    object.downcast_ref().ok_or(Errno::EBADF)
}

/// How long a call waits: until a moment of the real time, if one is named.
fn patience(address: GuestAddr) -> Result<Patience, Errno> {
    Ok(match read_timespec(address)? {
        None => Patience::Description,
        Some(time) => {
            let left = time.saturating_sub(platform().now(Clock::Realtime));
            Patience::Until(platform().now(Clock::Monotonic).saturating_add(left))
        }
    })
}

/// Sleeps until `attempt` says something else than `EAGAIN`.
fn wait<T>(
    call: &Call<'_>,
    file: &OpenFile,
    interest: Events,
    patience: Patience,
    attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match block_on(call.thread, file, interest, patience, attempt) {
        Err(Errno::EAGAIN) if !file.flags().contains(StatusFlags::NONBLOCK) => {
            Err(Errno::ETIMEDOUT)
        }
        Err(Errno::EINTR) => Err(restart::unless_handled()),
        result => result,
    }
}

/// mq_timedsend(2).
pub fn sys_mq_timedsend(call: &mut Call<'_>) -> CallResult {
    let priority = call.uint(3);
    if priority >= PRIORITIES {
        return Err(Errno::EINVAL);
    }
    let patience = patience(call.pointer(4))?;
    let file = call.usable_file(0)?;
    let queue = queue_of(&file)?;
    if !file.flags().writable() {
        return Err(Errno::EBADF);
    }
    if call.size(2) > queue.size.bytes {
        return Err(Errno::EMSGSIZE);
    }
    let mut text = vec![0; call.size(2)];
    call.pointer(1).read(&mut text)?;
    let sender = (call.process().id, call.thread.credentials().user.real);
    wait(call, &file, Events::WRITABLE, patience, || {
        queue.send(&text, priority, sender)
    })?;
    Ok(0)
}

/// mq_timedreceive(2).
pub fn sys_mq_timedreceive(call: &mut Call<'_>) -> CallResult {
    let patience = patience(call.pointer(4))?;
    let file = call.usable_file(0)?;
    let queue = queue_of(&file)?;
    if !file.flags().readable() {
        return Err(Errno::EBADF);
    }
    if call.size(2) < queue.size.bytes {
        return Err(Errno::EMSGSIZE);
    }
    let (text, priority) =
        queue.as_receiver(|| wait(call, &file, Events::READABLE, patience, || queue.receive()))?;
    if !call.pointer(3).is_null() {
        call.pointer(3).write_u32(priority)?;
    }
    call.pointer(1).write(&text)?;
    Ok(text.len() as u64)
}

/// `sigev_notify` of `struct sigevent`.
const SIGEV_SIGNAL: u32 = 0;
const SIGEV_NONE: u32 = 1;

/// mq_notify(2). Notification by a thread goes through a netlink socket, which there is none of.
pub fn sys_mq_notify(call: &mut Call<'_>) -> CallResult {
    let event = call.pointer(1);
    let asked = if event.is_null() {
        None
    } else {
        let value = event.read_u64()?;
        let number = event.offset(8)?.read_u32()?.cast_signed();
        let signal = match event.offset(12)?.read_u32()? {
            SIGEV_NONE => None,
            SIGEV_SIGNAL => Signal::new_or_none(number)?,
            _ => return Err(Errno::EINVAL),
        };
        Some((signal, value))
    };
    let file = call.file(call.int(0))?;
    let queue = queue_of(&file)?;
    match asked {
        None => queue.clear_notification(call.process()),
        Some((signal, value)) => queue.set_notification(Notification {
            process: Arc::downgrade(call.process()),
            signal,
            value,
        })?,
    }
    Ok(0)
}

/// mq_getsetattr(2).
pub fn sys_mq_getsetattr(call: &mut Call<'_>) -> CallResult {
    let new = call.pointer(1);
    let flags = if new.is_null() {
        None
    } else {
        let flags = new.read_u64()?;
        if flags & !u64::from(raw::O_NONBLOCK) != 0 {
            return Err(Errno::EINVAL);
        }
        Some(flags != 0)
    };
    let file = call.usable_file(0)?;
    let queue = queue_of(&file)?;
    let before = file.flags();
    if let Some(on) = flags {
        let mut status = before;
        status.set(StatusFlags::NONBLOCK, on);
        file.set_flags(status);
    }
    if !call.pointer(2).is_null() {
        let attributes = Layout::default()
            .long((before & StatusFlags::NONBLOCK).bits().into())
            .long(queue.size.messages as u64)
            .long(queue.size.bytes as u64)
            .long(queue.count() as u64);
        call.pointer(2).write(&attributes.bytes(&[0; 32]).0)?;
    }
    Ok(0)
}
