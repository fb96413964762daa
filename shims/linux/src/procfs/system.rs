//! The files of `/proc` that are about all of the system.

use crate::procfs::entry::{Context, Entry, Target};
use crate::procfs::subject::caller;
use crate::procfs::text::Text;
use crate::procfs::{mounts, sysctl, sysvipc};
use crate::syscalls::system::{RELEASE, VERSION};
use crate::task::TICK_NS;
use alloc::format;
use alloc::string::ToString;
use capsid_core::Errno;
use capsid_core::memory::pool;
use capsid_platform::{Clock, PAGE_SIZE, platform};
use core::sync::atomic::Ordering;

/// What the root has beside the processes.
pub(super) static ENTRIES: &[Entry] = &[
    Entry::link("self", own_process),
    Entry::link("thread-self", own_thread),
    Entry::link("mounts", |_| Ok(Target::Text(b"self/mounts".to_vec()))),
    Entry::link("net", |_| Ok(Target::Text(b"self/net".to_vec()))),
    Entry::directory("sys", sysctl::ENTRIES),
    Entry::directory("sysvipc", sysvipc::ENTRIES),
    Entry::file("cmdline", cmdline),
    Entry::file("cpuinfo", cpuinfo),
    Entry::file("devices", devices),
    Entry::file("filesystems", mounts::filesystems),
    Entry::file("loadavg", loadavg),
    Entry::file("meminfo", meminfo),
    Entry::file("stat", stat),
    Entry::file("uptime", uptime),
    Entry::file("version", version),
    Entry::file("vmstat", vmstat),
    Entry::file("swaps", swaps),
    Entry::file("cgroups", cgroups),
];

fn own_process(context: &Context<'_>) -> Result<Target, Errno> {
    let thread = caller(context.kernel).ok_or(Errno::ENOENT)?;
    Ok(Target::Text(thread.process.id.to_string().into_bytes()))
}

fn own_thread(context: &Context<'_>) -> Result<Target, Errno> {
    let thread = caller(context.kernel).ok_or(Errno::ENOENT)?;
    let path = format!("{}/task/{}", thread.process.id, thread.id());
    Ok(Target::Text(path.into_bytes()))
}

/// Bytes of memory in all, and of those in use as far as the library OS knows.
pub(super) fn memory() -> (u64, u64) {
    let pool = pool();
    let bytes = |pages: u32| u64::from(pages) * PAGE_SIZE as u64;
    let total = match platform().info().boot.memory_bytes {
        0 => bytes(pool.limit()),
        limit => limit,
    };
    (total, bytes(pool.used()).min(total))
}

fn meminfo(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let (total, used) = memory();
    let free = total - used;
    for (label, bytes) in [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", used),
        ("SwapCached", 0),
        ("Active", used),
        ("Inactive", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", 0),
        ("Mapped", 0),
        ("Shmem", used),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("CommitLimit", total),
        ("Committed_AS", used),
        ("VmallocTotal", 0),
        ("VmallocUsed", 0),
    ] {
        let width = 23 - label.len();
        text.line(format_args!("{label}:{:>width$} kB", bytes >> 10));
    }
    for label in [
        "HugePages_Total",
        "HugePages_Free",
        "HugePages_Rsvd",
        "HugePages_Surp",
    ] {
        let width = 23 - label.len();
        text.line(format_args!("{label}:{:>width$}", 0));
    }
    text.line(format_args!("Hugepagesize:{:>11} kB", 2048));
    Ok(())
}

fn cpuinfo(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let info = platform().info();
    let has = |bit: u32| info.extended_state_mask & (1 << bit) != 0;
    for processor in 0..info.processors.max(1) {
        text.line(format_args!("processor\t: {processor}"));
        text.bytes(b"vendor_id\t: unknown\ncpu family\t: 6\nmodel\t\t: 0\n");
        text.bytes(b"model name\t: virtual x86-64 processor\nstepping\t: 0\n");
        text.bytes(b"cpu MHz\t\t: 1000.000\ncache size\t: 0 KB\n");
        text.line(format_args!(
            "physical id\t: 0\nsiblings\t: {count}\ncore id\t\t: {processor}\ncpu cores\t: {count}",
            count = info.processors.max(1)
        ));
        text.bytes(b"fpu\t\t: yes\nfpu_exception\t: yes\nwp\t\t: yes\n");
        text.bytes(b"flags\t\t: fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm");
        if has(2) {
            text.bytes(b" xsave avx");
        }
        text.bytes(b"\nbugs\t\t:\nbogomips\t: 2000.00\nclflush size\t: 64\n");
        text.bytes(b"cache_alignment\t: 64\naddress sizes\t: 46 bits physical, 48 bits virtual\n");
        text.bytes(b"power management:\n\n");
    }
    Ok(())
}

fn uptime_ns(context: &Context<'_>) -> u64 {
    let now = platform().now(Clock::Monotonic);
    now.saturating_sub(context.kernel.started_ns)
}

fn uptime(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let hundredths = uptime_ns(context) / 10_000_000;
    let (seconds, rest) = (hundredths / 100, hundredths % 100);
    text.line(format_args!("{seconds}.{rest:02} {seconds}.{rest:02}"));
    Ok(())
}

fn stat(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let processors = platform().info().processors.max(1);
    let idle = uptime_ns(context) / TICK_NS;
    let all = idle * u64::from(processors);
    text.line(format_args!("cpu  0 0 0 {all} 0 0 0 0 0 0"));
    for processor in 0..processors {
        text.line(format_args!("cpu{processor} 0 0 0 {idle} 0 0 0 0 0 0"));
    }
    let booted = platform()
        .now(Clock::Realtime)
        .saturating_sub(uptime_ns(context));
    let forks = context.kernel.forks.load(Ordering::Relaxed) + 1;
    text.line(format_args!(
        "intr 0\nctxt 0\nbtime {}",
        booted / 1_000_000_000
    ));
    text.line(format_args!(
        "processes {forks}\nprocs_running 1\nprocs_blocked 0"
    ));
    text.bytes(b"softirq 0 0 0 0 0 0 0 0 0 0 0\n");
    Ok(())
}

fn loadavg(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let tree = context.kernel.tree.lock();
    let count = tree.task_count();
    let last = tree.nodes().map(|node| node.process.id).max().unwrap_or(1);
    text.line(format_args!("0.00 0.00 0.00 1/{count} {last}"));
    Ok(())
}

fn version(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.line(format_args!("Linux version {RELEASE} (capsid) {VERSION}"));
    Ok(())
}

fn cmdline(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"quiet\n");
    Ok(())
}

fn devices(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n\nBlock devices:\n");
    Ok(())
}

fn vmstat(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let (total, used) = memory();
    let free = (total - used) / PAGE_SIZE as u64;
    text.line(format_args!("nr_free_pages {free}\npgpgin 0\npgpgout 0"));
    text.bytes(b"pswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n");
    Ok(())
}

fn swaps(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    Ok(())
}

fn cgroups(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    Ok(())
}
