//! Scheduling: sched_yield(2), sched_getaffinity(2), sched_setscheduler(2), getpriority(2),
//! getcpu(2). The host schedules; what is set here is only remembered where programs look.

use crate::call::{Call, CallResult};
use crate::task::{Process, ProcessorSet, Thread};
use alloc::sync::Arc;
use alloc::vec;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_platform::{PAGE_SIZE, platform};
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

/// sched_getaffinity(2).
pub fn sys_sched_getaffinity(call: &mut Call<'_>) -> CallResult {
    let thread = affine_thread(call)?;
    let room = call.size(1);
    let set = thread.scheduling.lock().processors.clone();
    let bytes = set.bytes();
    if room < bytes.len() || !room.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    call.pointer(2).write(bytes)?;
    Ok(bytes.len() as u64)
}

/// sched_setaffinity(2).
pub fn sys_sched_setaffinity(call: &mut Call<'_>) -> CallResult {
    // Bytes past these name processors that no machine has.
    const MOST_BYTES: usize = 1024;
    let mut wanted = vec![0; call.size(1).min(MOST_BYTES)];
    call.pointer(2).read(&mut wanted)?;
    let thread = affine_thread(call)?;
    may_change(call, &thread)?;
    let set = ProcessorSet::existing(&wanted).ok_or(Errno::EINVAL)?;
    thread.scheduling.lock().processors = set;
    Ok(0)
}

/// The thread whose processors are meant: a negative number is one that does not exist.
fn affine_thread(call: &Call<'_>) -> Result<Arc<Thread>, Errno> {
    thread_of(call).map_err(|errno| match errno {
        Errno::EINVAL => Errno::ESRCH,
        errno => errno,
    })
}

/// Whether the caller may say how `thread` is scheduled: `EPERM`.
fn may_change(call: &Call<'_>, thread: &Thread) -> Result<(), Errno> {
    let own = call.thread.credentials();
    let theirs = thread.credentials();
    let same = [theirs.user.real, theirs.user.effective].contains(&own.user.effective);
    if same || own.has(Capabilities::SYS_NICE) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// sched_getscheduler(2).
pub fn sys_sched_getscheduler(call: &mut Call<'_>) -> CallResult {
    let thread = thread_of(call)?;
    let scheduling = thread.scheduling.lock();
    let flag = if scheduling.reset_on_fork {
        RESET_ON_FORK
    } else {
        0
    };
    Ok((scheduling.policy | flag).into())
}

/// sched_setscheduler(2).
pub fn sys_sched_setscheduler(call: &mut Call<'_>) -> CallResult {
    let policy = call.uint(1);
    if policy.cast_signed() < 0 || call.pointer(2).is_null() {
        return Err(Errno::EINVAL);
    }
    let thread = thread_of(call)?;
    let priority = call.pointer(2).read_u32()?;
    let reset_on_fork = policy & RESET_ON_FORK != 0;
    set_policy(call, &thread, policy & !RESET_ON_FORK, priority)?;
    thread.scheduling.lock().reset_on_fork = reset_on_fork;
    Ok(0)
}

fn set_policy(call: &Call<'_>, thread: &Thread, policy: u32, priority: u32) -> Result<(), Errno> {
    match policy {
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE if priority == 0 => {
            may_change(call, thread)?;
            thread.scheduling.lock().policy = policy;
            Ok(())
        }
        raw::SCHED_FIFO | raw::SCHED_RR if (1..=99).contains(&priority) => Err(Errno::EPERM),
        raw::SCHED_DEADLINE if priority == 0 => Err(Errno::EPERM),
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
    let thread = thread_of(call)?;
    let policy = thread.scheduling.lock().policy;
    set_policy(call, &thread, policy, call.pointer(1).read_u32()?)?;
    Ok(0)
}

/// Bytes of the first `struct sched_attr`; later ones are longer.
const ATTRIBUTE_BYTES: u32 = 48;

/// sched_getattr(2).
pub fn sys_sched_getattr(call: &mut Call<'_>) -> CallResult {
    let thread = thread_of(call)?;
    let size = call.size(2);
    if size < ATTRIBUTE_BYTES as usize || size > PAGE_SIZE || call.uint(3) != 0 {
        return Err(Errno::EINVAL);
    }
    let nice = thread
        .process
        .niceness
        .load(Ordering::Relaxed)
        .cast_signed()
        - 20;
    let (policy, reset_on_fork) = {
        let scheduling = thread.scheduling.lock();
        (scheduling.policy, scheduling.reset_on_fork)
    };
    let mut bytes = [0; ATTRIBUTE_BYTES as usize];
    bytes[..4].copy_from_slice(&ATTRIBUTE_BYTES.to_le_bytes());
    bytes[4..8].copy_from_slice(&policy.to_le_bytes());
    bytes[8] = u8::from(reset_on_fork);
    bytes[16..20].copy_from_slice(&nice.to_le_bytes());
    call.pointer(1).write(&bytes)?;
    Ok(0)
}

/// sched_setattr(2).
pub fn sys_sched_setattr(call: &mut Call<'_>) -> CallResult {
    let attributes = call.pointer(1);
    if attributes.is_null() || call.uint(2) != 0 {
        return Err(Errno::EINVAL);
    }
    let thread = thread_of(call)?;
    // 0 stands for the first version.
    let size = attributes.read_u32()?;
    if size != 0 && size < ATTRIBUTE_BYTES {
        attributes.write_u32(ATTRIBUTE_BYTES)?;
        return Err(Errno::E2BIG);
    }
    let policy = attributes.offset(4)?.read_u32()?;
    let flags = attributes.offset(8)?.read_u32()?;
    let nice = attributes.offset(16)?.read_u32()?.cast_signed();
    let priority = attributes.offset(20)?.read_u32()?;
    set_policy(call, &thread, policy, priority)?;
    if policy != raw::SCHED_IDLE {
        set_niceness(call, &thread.process, nice)?;
    }
    thread.scheduling.lock().reset_on_fork = flags & 1 != 0;
    Ok(0)
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
fn niced(call: &Call<'_>) -> Result<Arc<Process>, Errno> {
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
    set_niceness(call, &process, call.int(2))?;
    Ok(0)
}

fn set_niceness(call: &Call<'_>, process: &Process, nice: i32) -> Result<(), Errno> {
    let new = (nice.clamp(-20, 19) + 20).unsigned_abs();
    let old = process.niceness.load(Ordering::Relaxed);
    if new < old && !call.thread.credentials().has(Capabilities::SYS_NICE) {
        return Err(Errno::EACCES);
    }
    process.niceness.store(new, Ordering::Relaxed);
    Ok(())
}

/// getcpu(2): the host does not say which it is, so the first that the thread may use.
pub fn sys_getcpu(call: &mut Call<'_>) -> CallResult {
    let processor = call.thread.scheduling.lock().processors.lowest();
    for (index, value) in [(0, processor.unwrap_or(0)), (1, 0)] {
        if !call.pointer(index).is_null() {
            call.pointer(index).write_u32(value)?;
        }
    }
    Ok(0)
}

/// ioprio_get(2), ioprio_set(2): one class for all.
pub fn sys_ioprio(_call: &mut Call<'_>) -> CallResult {
    Ok(0)
}
