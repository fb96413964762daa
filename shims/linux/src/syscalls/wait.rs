//! Waiting for children: wait4(2), waitid(2).

use crate::call::{Call, CallResult};
use crate::files::process_of_pidfd;
use crate::signal::info::{
    CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, INFO_BYTES,
};
use crate::signal::{Signal, SignalInfo};
use crate::syscalls::resources::ResourceUsage;
use crate::task::attached;
use crate::task::{Awaited, Event, Process, WaitFor, WaitOptions, do_wait};
use capsid_core::Errno;
use capsid_platform::GuestAddr;
use core::sync::atomic::Ordering;

fn write_usage(address: GuestAddr, process: &Process) -> Result<(), Errno> {
    if address.is_null() {
        return Ok(());
    }
    ResourceUsage::of_child(process).write(address)
}

/// wait4(2).
pub fn sys_wait4(call: &mut Call<'_>) -> CallResult {
    let options = WaitOptions::from_bits(call.uint(2)).ok_or(Errno::EINVAL)?;
    if options.intersects(WaitOptions::NO_WAIT | WaitOptions::EXITED) {
        return Err(Errno::EINVAL);
    }
    let which = match call.int(0) {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => WaitFor::Any,
        0 => WaitFor::Group(call.process().group_id()),
        id if id < 0 => WaitFor::Group(id.unsigned_abs()),
        id => WaitFor::Process(id.unsigned_abs()),
    };
    if let WaitFor::Process(id) = which
        && let Some(thread) = attached::held(call.thread, id)
    {
        attached::wait_for_stop(call, &thread)?;
        if !call.pointer(1).is_null() {
            let event = Event::Stopped(Signal::STOP);
            call.pointer(1).write_u32(event.wait_status())?;
        }
        return Ok(id.into());
    }
    let Some(Awaited { process, event }) = do_wait(call, which, options | WaitOptions::EXITED)?
    else {
        return Ok(0);
    };
    if !call.pointer(1).is_null() {
        call.pointer(1).write_u32(event.wait_status())?;
    }
    write_usage(call.pointer(3), &process)?;
    Ok(process.id.into())
}

const P_ALL: i32 = 0;
const P_PID: i32 = 1;
const P_PGID: i32 = 2;
const P_PIDFD: i32 = 3;

/// waitid(2).
pub fn sys_waitid(call: &mut Call<'_>) -> CallResult {
    let mut options = WaitOptions::from_bits(call.uint(3)).ok_or(Errno::EINVAL)?;
    let states = WaitOptions::EXITED | WaitOptions::STOPPED | WaitOptions::CONTINUED;
    if !options.intersects(states) {
        return Err(Errno::EINVAL);
    }
    let id = call.int(1);
    let which = match call.int(0) {
        P_ALL => WaitFor::Any,
        P_PID if id > 0 => WaitFor::Process(id.unsigned_abs()),
        P_PGID if id == 0 => WaitFor::Group(call.process().group_id()),
        P_PGID if id > 0 => WaitFor::Group(id.unsigned_abs()),
        P_PIDFD if id >= 0 => {
            let file = call.thread.files().get(id)?;
            let process = process_of_pidfd(call.thread, id)?;
            let nonblocking = capsid_core::fs::StatusFlags::NONBLOCK;
            if file.flags().contains(nonblocking) && !options.contains(WaitOptions::NO_HANG) {
                options |= WaitOptions::NO_HANG;
                let found = do_wait(call, WaitFor::Process(process.id), options)?;
                return finish(call, found.ok_or(Errno::EAGAIN).map(Some)?);
            }
            WaitFor::Process(process.id)
        }
        _ => return Err(Errno::EINVAL),
    };
    let found = do_wait(call, which, options)?;
    finish(call, found)
}

fn finish(call: &Call<'_>, found: Option<Awaited>) -> CallResult {
    let info = call.pointer(2);
    let mut bytes = [0; INFO_BYTES];
    if let Some(Awaited { process, event }) = &found {
        let (code, status) = match event {
            Event::Ended(status) if status.signal() == 0 => (CLD_EXITED, status.0 >> 8 & 0xff),
            Event::Ended(status) if status.0 & 0x80 != 0 => (CLD_DUMPED, status.signal()),
            Event::Ended(status) => (CLD_KILLED, status.signal()),
            Event::Stopped(signal) => (CLD_STOPPED, signal.number().into()),
            Event::Continued => (CLD_CONTINUED, 18),
        };
        let user = match process.credentials() {
            Some(credentials) => credentials.user.real,
            None => process.last_user.load(Ordering::Relaxed),
        };
        bytes = SignalInfo::child(code, process.id, user, status, [0, 0]).to_bytes();
        write_usage(call.pointer(4), process)?;
    }
    if !info.is_null() {
        // What Linux fills in: up to the status.
        info.write(&bytes[..28])?;
    }
    Ok(0)
}
