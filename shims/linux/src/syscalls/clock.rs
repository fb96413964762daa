//! Clocks and sleeping: clock_gettime(2), clock_getres(2), clock_settime(2), gettimeofday(2),
//! settimeofday(2), time(2), adjtimex(2), nanosleep(2), clock_nanosleep(2).

use crate::call::{Call, CallResult, restart};
use crate::syscalls::timeouts::{self, Unit, read_timespec};
use crate::time::SECOND_NS;
use capsid_core::Errno;
use capsid_core::wait::Waiter;
use capsid_platform::{Clock, GuestAddr, platform};
use linux_raw_sys::general as raw;

/// Nanoseconds of a jiffy, which the coarse clocks count.
const JIFFY_NS: u64 = 4_000_000;

/// Finds the clock with Linux's number: `EINVAL`. Other processes' CPU clocks are not known.
pub fn clock(number: i32) -> Result<Clock, Errno> {
    match number.unsigned_abs() {
        _ if number < 0 => dynamic_clock(number),
        raw::CLOCK_REALTIME
        | raw::CLOCK_REALTIME_COARSE
        | raw::CLOCK_REALTIME_ALARM
        | raw::CLOCK_TAI => Ok(Clock::Realtime),
        raw::CLOCK_MONOTONIC | raw::CLOCK_MONOTONIC_RAW | raw::CLOCK_MONOTONIC_COARSE => {
            Ok(Clock::Monotonic)
        }
        raw::CLOCK_BOOTTIME | raw::CLOCK_BOOTTIME_ALARM => Ok(Clock::Boottime),
        raw::CLOCK_PROCESS_CPUTIME_ID => Ok(Clock::ProcessCpu),
        raw::CLOCK_THREAD_CPUTIME_ID => Ok(Clock::ThreadCpu),
        _ => Err(Errno::EINVAL),
    }
}

/// A clock made of a process or thread id, clock_getcpuclockid(3): the caller's own only.
fn dynamic_clock(number: i32) -> Result<Clock, Errno> {
    const PER_THREAD: i32 = 4;
    const KIND: i32 = 3;
    if number & KIND == KIND {
        return Err(Errno::EINVAL);
    }
    if number & PER_THREAD == 0 {
        Ok(Clock::ProcessCpu)
    } else {
        Ok(Clock::ThreadCpu)
    }
}

/// Reads a clock as `call`'s process sees it.
fn now(call: &Call<'_>, clock: Clock) -> u64 {
    match clock {
        Clock::ProcessCpu => call.process().cpu_ns(call.process()),
        clock => platform().now(clock),
    }
}

fn write_time(address: GuestAddr, seconds: u64, fraction: u64) -> Result<(), Errno> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seconds.to_le_bytes());
    bytes[8..].copy_from_slice(&fraction.to_le_bytes());
    address.write(&bytes)
}

/// clock_gettime(2).
pub fn sys_clock_gettime(call: &mut Call<'_>) -> CallResult {
    let time = now(call, clock(call.int(0))?);
    write_time(call.pointer(1), time / SECOND_NS, time % SECOND_NS)?;
    Ok(0)
}

/// clock_getres(2).
pub fn sys_clock_getres(call: &mut Call<'_>) -> CallResult {
    clock(call.int(0))?;
    let coarse = [raw::CLOCK_REALTIME_COARSE, raw::CLOCK_MONOTONIC_COARSE];
    let resolution = if coarse.contains(&call.uint(0)) {
        JIFFY_NS
    } else {
        1
    };
    if !call.pointer(1).is_null() {
        write_time(call.pointer(1), 0, resolution)?;
    }
    Ok(0)
}

/// clock_settime(2): the host's clock is not the guest's to set.
pub fn sys_clock_settime(call: &mut Call<'_>) -> CallResult {
    match clock(call.int(0))? {
        Clock::Realtime => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// settimeofday(2), adjtimex(2), clock_adjtime(2): as [`sys_clock_settime`].
pub fn sys_set_time(_call: &mut Call<'_>) -> CallResult {
    Err(Errno::EPERM)
}

/// gettimeofday(2).
pub fn sys_gettimeofday(call: &mut Call<'_>) -> CallResult {
    let time = platform().now(Clock::Realtime);
    if !call.pointer(0).is_null() {
        let microseconds = time % SECOND_NS / 1000;
        write_time(call.pointer(0), time / SECOND_NS, microseconds)?;
    }
    if !call.pointer(1).is_null() {
        // Universal time, without daylight saving.
        call.pointer(1).write(&[0; 8])?;
    }
    Ok(0)
}

/// time(2).
pub fn sys_time(call: &mut Call<'_>) -> CallResult {
    let seconds = platform().now(Clock::Realtime) / SECOND_NS;
    if !call.pointer(0).is_null() {
        call.pointer(0).write_u64(seconds)?;
    }
    Ok(seconds)
}

/// nanosleep(2).
pub fn sys_nanosleep(call: &mut Call<'_>) -> CallResult {
    let length = read_timespec(call.pointer(0))?.ok_or(Errno::EFAULT)?;
    let deadline = call.deadline(length);
    sleep(call, deadline, call.pointer(1))
}

/// Sleeps until a monotonic time. A signal's handler ends it; `left_at` gets what is left then.
fn sleep(call: &Call<'_>, deadline: u64, left_at: GuestAddr) -> CallResult {
    match call.thread.wait_until(Some(deadline), || None::<()>) {
        Err(Errno::ETIMEDOUT) => Ok(0),
        _ => {
            if !left_at.is_null() {
                timeouts::write_left(left_at, Unit::Nanoseconds, deadline);
            }
            Err(restart::with_deadline())
        }
    }
}

/// clock_nanosleep(2).
pub fn sys_clock_nanosleep(call: &mut Call<'_>) -> CallResult {
    const ABSOLUTE: u32 = 1;
    let which = clock(call.int(0))?;
    if call.uint(0) == raw::CLOCK_THREAD_CPUTIME_ID {
        return Err(Errno::EINVAL);
    }
    if matches!(which, Clock::ProcessCpu | Clock::ThreadCpu) {
        return Err(Errno::EOPNOTSUPP);
    }
    let time = read_timespec(call.pointer(2))?.ok_or(Errno::EFAULT)?;
    if call.uint(1) & ABSOLUTE == 0 {
        let deadline = call.deadline(time);
        return sleep(call, deadline, call.pointer(3));
    }
    // The host may set its clock meanwhile: look again at times.
    loop {
        let left = time.saturating_sub(platform().now(which));
        if left == 0 {
            return Ok(0);
        }
        let step = if which == Clock::Realtime {
            left.min(60 * SECOND_NS)
        } else {
            left
        };
        let deadline = platform().now(Clock::Monotonic).saturating_add(step);
        match call.thread.wait_until(Some(deadline), || None::<()>) {
            Err(Errno::ETIMEDOUT) => {}
            _ => return Err(restart::if_no_handler()),
        }
    }
}
