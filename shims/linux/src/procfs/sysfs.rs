//! `/sys`, as far as programs look: processors, and the kernel's memory settings.

use crate::procfs::entry::{Context, Entry};
use crate::procfs::status::cpu_list;
use crate::procfs::system::memory;
use crate::procfs::text::Text;
use capsid_core::Errno;
use capsid_platform::platform;

macro_rules! constant {
    ($name:literal, $value:expr) => {
        Entry::file($name, |_, text| {
            text.line(format_args!("{}", $value));
            Ok(())
        })
    };
}

pub(super) static ENTRIES: &[Entry] = &[
    Entry::directory("devices", &[Entry::directory("system", SYSTEM)]),
    Entry::directory("kernel", KERNEL),
    Entry::directory("fs", &[Entry::directory("cgroup", &[])]),
    Entry::directory("class", &[Entry::directory("net", &[])]),
    Entry::directory("block", &[]),
    Entry::directory("bus", &[]),
];

static SYSTEM: &[Entry] = &[Entry::directory("cpu", CPU), Entry::directory("node", NODE)];

static CPU: &[Entry] = &[
    Entry::file("online", processors),
    Entry::file("possible", processors),
    Entry::file("present", processors),
    constant!("offline", ""),
    constant!("kernel_max", 8191),
];

static NODE: &[Entry] = &[
    constant!("online", 0),
    constant!("possible", 0),
    constant!("has_cpu", 0),
    Entry::directory("node0", NODE_0),
];

static NODE_0: &[Entry] = &[
    Entry::file("cpulist", processors),
    Entry::file("cpumap", processor_mask),
    Entry::file("meminfo", node_memory),
    constant!("distance", 10),
];

static KERNEL: &[Entry] = &[Entry::directory(
    "mm",
    &[Entry::directory(
        "transparent_hugepage",
        &[
            constant!("enabled", "always [madvise] never"),
            constant!("defrag", "always defer defer+madvise [madvise] never"),
            constant!(
                "shmem_enabled",
                "always within_size advise [never] deny force"
            ),
            constant!("hpage_pmd_size", 2_097_152),
            constant!("use_zero_page", 1),
        ],
    )],
)];

fn processors(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.line(format_args!("{}", cpu_list()));
    Ok(())
}

fn processor_mask(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let count = platform().info().processors.clamp(1, 32);
    text.line(format_args!("{:08x}", u32::MAX >> (32 - count)));
    Ok(())
}

fn node_memory(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let (total, used) = memory();
    for (label, bytes) in [
        ("MemTotal", total),
        ("MemFree", total - used),
        ("MemUsed", used),
    ] {
        let width = 23 - label.len();
        text.line(format_args!("Node 0 {label}:{:>width$} kB", bytes >> 10));
    }
    Ok(())
}
