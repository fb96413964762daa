//! Limits that the host enforces on a sandbox, whatever the untrusted side counts.

use capsid_platform_linux::boot::{
    HEAP_OFFSET, KERNEL_DEFAULT_BYTES, POOL_LIMIT_BYTES, THREAD_LIMIT,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// The least memory that a sandbox can be limited to: below, no program starts. A stack alone
/// counts as 8 MiB.
pub const LEAST_MEMORY: u64 = 12 * MIB;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Most memory, in bytes.
    pub memory: Option<u64>,
    /// Most processes and threads.
    pub processes: Option<u32>,
    /// Longest run.
    pub timeout: Option<Duration>,
}

impl Limits {
    /// Size of the page pool. Without a limit as large as the machine's memory: only touched pages
    /// exist.
    pub fn pool_bytes(&self) -> u64 {
        let bytes = self.memory.unwrap_or_else(machine_memory);
        bytes.next_multiple_of(PAGE).min(POOL_LIMIT_BYTES)
    }

    /// Size of the library OS's memory. It holds the records of files, tasks and mappings, which
    /// are small beside what they describe.
    pub fn kernel_bytes(&self) -> u64 {
        match self.memory {
            Some(bytes) => {
                let heap = (bytes / 2).max(32 * MIB).next_multiple_of(PAGE);
                (HEAP_OFFSET + heap).min(KERNEL_DEFAULT_BYTES)
            }
            None => KERNEL_DEFAULT_BYTES,
        }
    }

    /// Most guest processes and threads.
    pub fn process_limit(&self) -> u32 {
        let most = u32::try_from(THREAD_LIMIT).unwrap_or(u32::MAX);
        self.processes.map_or(most, |limit| limit.min(most))
    }

    /// The resource limits of the sandbox's processes.
    ///
    /// `RLIMIT_AS` stays unlimited: programs reserve far more than they use. `RLIMIT_DATA` counts
    /// private writable memory, per process; the memory that processes share is bounded by the
    /// size of its memfd, and the sum over processes by the control group where there is one.
    pub fn resource_limits(&self) -> Vec<(Resource, u64)> {
        let mut limits = vec![
            // A core would hold the guest's memory, written where the user did not ask.
            (Resource::Core, 0),
            (Resource::Stack, at_most_hard(Resource::Stack, 8 * MIB)),
            (Resource::Nofile, hard_limit(Resource::Nofile)),
            // The user's own limit would kill the library OS with SIGXFSZ.
            (Resource::Fsize, hard_limit(Resource::Fsize)),
            (Resource::As, hard_limit(Resource::As)),
        ];
        if let Some(bytes) = self.memory {
            limits.push((Resource::Data, at_most_hard(Resource::Data, bytes)));
        }
        if let (Some(processes), false) = (self.processes, rustix::process::geteuid().is_root()) {
            // The host counts every process of the user, those outside the sandbox too.
            let others = count_processes_of_user();
            let most = u64::from(processes).saturating_add(others);
            limits.push((Resource::Nproc, at_most_hard(Resource::Nproc, most)));
        }
        limits
    }
}

fn hard_limit(resource: Resource) -> u64 {
    getrlimit(resource).maximum.unwrap_or(u64::MAX)
}

fn at_most_hard(resource: Resource, value: u64) -> u64 {
    value.min(hard_limit(resource))
}

fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit).saturating_mul(info.totalram)
}

/// Counts the processes and threads of the broker's user, over procfs.
fn count_processes_of_user() -> u64 {
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::geteuid().as_raw();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return 0;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter(|entry| entry.metadata().is_ok_and(|data| data.uid() == user))
        .map(|entry| {
            std::fs::read_dir(entry.path().join("task")).map_or(1, |tasks| tasks.count() as u64)
        })
        .sum()
}

/// Raises the broker's own limit of descriptors as far as it may, and says how many handles a
/// sandbox can have: each takes one, and the broker needs some for itself.
pub fn raise_descriptor_limit() -> Result<usize, Errno> {
    let hard = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: hard,
        maximum: hard,
    };
    setrlimit(Resource::Nofile, raised)?;
    let available = hard.unwrap_or(u64::MAX).saturating_sub(128);
    Ok(usize::try_from(available).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::{LEAST_MEMORY, Limits};
    use capsid_platform_linux::boot::{HEAP_OFFSET, KERNEL_LIMIT_BYTES, POOL_LIMIT_BYTES};

    #[test]
    fn sizes_are_pages_and_fit() {
        for memory in [
            None,
            Some(LEAST_MEMORY),
            Some(12_345_678),
            Some(u64::MAX / 2),
        ] {
            let limits = Limits {
                memory,
                ..Limits::default()
            };
            assert_eq!(limits.pool_bytes() % 4096, 0);
            assert!(limits.pool_bytes() <= POOL_LIMIT_BYTES);
            assert_eq!(limits.kernel_bytes() % 4096, 0);
            assert!(limits.kernel_bytes() > HEAP_OFFSET);
            assert!(limits.kernel_bytes() <= KERNEL_LIMIT_BYTES);
        }
    }
}
