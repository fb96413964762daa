//! Clocks, through the host's vDSO where it can, and interval timers.

use crate::{host, signal, vdso};
use capsid_platform::{Clock, HostTimer};
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::general as raw;

/// Clocks that are read by a host call: the filter allows these.
pub const CLOCKS: [u32; 5] = [
    raw::CLOCK_REALTIME,
    raw::CLOCK_MONOTONIC,
    raw::CLOCK_PROCESS_CPUTIME_ID,
    raw::CLOCK_THREAD_CPUTIME_ID,
    raw::CLOCK_BOOTTIME,
];
/// Timers that are set.
pub const TIMERS: [u32; 3] = [raw::ITIMER_REAL, raw::ITIMER_VIRTUAL, raw::ITIMER_PROF];

/// The address of the vDSO's `clock_gettime`; 0 if there is none or it asks the host's kernel.
static CLOCK_GETTIME: AtomicUsize = AtomicUsize::new(0);

type ClockGettime = unsafe extern "C" fn(clock: i32, time: *mut [i64; 2]) -> i32;

/// Finds the clock function in the vDSO at `base`. Returns whether it answers by itself.
///
/// # Safety
/// `base` is the host's vDSO or 0, and the filter is installed: a vDSO that needs the kernel is
/// known by its failing.
pub unsafe fn use_vdso(base: u64) -> bool {
    // SAFETY: the caller's promise.
    let Some(function) = (unsafe { vdso::find(base, b"__vdso_clock_gettime") }) else {
        return false;
    };
    let mut time = [0; 2];
    // SAFETY: the host's function of that name has this type.
    let function_pointer: ClockGettime = unsafe { core::mem::transmute(function) };
    // SAFETY: as above.
    if unsafe { function_pointer(raw::CLOCK_MONOTONIC.cast_signed(), &raw mut time) } != 0 {
        return false;
    }
    CLOCK_GETTIME.store(function, Ordering::Relaxed);
    true
}

/// See [`capsid_platform::Platform::now`].
pub fn now(clock: Clock) -> u64 {
    let (number, in_vdso) = match clock {
        Clock::Realtime => (raw::CLOCK_REALTIME, true),
        Clock::Monotonic => (raw::CLOCK_MONOTONIC, true),
        Clock::Boottime => (raw::CLOCK_BOOTTIME, true),
        Clock::ProcessCpu => (raw::CLOCK_PROCESS_CPUTIME_ID, false),
        Clock::ThreadCpu => (raw::CLOCK_THREAD_CPUTIME_ID, false),
    };
    let mut time = [0i64; 2];
    let function = CLOCK_GETTIME.load(Ordering::Relaxed);
    if in_vdso && function != 0 {
        // SAFETY: only `use_vdso` stores here, an address of a function of this type.
        let function: ClockGettime = unsafe { core::mem::transmute(function) };
        // SAFETY: the function writes the time.
        if unsafe { function(number.cast_signed(), &raw mut time) } == 0 {
            return nanoseconds(time);
        }
    }
    // SAFETY: the host writes the time.
    unsafe {
        host::call3(
            raw::__NR_clock_gettime,
            [number as usize, &raw mut time as usize, 0],
        )
    };
    nanoseconds(time)
}

fn nanoseconds([seconds, nanoseconds]: [i64; 2]) -> u64 {
    seconds
        .wrapping_mul(1_000_000_000)
        .wrapping_add(nanoseconds)
        .cast_unsigned()
}

/// See [`capsid_platform::Platform::set_timer`].
pub fn set_timer(timer: HostTimer, delay_ns: Option<u64>) {
    let which = match timer {
        HostTimer::Real => raw::ITIMER_REAL,
        HostTimer::Virtual => raw::ITIMER_VIRTUAL,
        HostTimer::Profiling => raw::ITIMER_PROF,
    };
    // The host counts microseconds; a timer must not fire early, nor be disarmed by rounding.
    let microseconds = delay_ns.map_or(0, |ns| ns.div_ceil(1000).max(1));
    let value = [0, 0, microseconds / 1_000_000, microseconds % 1_000_000];
    // SAFETY: the host reads the value.
    let result = unsafe {
        host::call3(
            raw::__NR_setitimer,
            [which as usize, value.as_ptr() as usize, 0],
        )
    };
    if let Err(error) = host::check(result) {
        signal::broken(format_args!("cannot set a timer: {error}"));
    }
}
