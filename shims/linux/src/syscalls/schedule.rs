//! Scheduling: sched_yield(2), sched_getaffinity(2), sched_setscheduler(2), getpriority(2),
//! getcpu(2). The host schedules; what is set here is only remembered where programs look.

use crate::call::{Call, CallResult};
use crate::task::Thread;
use alloc::sync::Arc;
use alloc::vec;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_platform::platform;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as raw;

/// Reset on fork, or-ed to a policy (`SCHED_RESET_ON_FORK`).
const RESET_ON_FORK: u32 = 0x4000_0000;
/// Real-time priorities go from 1 to this.
const PRIORITY_MAX: u64 = 99;

fn thread_of(call: &Call<'_>) -> Result<Arc<Thread>, Errno> {
    match call.int(0) {
        0 => Ok(call.thread.clone()),
        id if id < 0 => Err(Errno::EINVAL),
        id => call.kernel().thread(id.unsigned_abs()).ok_or(Errno::ESRCH),
    }
}

/// sched_yield(2).
pub fn sys_sched_yield(_call: &mut Call<'_>) -> CallResult {
    platform().yield_now();
    Ok(0)
}

/// The processors as a mask, as many bytes as Linux uses for them.
fn processors() -> vec::Vec<u8> {
    let count = usize::try_from(platform().info().processors)
        .unwrap_or(1)
        .max(1);
    let mut mask = vec![0; count.div_ceil(64) * 8];
    for processor in 0..count {
        mask[processor / 8] |= 1 << (processor % 8);
    }
    mask
}

/// sched_getaffinity(2).
pub fn sys_sched_getaffinity(call: &mut Call<'_>) -> CallResult {
    thread_of(call)?;
    let mask = processors();
    let room = call.size(1);
    if room < mask.len() || !room.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    call.pointer(2).write(&mask)?;
    Ok(mask.len() as u64)
}

/// sched_setaffinity(2).
pub fn sys_sched_setaffinity(call: &mut Call<'_>) -> CallResult {
    thread_of(call)?;
    let all = processors();
    let mut wanted = vec![0; call.size(1).min(all.len())];
    call.pointer(2).read(&mut wanted)?;
    let some = wanted
        .iter()
        .zip(&all)
        .any(|(wanted, all)| wanted & all != 0);
    if some { Ok(0) } else { Err(Errno::EINVAL) }
}

/// sched_getscheduler(2).
pub fn sys_sched_getscheduler(call: &mut Call<'_>) -> CallResult {
    thread_of(call)?;
    Ok(raw::SCHED_NORMAL.into())
}

/// sched_setscheduler(2).
pub fn sys_sched_setscheduler(call: &mut Call<'_>) -> CallResult {
    thread_of(call)?;
    let priority = call.pointer(2).read_u32()?;
    set_policy(call.uint(1) & !RESET_ON_FORK, priority)
}

fn set_policy(policy: u32, priority: u32) -> CallResult {
    match policy {
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE if priority == 0 => Ok(0),
        raw::SCHED_FIFO | raw::SCHED_RR if (1..=99).contains(&priority) => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_getparam(2).
pub fn sys_sched_getparam(call: &mut Call<'_>) -> CallResult {
    thread_of(call)?;
    call.pointer(1).write_u32(0)?;
    Ok(0)
}

/// sched_setparam(2).
pub fn sys_sched_setparam(call: &mut Call<'_>) -> CallResult {
    thread_of(call)?;
    set_policy(raw::SCHED_NORMAL, call.pointer(1).read_u32()?)
}

/// sched_getattr(2).
pub fn sys_sched_getattr(call: &mut Call<'_>) -> CallResult {
    const BYTES: usize = 48;
    let thread = thread_of(call)?;
    let size = call.size(2);
    if size < BYTES || call.uint(3) != 0 {
        return Err(Errno::EINVAL);
    }
    let nice = thread
        .process
        .niceness
        .load(Ordering::Relaxed)
        .cast_signed()
        - 20;
    let mut bytes = [0; BYTES];
    bytes[0] = 48;
    bytes[16..20].copy_from_slice(&nice.to_le_bytes());
    call.pointer(1).write(&bytes)?;
    Ok(0)
}

/// sched_setattr(2).
pub fn sys_sched_setattr(call: &mut Call<'_>) -> CallResult {
    thread_of(call)?;
    let policy = call.pointer(1).offset(4)?.read_u32()?;
    let priority = call.pointer(1).offset(20)?.read_u32()?;
    set_policy(policy, priority)
}

/// sched_get_priority_max(2).
pub fn sys_sched_get_priority_max(call: &mut Call<'_>) -> CallResult {
    match call.uint(0) {
        raw::SCHED_FIFO | raw::SCHED_RR => Ok(PRIORITY_MAX),
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE | raw::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_get_priority_min(2).
pub fn sys_sched_get_priority_min(call: &mut Call<'_>) -> CallResult {
    sys_sched_get_priority_max(call).map(|most| most.min(1))
}

/// sched_rr_get_interval(2).
pub fn sys_sched_rr_get_interval(call: &mut Call<'_>) -> CallResult {
    const SLICE_NS: u64 = 4_000_000;
    thread_of(call)?;
    call.pointer(1).write_u64(0)?;
    call.pointer(1).offset(8)?.write_u64(SLICE_NS)?;
    Ok(0)
}

const PRIO_PROCESS: i32 = 0;
const PRIO_USER: i32 = 2;

/// The process whose priority is meant; groups and users stand for the caller.
fn niced(call: &Call<'_>) -> Result<Arc<crate::task::Process>, Errno> {
    match (call.int(0), call.int(1)) {
        (PRIO_PROCESS, id) if id != 0 => {
            let id = u32::try_from(id).map_err(|_| Errno::ESRCH)?;
            call.kernel().process(id).ok_or(Errno::ESRCH)
        }
        (PRIO_PROCESS..=PRIO_USER, _) => Ok(call.process().clone()),
        _ => Err(Errno::EINVAL),
    }
}

/// getpriority(2): 40 minus what `nice` counts from 0, as the kernel returns it.
pub fn sys_getpriority(call: &mut Call<'_>) -> CallResult {
    let niceness = niced(call)?.niceness.load(Ordering::Relaxed);
    Ok(40 - u64::from(niceness))
}

/// setpriority(2).
pub fn sys_setpriority(call: &mut Call<'_>) -> CallResult {
    let process = niced(call)?;
    let new = (call.int(2).clamp(-20, 19) + 20).unsigned_abs();
    let old = process.niceness.load(Ordering::Relaxed);
    if new < old && !call.thread.credentials().has(Capabilities::SYS_NICE) {
        return Err(Errno::EACCES);
    }
    process.niceness.store(new, Ordering::Relaxed);
    Ok(0)
}

/// getcpu(2): the host does not say.
pub fn sys_getcpu(call: &mut Call<'_>) -> CallResult {
    for index in 0..2 {
        if !call.pointer(index).is_null() {
            call.pointer(index).write_u32(0)?;
        }
    }
    Ok(0)
}

/// ioprio_get(2), ioprio_set(2): one class for all.
pub fn sys_ioprio(_call: &mut Call<'_>) -> CallResult {
    Ok(0)
}
