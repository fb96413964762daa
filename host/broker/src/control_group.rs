//! A control group of the sandbox's own, cgroups(7) version 2, where the host lets us make one.
//!
//! It bounds the sum over all processes, which resource limits cannot. Where it cannot be made (no
//! version 2, no delegated controllers) the other limits stand alone.

use crate::limits::Limits;
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const MOUNT: &str = "/sys/fs/cgroup";
/// Memory beside the guest's: of the library OS, and of the host for its processes.
const MEMORY_ASIDE: u64 = 32 << 20;
/// Tasks beside the guest's: the listener, and processes that end.
const TASKS_ASIDE: u64 = 8;

/// A control group, removed when dropped.
#[derive(Debug)]
pub struct ControlGroup {
    path: PathBuf,
    members: OwnedFd,
}

impl ControlGroup {
    /// Makes a group with these limits; `None` if there are none, or the host does not let us.
    pub fn new(limits: &Limits) -> Option<ControlGroup> {
        if limits.memory.is_none() && limits.processes.is_none() {
            return None;
        }
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own_group(&groups)?;
        let parent = Path::new(MOUNT).join(own.trim_start_matches('/'));
        if !parent.join("cgroup.controllers").exists() {
            return None;
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("capsid-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        let members = set_limits(&path, limits);
        if members.is_none() {
            // Empty as it is, it can be removed.
            let _ = std::fs::remove_dir(&path);
        }
        Some(ControlGroup {
            members: members?,
            path,
        })
    }

    /// The file that makes who writes 0 to it a member.
    pub fn members(&self) -> BorrowedFd<'_> {
        self.members.as_fd()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Its members were reaped before; a group that is busy all the same is left to the host.
        let _ = std::fs::remove_dir(&self.path);
    }
}

fn set_limits(path: &Path, limits: &Limits) -> Option<OwnedFd> {
    let set = |file: &str, value: u64| std::fs::write(path.join(file), value.to_string()).ok();
    if let Some(bytes) = limits.memory {
        set("memory.max", bytes.saturating_add(MEMORY_ASIDE))?;
        // A host without swap accounting has no such file.
        let _ = set("memory.swap.max", 0);
    }
    if let Some(processes) = limits.processes {
        set("pids.max", u64::from(processes) + TASKS_ASIDE)?;
    }
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(path.join("cgroup.procs"), flags, Mode::empty()).ok()
}

/// The version 2 group in `/proc/self/cgroup`.
fn own_group(text: &str) -> Option<&str> {
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .filter(|path| !path.contains(".."))
}

#[cfg(test)]
mod tests {
    use super::{ControlGroup, own_group};
    use crate::limits::Limits;

    #[test]
    fn the_own_group_is_found() {
        assert_eq!(own_group("12:cpu:/x\n0::/user/a b\n"), Some("/user/a b"));
        assert_eq!(own_group("0::/../outside\n"), None);
        assert_eq!(own_group("3:memory:/x\n"), None);
    }

    #[test]
    fn without_limits_there_is_no_group() {
        assert!(ControlGroup::new(&Limits::default()).is_none());
    }
}
