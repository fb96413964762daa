//! Resource limits and usage: getrlimit(2), setrlimit(2), prlimit(2), getrusage(2), times(2).

use crate::call::{Call, CallResult};
use crate::task::{Limit, Process, RESOURCES, Resource, TICK_NS};
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_platform::{Clock, GuestAddr, platform};
use core::sync::atomic::Ordering;

/// The largest `RLIMIT_NOFILE` (`/proc/sys/fs/nr_open`).
const OPEN_FILES_MAX: u64 = 1 << 20;

fn write_limit(address: GuestAddr, limit: Limit) -> Result<(), Errno> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&limit.soft.to_le_bytes());
    bytes[8..].copy_from_slice(&limit.hard.to_le_bytes());
    address.write(&bytes)
}

fn read_limit(address: GuestAddr) -> Result<Limit, Errno> {
    Ok(Limit {
        soft: address.read_u64()?,
        hard: address.offset(8)?.read_u64()?,
    })
}

fn set(call: &Call<'_>, process: &Process, number: usize, new: Limit) -> Result<(), Errno> {
    let old = process.limits.by_number(number).ok_or(Errno::EINVAL)?;
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    if number == Resource::OpenFiles as usize && new.hard > OPEN_FILES_MAX {
        return Err(Errno::EPERM);
    }
    if new.hard > old.hard && !call.thread.credentials().has(Capabilities::SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    process.limits.set_by_number(number, new);
    if number == Resource::Cpu as usize && process.id == call.process().id {
        call.process().watch_cpu_limit();
    }
    Ok(())
}

/// getrlimit(2).
pub fn sys_getrlimit(call: &mut Call<'_>) -> CallResult {
    let limit = call.process().limits.by_number(call.size(0));
    write_limit(call.pointer(1), limit.ok_or(Errno::EINVAL)?)?;
    Ok(0)
}

/// setrlimit(2).
pub fn sys_setrlimit(call: &mut Call<'_>) -> CallResult {
    let new = read_limit(call.pointer(1))?;
    set(call, call.process(), call.size(0), new)?;
    Ok(0)
}

/// prlimit(2).
pub fn sys_prlimit64(call: &mut Call<'_>) -> CallResult {
    let number = usize::try_from(call.uint(1)).unwrap_or(RESOURCES);
    if number >= RESOURCES {
        return Err(Errno::EINVAL);
    }
    let process = match call.int(0) {
        0 => call.process().clone(),
        id => {
            let id = u32::try_from(id).map_err(|_| Errno::ESRCH)?;
            call.kernel().process(id).ok_or(Errno::ESRCH)?
        }
    };
    let privileged = call.thread.credentials().has(Capabilities::SYS_RESOURCE);
    let same_user = process
        .credentials()
        .is_none_or(|theirs| theirs.user.real == call.thread.credentials().user.real);
    if process.id != call.process().id && !privileged && !same_user {
        return Err(Errno::EPERM);
    }
    let new = match call.pointer(2) {
        address if address.is_null() => None,
        address => Some(read_limit(address)?),
    };
    let old = process.limits.by_number(number).ok_or(Errno::EINVAL)?;
    if let Some(new) = new {
        set(call, &process, number, new)?;
    }
    if !call.pointer(3).is_null() {
        write_limit(call.pointer(3), old)?;
    }
    Ok(0)
}

/// What `struct rusage` says. Time in the host's kernel is not told apart from other time.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceUsage {
    cpu_ns: u64,
}

impl ResourceUsage {
    /// What a child used that has been waited for, and its own children.
    #[must_use]
    pub fn of_child(process: &Process) -> ResourceUsage {
        let usage = &process.usage;
        ResourceUsage {
            cpu_ns: usage.cpu_done_ns.load(Ordering::Relaxed)
                + usage.children_cpu_ns.load(Ordering::Relaxed),
        }
    }

    /// Writes a `struct rusage`.
    pub fn write(&self, address: GuestAddr) -> Result<(), Errno> {
        let mut bytes = [0; 144];
        bytes[..8].copy_from_slice(&(self.cpu_ns / 1_000_000_000).to_le_bytes());
        bytes[8..16].copy_from_slice(&(self.cpu_ns / 1000 % 1_000_000).to_le_bytes());
        address.write(&bytes)
    }
}

const RUSAGE_SELF: i32 = 0;
const RUSAGE_CHILDREN: i32 = -1;
const RUSAGE_THREAD: i32 = 1;

/// getrusage(2).
pub fn sys_getrusage(call: &mut Call<'_>) -> CallResult {
    let process = call.process();
    let cpu_ns = match call.int(0) {
        RUSAGE_SELF => process.cpu_ns(process),
        RUSAGE_CHILDREN => process.usage.children_cpu_ns.load(Ordering::Relaxed),
        RUSAGE_THREAD => platform().now(Clock::ThreadCpu),
        _ => return Err(Errno::EINVAL),
    };
    ResourceUsage { cpu_ns }.write(call.pointer(1))?;
    Ok(0)
}

/// times(2).
pub fn sys_times(call: &mut Call<'_>) -> CallResult {
    let process = call.process();
    if !call.pointer(0).is_null() {
        let own = process.cpu_ns(process) / TICK_NS;
        let children = process.usage.children_cpu_ns.load(Ordering::Relaxed) / TICK_NS;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&own.to_le_bytes());
        bytes[16..24].copy_from_slice(&children.to_le_bytes());
        call.pointer(0).write(&bytes)?;
    }
    Ok(platform().now(Clock::Boottime) / TICK_NS)
}
