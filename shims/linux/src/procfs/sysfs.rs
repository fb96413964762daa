//! `/sys`, as far as programs look: processors, and the kernel's memory settings.

use crate::procfs::entry::{Context, Entry, Node};
use crate::procfs::status::{cpu_list, mask};
use crate::procfs::system::memory;
use crate::procfs::text::Text;
use crate::task::ProcessorSet;
use capsid_core::Errno;

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

static SYSTEM: &[Entry] = &[
    Entry::new("cpu", 0o555, Node::Processors(CPU)),
    Entry::directory("node", NODE),
];

static CPU: &[Entry] = &[
    Entry::file("online", processors),
    Entry::file("possible", processors),
    Entry::file("present", processors),
    constant!("offline", ""),
    constant!("kernel_max", 8191),
];

/// The directory of one processor: each is a core of its own in one package.
pub(super) static PROCESSOR: &[Entry] = &[Entry::directory("topology", TOPOLOGY)];

static TOPOLOGY: &[Entry] = &[
    Entry::file("core_id", processor_number),
    constant!("physical_package_id", 0),
    constant!("die_id", 0),
    Entry::file("thread_siblings", own_mask),
    Entry::file("thread_siblings_list", processor_number),
    Entry::file("core_cpus", own_mask),
    Entry::file("core_cpus_list", processor_number),
    Entry::file("core_siblings", processor_mask),
    Entry::file("core_siblings_list", processors),
    Entry::file("package_cpus", processor_mask),
    Entry::file("package_cpus_list", processors),
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
    mask(&ProcessorSet::all(), text);
    Ok(())
}

fn processor_number(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.line(format_args!("{}", context.subject.processor));
    Ok(())
}

fn own_mask(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    mask(&ProcessorSet::one(context.subject.processor), text);
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
