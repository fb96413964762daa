//! `/proc/sys`, as far as programs look.

use crate::posix_queue::{QUEUES_MAX, USUAL};
use crate::procfs::entry::{Context, Entry};
use crate::procfs::text::Text;
use crate::syscalls::system::{RELEASE, VERSION};
use crate::task::ID_LIMIT;
use alloc::string::String;
use capsid_core::Errno;
use capsid_core::fs::leases::BREAK_SECONDS;
use capsid_core::fs::notify::{QUEUED_EVENTS_MAX, USER_INSTANCES_MAX, USER_WATCHES_MAX};
use capsid_core::memory::space::MAPPINGS_MAX;
use capsid_core::random;

macro_rules! constant {
    ($name:literal, $value:expr) => {
        Entry::file($name, |_, text| {
            text.line(format_args!("{}", $value));
            Ok(())
        })
    };
}

pub(super) static ENTRIES: &[Entry] = &[
    Entry::directory("kernel", KERNEL),
    Entry::directory("vm", VM),
    Entry::directory("fs", FS),
    Entry::directory("net", NET),
    Entry::directory("user", USER),
];

static KERNEL: &[Entry] = &[
    Entry::writable("hostname", hostname, set_hostname),
    Entry::writable("domainname", domainname, set_domainname),
    constant!("osrelease", RELEASE),
    constant!("ostype", "Linux"),
    constant!("version", VERSION),
    constant!("pid_max", ID_LIMIT),
    constant!("threads-max", 32_768),
    constant!("ngroups_max", 65_536),
    constant!("cap_last_cap", 40),
    constant!("overflowuid", 65_534),
    constant!("overflowgid", 65_534),
    constant!("randomize_va_space", 2),
    constant!("core_pattern", "core"),
    constant!("core_uses_pid", 0),
    constant!("shmmax", 18_446_744_073_692_774_399_u64),
    constant!("shmall", 18_446_744_073_692_774_399_u64),
    constant!("shmmni", 4096),
    constant!("msgmax", 8192),
    constant!("msgmnb", 16_384),
    constant!("msgmni", 32_000),
    constant!("sem", "32000\t1024000000\t500\t32000"),
    constant!("sched_child_runs_first", 0),
    constant!("perf_event_paranoid", 4),
    constant!("kptr_restrict", 1),
    constant!("dmesg_restrict", 1),
    constant!("tainted", 0),
    constant!("unprivileged_userns_clone", 0),
    Entry::directory("random", RANDOM),
    Entry::directory("seccomp", SECCOMP),
    Entry::directory("yama", YAMA),
];

static RANDOM: &[Entry] = &[
    Entry::file("boot_id", boot_id),
    Entry::file("uuid", uuid),
    constant!("entropy_avail", 256),
    constant!("poolsize", 256),
];

static SECCOMP: &[Entry] = &[constant!("actions_avail", "")];
static YAMA: &[Entry] = &[constant!("ptrace_scope", 1)];

static VM: &[Entry] = &[
    constant!("overcommit_memory", 1),
    constant!("overcommit_ratio", 50),
    constant!("max_map_count", MAPPINGS_MAX),
    constant!("mmap_min_addr", 65_536),
    constant!("swappiness", 0),
    constant!("nr_hugepages", 0),
];

static FS: &[Entry] = &[
    constant!("aio-max-nr", 65_536),
    constant!("aio-nr", 0),
    constant!("file-max", 1_048_576),
    constant!("file-nr", "0\t0\t1048576"),
    constant!("nr_open", 1_048_576),
    constant!("pipe-max-size", 1_048_576),
    constant!("protected_hardlinks", 1),
    constant!("protected_symlinks", 1),
    constant!("protected_fifos", 1),
    constant!("protected_regular", 2),
    constant!("suid_dumpable", 0),
    constant!("lease-break-time", BREAK_SECONDS),
    constant!("leases-enable", 1),
    Entry::directory("inotify", INOTIFY),
    Entry::directory("mqueue", MQUEUE),
];

static INOTIFY: &[Entry] = &[
    constant!("max_queued_events", QUEUED_EVENTS_MAX),
    constant!("max_user_instances", USER_INSTANCES_MAX),
    constant!("max_user_watches", USER_WATCHES_MAX),
];

static MQUEUE: &[Entry] = &[
    constant!("msg_default", USUAL.messages),
    constant!("msg_max", USUAL.messages),
    constant!("msgsize_default", USUAL.bytes),
    constant!("msgsize_max", USUAL.bytes),
    constant!("queues_max", QUEUES_MAX),
];

static NET: &[Entry] = &[
    Entry::directory("core", CORE),
    Entry::directory("ipv4", IPV4),
    Entry::directory("unix", UNIX),
];

static CORE: &[Entry] = &[
    constant!("somaxconn", 4096),
    constant!("rmem_max", 212_992),
    constant!("wmem_max", 212_992),
    constant!("rmem_default", 212_992),
    constant!("wmem_default", 212_992),
];

static IPV4: &[Entry] = &[
    constant!("ip_local_port_range", "32768\t60999"),
    constant!("tcp_fin_timeout", 60),
    constant!("ip_unprivileged_port_start", 1024),
];

static UNIX: &[Entry] = &[constant!("max_dgram_qlen", 512)];
static USER: &[Entry] = &[constant!("max_user_namespaces", 0)];

fn hostname(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.line(format_args!("{}", context.kernel.names.read().0));
    Ok(())
}

fn domainname(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.line(format_args!("{}", context.kernel.names.read().1));
    Ok(())
}

/// A name of at most 64 bytes.
fn parse_name(bytes: &[u8]) -> Result<String, Errno> {
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let name = text.trim_end_matches(['\n', '\0']);
    if name.len() > 64 {
        return Err(Errno::EINVAL);
    }
    Ok(String::from(name))
}

fn set_hostname(context: &Context<'_>, bytes: &[u8]) -> Result<(), Errno> {
    context.kernel.names.write().0 = parse_name(bytes)?;
    Ok(())
}

fn set_domainname(context: &Context<'_>, bytes: &[u8]) -> Result<(), Errno> {
    context.kernel.names.write().1 = parse_name(bytes)?;
    Ok(())
}

/// A random UUID (version 4), from these bytes.
fn add_uuid(mut bytes: [u8; 16], text: &mut Text) {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.bytes(b"-");
        }
        text.add(format_args!("{byte:02x}"));
    }
    text.bytes(b"\n");
}

fn uuid(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    add_uuid(bytes, text);
    Ok(())
}

/// The same for all of the sandbox's life.
fn boot_id(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    static BOOT: spin::Once<[u8; 16]> = spin::Once::new();
    let bytes = BOOT.call_once(|| {
        let mut bytes = [0; 16];
        random::fill(&mut bytes);
        bytes
    });
    add_uuid(*bytes, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Text, add_uuid};

    #[test]
    fn uuids_say_their_version() {
        let mut text = Text::default();
        add_uuid([0xff; 16], &mut text);
        assert_eq!(text.0, b"ffffffff-ffff-4fff-bfff-ffffffffffff\n");
    }
}
