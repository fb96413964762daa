//! The machine: uname(2), sysinfo(2), sethostname(2), setdomainname(2), getrandom(2).

use crate::call::{Call, CallResult};
use crate::time::SECOND_NS;
use alloc::string::String;
use capsid_core::credentials::Capabilities;
use capsid_core::io::{Destination, Segment};
use capsid_core::memory::pool;
use capsid_core::{Errno, random};
use capsid_platform::{Clock, PAGE_SIZE, platform};

/// Bytes of each field of `struct utsname`.
const FIELD_BYTES: usize = 65;
/// What programs that look at the version can rely on.
pub const RELEASE: &str = "6.12.0-capsid";
/// The version line.
pub const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC Capsid";

/// uname(2).
pub fn sys_uname(call: &mut Call<'_>) -> CallResult {
    let (host, domain) = call.kernel().names.read().clone();
    let fields = ["Linux", &host, RELEASE, VERSION, "x86_64", &domain];
    let mut bytes = [0; FIELD_BYTES * 6];
    for (chunk, field) in bytes.chunks_exact_mut(FIELD_BYTES).zip(fields) {
        let length = field.len().min(FIELD_BYTES - 1);
        chunk[..length].copy_from_slice(&field.as_bytes()[..length]);
    }
    call.pointer(0).write(&bytes)?;
    Ok(0)
}

fn read_name(call: &Call<'_>) -> Result<String, Errno> {
    if !call.thread.credentials().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let length = call.size(1);
    if length >= FIELD_BYTES {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; FIELD_BYTES];
    call.pointer(0).read(&mut bytes[..length])?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// sethostname(2).
pub fn sys_sethostname(call: &mut Call<'_>) -> CallResult {
    let name = read_name(call)?;
    call.kernel().names.write().0 = name;
    Ok(0)
}

/// setdomainname(2).
pub fn sys_setdomainname(call: &mut Call<'_>) -> CallResult {
    let name = read_name(call)?;
    call.kernel().names.write().1 = name;
    Ok(0)
}

/// sysinfo(2).
pub fn sys_sysinfo(call: &mut Call<'_>) -> CallResult {
    let kernel = call.kernel();
    let uptime = platform().now(Clock::Monotonic) - kernel.started_ns;
    let total = pool().limit();
    let free = total.saturating_sub(pool().used());
    let tasks = kernel.tree.lock().task_count();
    let mut bytes = [0; 112];
    let mut put = |at: usize, value: u64| {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    put(0, uptime / SECOND_NS);
    put(32, u64::from(total) * PAGE_SIZE as u64);
    put(40, u64::from(free) * PAGE_SIZE as u64);
    put(80, u64::from(u16::try_from(tasks).unwrap_or(u16::MAX)));
    // mem_unit
    bytes[104] = 1;
    call.pointer(0).write(&bytes)?;
    Ok(0)
}

/// getrandom(2).
pub fn sys_getrandom(call: &mut Call<'_>) -> CallResult {
    const KNOWN_FLAGS: u32 = 7;
    const RANDOM_AND_INSECURE: u32 = 6;
    /// More than this is cut, `INT_MAX`.
    const BYTES_MAX: usize = i32::MAX as usize;
    let flags = call.uint(2);
    if flags & !KNOWN_FLAGS != 0 || flags & RANDOM_AND_INSECURE == RANDOM_AND_INSECURE {
        return Err(Errno::EINVAL);
    }
    let segments = [Segment {
        address: call.pointer(0),
        length: call.size(1).min(BYTES_MAX),
    }];
    let done = random::put(&mut Destination::guest(&segments))?;
    Ok(done as u64)
}
