//! Timers that signal: alarm(2), getitimer(2), setitimer(2), timer_create(2), timer_settime(2),
//! timer_gettime(2), timer_getoverrun(2), timer_delete(2).

use crate::call::{Call, CallResult};
use crate::signal::Signal;
use crate::syscalls::clock::clock;
use crate::time::{IntervalKind, Notify, PosixTimer, SECOND_NS, Setting, Timer, TimerQueue};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_platform::{Clock, GuestAddr, platform};

/// Most POSIX timers of a process.
const TIMERS_MAX: usize = 32_768;

fn kind(number: i32) -> Result<IntervalKind, Errno> {
    match number {
        0 => Ok(IntervalKind::Real),
        1 => Ok(IntervalKind::Virtual),
        2 => Ok(IntervalKind::Profiling),
        _ => Err(Errno::EINVAL),
    }
}

/// alarm(2).
pub fn sys_alarm(call: &mut Call<'_>) -> CallResult {
    let value = u64::from(call.uint(0)) * SECOND_NS;
    let (left, _) = call.process().set_interval(IntervalKind::Real, value, 0);
    // Rounded, but never to none while some is left.
    let seconds = (left + SECOND_NS / 2) / SECOND_NS;
    Ok(if left > 0 { seconds.max(1) } else { 0 })
}

/// Reads two `struct timeval` or `struct timespec`: interval and value, in nanoseconds.
fn read_pair(address: GuestAddr, unit_ns: u64) -> Result<(u64, u64), Errno> {
    let one = |at: u64| -> Result<u64, Errno> {
        let seconds = address.offset(at)?.read_u64()?;
        let fraction = address.offset(at + 8)?.read_u64()?;
        if seconds.cast_signed() < 0 || fraction >= SECOND_NS / unit_ns {
            return Err(Errno::EINVAL);
        }
        Ok(seconds
            .saturating_mul(SECOND_NS)
            .saturating_add(fraction * unit_ns))
    };
    Ok((one(0)?, one(16)?))
}

fn write_pair(address: GuestAddr, interval: u64, value: u64, unit_ns: u64) -> Result<(), Errno> {
    let words = [
        interval / SECOND_NS,
        interval % SECOND_NS / unit_ns,
        value / SECOND_NS,
        value % SECOND_NS / unit_ns,
    ];
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    address.write(&bytes)
}

const MICROSECOND: u64 = 1000;
const NANOSECOND: u64 = 1;

/// getitimer(2).
pub fn sys_getitimer(call: &mut Call<'_>) -> CallResult {
    let (left, interval) = call.process().interval(kind(call.int(0))?);
    write_pair(call.pointer(1), interval, left, MICROSECOND)?;
    Ok(0)
}

/// setitimer(2).
pub fn sys_setitimer(call: &mut Call<'_>) -> CallResult {
    let kind = kind(call.int(0))?;
    let (interval, value) = match call.pointer(1) {
        // Linux takes this for zeros.
        address if address.is_null() => (0, 0),
        address => read_pair(address, MICROSECOND)?,
    };
    let (left, old) = call.process().set_interval(kind, value, interval);
    if !call.pointer(2).is_null() {
        write_pair(call.pointer(2), old, left, MICROSECOND)?;
    }
    Ok(0)
}

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD_ID: i32 = 4;

fn notify(call: &Call<'_>, event: GuestAddr, id: i32) -> Result<Notify, Errno> {
    let number = id.unsigned_abs();
    if event.is_null() {
        return Ok(Notify::Process(Signal::ALRM, number, number.into()));
    }
    let bytes: [u8; 64] = event.read_array()?;
    let half = |at: usize| i32::from_le_bytes(bytes.as_chunks::<4>().0[at]);
    let value = u64::from_le_bytes(bytes.as_chunks::<8>().0[0]);
    match half(3) {
        SIGEV_NONE => Ok(Notify::Nothing),
        SIGEV_SIGNAL => Ok(Notify::Process(Signal::new(half(2))?, number, value)),
        SIGEV_THREAD_ID => {
            let id = u32::try_from(half(4)).map_err(|_| Errno::EINVAL)?;
            let thread = call.kernel().thread(id).ok_or(Errno::EINVAL)?;
            if thread.process.id != call.process().id {
                return Err(Errno::EINVAL);
            }
            let thread = Arc::downgrade(&thread);
            Ok(Notify::Thread(thread, Signal::new(half(2))?, number, value))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// timer_create(2).
pub fn sys_timer_create(call: &mut Call<'_>) -> CallResult {
    let which = clock(call.int(0))?;
    let process = call.process();
    let mut timers = process.timers.posix.lock();
    if timers.len() >= TIMERS_MAX {
        return Err(Errno::EAGAIN);
    }
    let id = timers.keys().next_back().map_or(0, |last| last + 1);
    let timer = Timer::new(process, notify(call, call.pointer(1), id)?);
    call.pointer(2).write(&id.to_le_bytes())?;
    timers.insert(
        id,
        PosixTimer {
            timer,
            clock: which,
        },
    );
    Ok(0)
}

fn find(call: &Call<'_>) -> Result<PosixTimer, Errno> {
    let timers = call.process().timers.posix.lock();
    timers.get(&call.int(0)).cloned().ok_or(Errno::EINVAL)
}

fn queue<'a>(call: &'a Call<'_>, timer: &PosixTimer) -> &'a TimerQueue {
    match timer.clock {
        Clock::ProcessCpu | Clock::ThreadCpu => &call.process().timers.cpu,
        _ => &call.kernel().timers,
    }
}

/// What is left, and the interval.
fn left(queue: &TimerQueue, setting: Setting) -> (u64, u64) {
    let left = match setting.deadline_ns {
        0 => 0,
        deadline => deadline.saturating_sub(queue.now()).max(1),
    };
    (left, setting.interval_ns)
}

/// timer_settime(2).
pub fn sys_timer_settime(call: &mut Call<'_>) -> CallResult {
    const ABSOLUTE: u32 = 1;
    let posix = find(call)?;
    if call.pointer(2).is_null() {
        return Err(Errno::EINVAL);
    }
    let (interval_ns, value) = read_pair(call.pointer(2), NANOSECOND)?;
    let queue = queue(call, &posix);
    let setting = if value == 0 {
        Setting::default()
    } else {
        let delay = if call.uint(1) & ABSOLUTE == 0 {
            value
        } else {
            // The host's setting its clock meanwhile is not followed.
            value.saturating_sub(platform().now(posix.clock))
        };
        Setting {
            deadline_ns: queue.now().saturating_add(delay),
            interval_ns,
        }
    };
    let (old_left, old_interval) = left(queue, posix.timer.setting());
    queue.set(&posix.timer, setting, &call.process().memory());
    if !call.pointer(3).is_null() {
        write_pair(call.pointer(3), old_interval, old_left, NANOSECOND)?;
    }
    Ok(0)
}

/// timer_gettime(2).
pub fn sys_timer_gettime(call: &mut Call<'_>) -> CallResult {
    let posix = find(call)?;
    let (left, interval) = left(queue(call, &posix), posix.timer.setting());
    write_pair(call.pointer(1), interval, left, NANOSECOND)?;
    Ok(0)
}

/// timer_getoverrun(2).
pub fn sys_timer_getoverrun(call: &mut Call<'_>) -> CallResult {
    Ok(find(call)?.timer.overrun().into())
}

/// timer_delete(2).
pub fn sys_timer_delete(call: &mut Call<'_>) -> CallResult {
    let posix = find(call)?;
    call.process().timers.posix.lock().remove(&call.int(0));
    let memory = call.process().memory();
    queue(call, &posix).set(&posix.timer, Setting::default(), &memory);
    Ok(0)
}
