//! Waiting for leases that others hold, fcntl(2) `F_SETLEASE`.

use crate::call::{Call, restart};
use crate::files::wait_for;
use capsid_core::Errno;
use capsid_core::fs::{StatusFlags, leases};
use capsid_core::wait::Events;

/// Tries to open or cut a file until no lease stands against it, unless `flags` say not to wait.
pub fn despite_leases<T>(
    call: &Call<'_>,
    flags: StatusFlags,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let impatient = StatusFlags::NONBLOCK | StatusFlags::PATH;
    match attempt() {
        Err(Errno::EAGAIN) if !flags.intersects(impatient) => {}
        result => return result,
    }
    let _place = leases::CHANGED.register(call.thread.parker.clone(), Events::all());
    let result = wait_for(call.thread, None, leases::next_deadline, || {
        match attempt() {
            Err(Errno::EAGAIN) if leases::next_deadline().is_some() => None,
            // The lease went between the attempt and the look, or it never was one.
            Err(Errno::EAGAIN) => Some(attempt()),
            result => Some(result),
        }
    });
    match result {
        Ok(result) => result,
        Err(_) => Err(restart::unless_handled()),
    }
}
