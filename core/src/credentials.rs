//! Who a task acts as: user and group ids and capabilities, credentials(7), capabilities(7).

use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;

bitflags! {
    /// A set of capabilities, with Linux's bit numbers.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// Change owners.
        const CHOWN = 1 << 0;
        /// Pass all permission checks on files.
        const DAC_OVERRIDE = 1 << 1;
        /// Pass permission checks for reading files and searching directories.
        const DAC_READ_SEARCH = 1 << 2;
        /// Act as the owner of any file.
        const FOWNER = 1 << 3;
        /// Keep and set set-id bits.
        const FSETID = 1 << 4;
        /// Signal any process.
        const KILL = 1 << 5;
        /// Change group ids.
        const SETGID = 1 << 6;
        /// Change user ids.
        const SETUID = 1 << 7;
        /// Change capability sets.
        const SETPCAP = 1 << 8;
        /// Change immutable files.
        const LINUX_IMMUTABLE = 1 << 9;
        /// Bind low ports.
        const NET_BIND_SERVICE = 1 << 10;
        /// Broadcast.
        const NET_BROADCAST = 1 << 11;
        /// Administer the network.
        const NET_ADMIN = 1 << 12;
        /// Use raw sockets.
        const NET_RAW = 1 << 13;
        /// Lock memory.
        const IPC_LOCK = 1 << 14;
        /// Own System V objects.
        const IPC_OWNER = 1 << 15;
        /// Load modules.
        const SYS_MODULE = 1 << 16;
        /// Raw device access.
        const SYS_RAWIO = 1 << 17;
        /// chroot(2).
        const SYS_CHROOT = 1 << 18;
        /// Trace any process.
        const SYS_PTRACE = 1 << 19;
        /// acct(2).
        const SYS_PACCT = 1 << 20;
        /// Administer the system: mounts, trusted attributes.
        const SYS_ADMIN = 1 << 21;
        /// Reboot.
        const SYS_BOOT = 1 << 22;
        /// Raise priorities.
        const SYS_NICE = 1 << 23;
        /// Raise limits.
        const SYS_RESOURCE = 1 << 24;
        /// Set the clock.
        const SYS_TIME = 1 << 25;
        /// Configure terminals.
        const SYS_TTY_CONFIG = 1 << 26;
        /// Make device nodes.
        const MKNOD = 1 << 27;
        /// Take leases.
        const LEASE = 1 << 28;
        /// Write audit records.
        const AUDIT_WRITE = 1 << 29;
        /// Control auditing.
        const AUDIT_CONTROL = 1 << 30;
        /// Set file capabilities.
        const SETFCAP = 1 << 31;
        /// Override mandatory access control.
        const MAC_OVERRIDE = 1 << 32;
        /// Administer mandatory access control.
        const MAC_ADMIN = 1 << 33;
        /// Use syslog(2).
        const SYSLOG = 1 << 34;
        /// Wake the system.
        const WAKE_ALARM = 1 << 35;
        /// Block suspend.
        const BLOCK_SUSPEND = 1 << 36;
        /// Read the audit log.
        const AUDIT_READ = 1 << 37;
        /// Monitor performance.
        const PERFMON = 1 << 38;
        /// Use bpf(2).
        const BPF = 1 << 39;
        /// Checkpoint and restore.
        const CHECKPOINT_RESTORE = 1 << 40;
    }
}

impl Capabilities {
    /// What passes for read access and search where the mode bits do not.
    pub const READ_ANYTHING: Capabilities =
        Capabilities::DAC_OVERRIDE.union(Capabilities::DAC_READ_SEARCH);
}

/// The four ids of one sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ids {
    /// The real id.
    pub real: u32,
    /// The effective id.
    pub effective: u32,
    /// The saved set-id.
    pub saved: u32,
    /// The id that file permissions are checked with; follows the effective one.
    pub file_system: u32,
}

impl Ids {
    /// All four alike.
    #[must_use]
    pub const fn all(id: u32) -> Ids {
        Ids {
            real: id,
            effective: id,
            saved: id,
            file_system: id,
        }
    }
}

/// Who a task acts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User ids.
    pub user: Ids,
    /// Group ids.
    pub group: Ids,
    /// Supplementary groups, sorted.
    pub groups: Arc<[u32]>,
    /// Capabilities in force.
    pub effective: Capabilities,
    /// Capabilities that may be put in force.
    pub permitted: Capabilities,
    /// Capabilities kept over exec of files that inherit them.
    pub inheritable: Capabilities,
    /// Capabilities that exec can give at most.
    pub bounding: Capabilities,
    /// Capabilities kept over exec of ordinary files.
    pub ambient: Capabilities,
}

impl Credentials {
    /// Credentials of a user: with every capability if it is 0, else with none.
    #[must_use]
    pub fn new(user: u32, group: u32) -> Credentials {
        let held = if user == 0 {
            Capabilities::all()
        } else {
            Capabilities::empty()
        };
        Credentials {
            user: Ids::all(user),
            group: Ids::all(group),
            groups: Arc::new([]),
            effective: held,
            permitted: held,
            inheritable: Capabilities::empty(),
            bounding: Capabilities::all(),
            ambient: Capabilities::empty(),
        }
    }

    /// Whether any of `capabilities` is in force.
    #[must_use]
    pub fn has(&self, capabilities: Capabilities) -> bool {
        self.effective.intersects(capabilities)
    }

    /// Whether the file-system group or a supplementary one is `group`.
    #[must_use]
    pub fn in_group(&self, group: u32) -> bool {
        self.group.file_system == group || self.groups.binary_search(&group).is_ok()
    }

    /// Replaces the supplementary groups.
    pub fn set_groups(&mut self, mut groups: Vec<u32>) {
        groups.sort_unstable();
        self.groups = groups.into();
    }

    /// The same with the real ids in place of the file-system ids, as access(2) checks: the
    /// capabilities are those that the real user would have.
    #[must_use]
    pub fn with_real_ids(&self) -> Credentials {
        let mut real = self.clone();
        real.user.file_system = self.user.real;
        real.group.file_system = self.group.real;
        real.effective = if self.user.real == 0 {
            self.permitted
        } else {
            Capabilities::empty()
        };
        real
    }
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, Credentials};
    use alloc::vec;

    #[test]
    fn groups_are_found_whatever_their_order() {
        let mut credentials = Credentials::new(1000, 1000);
        credentials.set_groups(vec![27, 4, 100]);
        assert!(credentials.in_group(4) && credentials.in_group(27));
        assert!(credentials.in_group(1000) && !credentials.in_group(5));
    }

    #[test]
    fn real_ids_decide_for_access() {
        let mut credentials = Credentials::new(1000, 1000);
        credentials.user.effective = 0;
        credentials.user.file_system = 0;
        credentials.effective = Capabilities::all();
        credentials.permitted = Capabilities::all();
        let real = credentials.with_real_ids();
        assert_eq!(real.user.file_system, 1000);
        assert!(!real.has(Capabilities::DAC_OVERRIDE));
    }
}
