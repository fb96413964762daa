//! Timers as files: timerfd_create(2), timerfd_settime(2), timerfd_gettime(2).

use super::eventfd::install_object;
use crate::call::{Call, CallResult};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::OpenFile;
use capsid_core::ipc::{TimerFile, TimerSetting};
use capsid_platform::{Clock, GuestAddr};
use core::any::Any;
use linux_raw_sys::general as raw;

const NS_PER_S: u64 = 1_000_000_000;
const TFD_TIMER_ABSTIME: u32 = 1;
/// Accepted: the clock is the host's, and nobody here steps it.
const TFD_TIMER_CANCEL_ON_SET: u32 = 2;

/// timerfd_create(2).
pub fn sys_timerfd_create(call: &mut Call<'_>) -> CallResult {
    let flags = call.uint(1);
    if flags & !(raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let clock = match call.uint(0) {
        raw::CLOCK_REALTIME | raw::CLOCK_REALTIME_ALARM => Clock::Realtime,
        raw::CLOCK_MONOTONIC => Clock::Monotonic,
        raw::CLOCK_BOOTTIME | raw::CLOCK_BOOTTIME_ALARM => Clock::Boottime,
        _ => return Err(Errno::EINVAL),
    };
    install_object(call, Arc::new(TimerFile::new(clock)), flags)
}

fn timer_of(file: &OpenFile) -> Result<&TimerFile, Errno> {
    let timer = (&*file.file as &dyn Any).downcast_ref();
    timer.ok_or(Errno::EINVAL)
}

fn read_time(address: GuestAddr) -> Result<u64, Errno> {
    let seconds = address.read_u64()?;
    let nanoseconds = address.offset(8)?.read_u64()?;
    if seconds.cast_signed() < 0 || nanoseconds >= NS_PER_S {
        return Err(Errno::EINVAL);
    }
    Ok(seconds.saturating_mul(NS_PER_S).saturating_add(nanoseconds))
}

fn write_setting(address: GuestAddr, setting: TimerSetting) -> Result<(), Errno> {
    let times = [setting.interval, setting.value];
    for (index, time) in times.into_iter().enumerate() {
        let at = address.offset(index as u64 * 16)?;
        at.write_u64(time / NS_PER_S)?;
        at.offset(8)?.write_u64(time % NS_PER_S)?;
    }
    Ok(())
}

/// timerfd_settime(2).
pub fn sys_timerfd_settime(call: &mut Call<'_>) -> CallResult {
    let flags = call.uint(1);
    let setting = TimerSetting {
        interval: read_time(call.pointer(2))?,
        value: read_time(call.pointer(2).offset(16)?)?,
    };
    if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = call.file(call.int(0))?;
    let before = timer_of(&file)?.set(setting, flags & TFD_TIMER_ABSTIME != 0);
    let old = call.pointer(3);
    if !old.is_null() {
        write_setting(old, before)?;
    }
    Ok(0)
}

/// timerfd_gettime(2).
pub fn sys_timerfd_gettime(call: &mut Call<'_>) -> CallResult {
    let file = call.file(call.int(0))?;
    write_setting(call.pointer(1), timer_of(&file)?.setting())?;
    Ok(0)
}
