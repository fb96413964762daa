//! Event polling: epoll_create(2), epoll_create1(2), epoll_ctl(2), epoll_wait(2), epoll_pwait(2),
//! epoll_pwait2(2).

use super::eventfd::install_object;
use super::timeouts;
use crate::call::{Call, CallResult};
use crate::files::wait_for;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::{File, OpenFile, StatusFlags};
use capsid_core::ipc::epoll::{Epoll, Interest};
use capsid_core::wait::Events;
use capsid_platform::{Clock, GuestAddr, platform};
use linux_raw_sys::general as raw;

/// `struct epoll_event`, packed on x86-64, in bytes.
const EVENT_BYTES: usize = 12;
/// The most events one call may ask for.
const EVENTS_MAX: i32 = i32::MAX / 12;

/// epoll_create(2).
pub fn sys_epoll_create(call: &mut Call<'_>) -> CallResult {
    if call.int(0) <= 0 {
        return Err(Errno::EINVAL);
    }
    install_object(call, Arc::new(Epoll::new()), 0)
}

/// epoll_create1(2).
pub fn sys_epoll_create1(call: &mut Call<'_>) -> CallResult {
    let flags = call.uint(0);
    if flags & !raw::O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    install_object(call, Arc::new(Epoll::new()), flags)
}

/// epoll_ctl(2).
pub fn sys_epoll_ctl(call: &mut Call<'_>) -> CallResult {
    let (operation, fd) = (call.uint(1), call.int(2));
    let mut interest = Interest { events: 0, data: 0 };
    if operation != raw::EPOLL_CTL_DEL {
        let address = call.pointer(3);
        interest.events = address.read_u32()?;
        interest.data = address.offset(4)?.read_u64()?;
    }
    let epoll_file = call.file(call.int(0))?;
    let file = call.file(fd)?;
    if file.flags().contains(StatusFlags::PATH) {
        return Err(Errno::EBADF);
    }
    if file.file.wait_queue().is_none() {
        return Err(Errno::EPERM);
    }
    let epoll = Epoll::of(&epoll_file).ok_or(Errno::EINVAL)?;
    if Arc::ptr_eq(&epoll_file, &file) {
        return Err(Errno::EINVAL);
    }
    match operation {
        raw::EPOLL_CTL_ADD => epoll.add(fd, &file, interest)?,
        raw::EPOLL_CTL_MOD => epoll.modify(fd, &file, interest)?,
        raw::EPOLL_CTL_DEL => epoll.remove(fd, &file)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// How long to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Not,
    For(u64),
    Forever,
}

impl Wait {
    fn milliseconds(timeout: i32) -> Wait {
        match u64::try_from(timeout) {
            Ok(0) => Wait::Not,
            Ok(timeout) => Wait::For(timeout * 1_000_000),
            Err(_) => Wait::Forever,
        }
    }
}

/// epoll_wait(2).
pub fn sys_epoll_wait(call: &mut Call<'_>) -> CallResult {
    do_wait(call, Wait::milliseconds(call.int(3)))
}

/// epoll_pwait(2).
pub fn sys_epoll_pwait(call: &mut Call<'_>) -> CallResult {
    timeouts::replace_mask(call, call.pointer(4), call.size(5))?;
    do_wait(call, Wait::milliseconds(call.int(3)))
}

/// epoll_pwait2(2).
pub fn sys_epoll_pwait2(call: &mut Call<'_>) -> CallResult {
    let wait = match timeouts::read_timespec(call.pointer(3))? {
        None => Wait::Forever,
        Some(0) => Wait::Not,
        Some(timeout) => Wait::For(timeout),
    };
    timeouts::replace_mask(call, call.pointer(4), call.size(5))?;
    do_wait(call, wait)
}

fn do_wait(call: &Call<'_>, wait: Wait) -> CallResult {
    let limit = call.int(2);
    let file = call.file(call.int(0))?;
    if limit <= 0 || limit > EVENTS_MAX {
        return Err(Errno::EINVAL);
    }
    let limit = usize::try_from(limit).map_err(|_| Errno::EINVAL)?;
    let epoll = Epoll::of(&file).ok_or(Errno::EINVAL)?;
    let count = collect(epoll, call.pointer(1), limit)?;
    if count > 0 || wait == Wait::Not {
        return Ok(count as u64);
    }
    sleep(call, &file, epoll, limit, wait)
}

/// Writes what is ready to the guest.
fn collect(epoll: &Epoll, address: GuestAddr, limit: usize) -> Result<usize, Errno> {
    let mut at = address;
    epoll.collect(limit, |events, data| {
        let mut event = [0; EVENT_BYTES];
        event[..4].copy_from_slice(&events.to_le_bytes());
        event[4..].copy_from_slice(&data.to_le_bytes());
        at.write(&event)?;
        at = at.offset(EVENT_BYTES as u64)?;
        Ok(())
    })
}

fn sleep(call: &Call<'_>, file: &OpenFile, epoll: &Epoll, limit: usize, wait: Wait) -> CallResult {
    let deadline = match wait {
        Wait::For(timeout) => Some(platform().now(Clock::Monotonic).saturating_add(timeout)),
        Wait::Not | Wait::Forever => None,
    };
    let queue = epoll.wait_queue().ok_or(Errno::EINVAL)?;
    let _place = queue.register(call.thread.parker.clone(), Events::READABLE);
    let result = wait_for(
        call.thread,
        deadline,
        || file.file.refresh(),
        || match collect(epoll, call.pointer(1), limit) {
            Ok(0) => None,
            result => Some(result),
        },
    );
    match result {
        Ok(result) => Ok(result? as u64),
        Err(Errno::ETIMEDOUT) => Ok(0),
        // Never restarted, whatever the handler says: signal(7).
        Err(error) => Err(error),
    }
}
