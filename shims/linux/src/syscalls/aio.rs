//! Asynchronous transfers: io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2).
//!
//! A request is done when it is submitted, as Linux does with files in memory: nothing here waits
//! for a disk.

use super::timeouts;
use crate::call::{Call, CallResult, restart};
use crate::files::{At, IoVectors, Patience, do_read, do_write};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::{OpenFile, StatusFlags, WriteAt};
use capsid_core::io::{Destination, Source};
use capsid_core::ipc::EventCounter;
use capsid_core::memory::{MapRequest, Placement};
use capsid_core::sync::Mutex;
use capsid_core::wait::{Events, WaitQueue, Waiter};
use capsid_platform::{Clock, GuestAddr, PAGE_SIZE, Protection, platform};
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general as raw;

/// The most requests of one context (`/proc/sys/fs/aio-max-nr`).
const REQUESTS_MAX: u32 = 65_536;
/// More is no number of requests at all.
const ABSURD: u32 = 0x1000_0000;
/// The most contexts of an address space: each holds a page of the guest's.
const CONTEXTS_MAX: usize = 1024;
/// Bytes of a `struct iocb`, and of a `struct io_event`.
const REQUEST_BYTES: usize = 64;
const EVENT_BYTES: usize = 32;

const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDSYNC: u16 = 3;
const PREADV: u16 = 7;
const PWRITEV: u16 = 8;
/// `IOCB_FLAG_RESFD`: an event counter hears of the end.
const TELLS_COUNTER: u32 = 1;
/// `IOCB_FLAG_IOPRIO`: a wish.
const HAS_PRIORITY: u32 = 2;

/// Requests that are done, until the guest takes them. It is named by the address of a page of the
/// guest's, where a C library looks for a ring and finds none.
#[derive(Debug)]
pub struct AioContext {
    limit: usize,
    done: Mutex<VecDeque<[u8; EVENT_BYTES]>>,
    queue: WaitQueue,
    is_gone: AtomicBool,
}

fn context(call: &Call<'_>, index: usize) -> Result<Arc<AioContext>, Errno> {
    let memory = call.process().memory();
    let contexts = memory.aio_contexts.lock();
    contexts.get(&call.raw(index)).cloned().ok_or(Errno::EINVAL)
}

/// io_setup(2).
pub fn sys_io_setup(call: &mut Call<'_>) -> CallResult {
    let limit = call.uint(0);
    let target = call.pointer(1);
    if target.read_u64()? != 0 || limit == 0 || limit > ABSURD {
        return Err(Errno::EINVAL);
    }
    let memory = call.process().memory();
    if limit > REQUESTS_MAX || memory.aio_contexts.lock().len() >= CONTEXTS_MAX {
        return Err(Errno::EAGAIN);
    }
    let page = MapRequest::anonymous(Placement::Hint(0), PAGE_SIZE as u64, Protection::READ);
    let id = memory.space.map(page, &call.process().memory_limits())?;
    if let Err(error) = target.write_u64(id) {
        memory.space.unmap(GuestAddr(id), PAGE_SIZE as u64)?;
        return Err(error);
    }
    let context = AioContext {
        limit: limit as usize,
        done: Mutex::default(),
        queue: WaitQueue::new(),
        is_gone: AtomicBool::new(false),
    };
    memory.aio_contexts.lock().insert(id, Arc::new(context));
    Ok(0)
}

/// io_destroy(2).
pub fn sys_io_destroy(call: &mut Call<'_>) -> CallResult {
    let memory = call.process().memory();
    let context = memory.aio_contexts.lock().remove(&call.raw(0));
    let context = context.ok_or(Errno::EINVAL)?;
    context.is_gone.store(true, Ordering::SeqCst);
    context.queue.wake(Events::IN);
    // The guest may have unmapped the page itself.
    let _ = memory.space.unmap(call.pointer(0), PAGE_SIZE as u64);
    Ok(0)
}

/// io_submit(2).
pub fn sys_io_submit(call: &mut Call<'_>) -> CallResult {
    let context = context(call, 0)?;
    let count = u64::try_from(call.long(1)).map_err(|_| Errno::EINVAL)?;
    let mut submitted = 0;
    while submitted < count {
        let result = call
            .pointer(2)
            .offset(submitted.saturating_mul(8))
            .and_then(GuestAddr::read_u64)
            .and_then(|request| submit(call, &context, GuestAddr(request)));
        match result {
            Ok(()) => submitted += 1,
            Err(error) if submitted == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(submitted)
}

/// A `struct iocb`, as far as it matters.
struct Request {
    data: u64,
    transfer_flags: u32,
    operation: u16,
    fd: i32,
    buffer: GuestAddr,
    length: u64,
    offset: i64,
    flags: u32,
    counter: i32,
}

impl Request {
    fn parse(bytes: &[u8; REQUEST_BYTES]) -> Result<Request, Errno> {
        let words = bytes.as_chunks::<8>().0;
        let halves = bytes.as_chunks::<4>().0;
        let half = |index: usize| u32::from_le_bytes(halves[index]);
        let word = |index: usize| u64::from_le_bytes(words[index]);
        if word(6) != 0 {
            // Reserved.
            return Err(Errno::EINVAL);
        }
        Ok(Request {
            data: word(0),
            transfer_flags: half(3),
            operation: u16::from_le_bytes([bytes[16], bytes[17]]),
            fd: half(5).cast_signed(),
            buffer: GuestAddr(word(3)),
            length: word(4),
            offset: word(5).cast_signed(),
            flags: half(14),
            counter: half(15).cast_signed(),
        })
    }
}

/// Does one request: an error if it cannot be one; what becomes of the transfer is its result.
fn submit(call: &Call<'_>, context: &AioContext, at: GuestAddr) -> Result<(), Errno> {
    let request = Request::parse(&at.read_array()?)?;
    if request.flags & !(TELLS_COUNTER | HAS_PRIORITY) != 0
        || request.length > i64::MAX.cast_unsigned()
    {
        return Err(Errno::EINVAL);
    }
    if context.done.lock().len() >= context.limit {
        return Err(Errno::EAGAIN);
    }
    let file = call.file(request.fd)?;
    if file.flags().contains(StatusFlags::PATH) {
        return Err(Errno::EBADF);
    }
    let counter = if request.flags & TELLS_COUNTER == 0 {
        None
    } else {
        let counter = call.file(request.counter)?;
        let any: &dyn Any = &*counter.file;
        if !any.is::<EventCounter>() {
            return Err(Errno::EINVAL);
        }
        Some(counter)
    };
    // The key, which is the same for all.
    at.offset(8)?.write_u32(0)?;
    let result = match transfer(call, &file, &request)? {
        Ok(count) => count,
        Err(error) if restart::is_restart(error) => Errno::EINTR.as_return_value(),
        Err(error) => error.as_return_value(),
    };
    let mut event = [0; EVENT_BYTES];
    let parts = event.as_chunks_mut::<8>().0.iter_mut();
    for (part, value) in parts.zip([request.data, at.0, result, 0]) {
        *part = value.to_le_bytes();
    }
    context.done.lock().push_back(event);
    context.queue.wake(Events::IN);
    if let Some(counter) = counter {
        let one = 1_u64.to_le_bytes();
        // A full counter stays full.
        let _ = counter
            .file
            .write(WriteAt::Offset(0), &mut Source::kernel(&one));
    }
    Ok(())
}

/// Moves the bytes. The outer error is one of the request, not of the transfer.
fn transfer(call: &Call<'_>, file: &OpenFile, request: &Request) -> Result<CallResult, Errno> {
    if request.transfer_flags & !(raw::RWF_HIPRI | raw::RWF_DSYNC | raw::RWF_SYNC | raw::RWF_NOWAIT)
        != 0
    {
        return Err(Errno::EOPNOTSUPP);
    }
    let at = if file.file.is_seekable() {
        At::Offset(u64::try_from(request.offset).map_err(|_| Errno::EINVAL)?)
    } else {
        At::Position
    };
    let length = usize::try_from(request.length).unwrap_or(usize::MAX);
    let patience = Patience::Description;
    Ok(match request.operation {
        PREAD | PREADV => {
            if !file.flags().readable() {
                return Err(Errno::EBADF);
            }
            let vectors = vectors(request, PREADV, length)?;
            do_read(call, file, &mut Destination::guest(&vectors), at, patience)
        }
        PWRITE | PWRITEV => {
            if !file.flags().writable() {
                return Err(Errno::EBADF);
            }
            let vectors = vectors(request, PWRITEV, length)?;
            do_write(call, file, &mut Source::guest(&vectors), at, patience)
        }
        FSYNC | FDSYNC => file.file.sync(request.operation == FDSYNC).map(|()| 0),
        _ => return Err(Errno::EINVAL),
    })
}

fn vectors(request: &Request, vectored: u16, length: usize) -> Result<IoVectors, Errno> {
    if request.operation == vectored {
        IoVectors::read(request.buffer, length)
    } else {
        Ok(IoVectors::one(request.buffer, length))
    }
}

/// io_getevents(2).
pub fn sys_io_getevents(call: &mut Call<'_>) -> CallResult {
    let timeout = timeouts::read_timespec(call.pointer(4))?;
    let context = context(call, 0)?;
    let least = usize::try_from(call.long(1)).map_err(|_| Errno::EINVAL)?;
    let most = usize::try_from(call.long(2)).map_err(|_| Errno::EINVAL)?;
    if least > most {
        return Err(Errno::EINVAL);
    }
    let mut taken: Vec<[u8; EVENT_BYTES]> = Vec::new();
    let mut attempt = || {
        let mut done = context.done.lock();
        let count = done.len().min(most - taken.len());
        taken.extend(done.drain(..count));
        (taken.len() >= least || context.is_gone.load(Ordering::SeqCst)).then_some(())
    };
    let result = if attempt().is_some() || timeout == Some(0) {
        Ok(())
    } else {
        let deadline =
            timeout.map(|timeout| platform().now(Clock::Monotonic).saturating_add(timeout));
        let _registration = context
            .queue
            .register(call.thread.parker.clone(), Events::IN);
        call.thread.wait_until(deadline, attempt)
    };
    match result {
        Err(Errno::EINTR) if taken.is_empty() => return Err(Errno::EINTR),
        _ => {}
    }
    for (index, event) in (0..).zip(&taken) {
        call.pointer(3)
            .offset(index * EVENT_BYTES as u64)?
            .write(event)?;
    }
    Ok(taken.len() as u64)
}

/// io_cancel(2): `EINVAL`, for there is never a request that is not done.
pub fn sys_io_cancel(call: &mut Call<'_>) -> CallResult {
    context(call, 0)?;
    Err(Errno::EINVAL)
}
