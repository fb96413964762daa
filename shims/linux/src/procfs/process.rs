//! `/proc/pid`: the table of a process's files, and the short ones.

use crate::procfs::entry::{Context, Entry, Node, Target};
use crate::procfs::text::Text;
use crate::procfs::{limits, mappings, mounts, net, status};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_platform::{GuestAddr, platform};

/// Of the arguments and the environment this much is shown.
const STRINGS_BYTES_MAX: usize = 2 << 20;

/// What a process's directory has.
pub(super) static ENTRIES: &[Entry] = &[
    Entry::new("fd", 0o500, Node::Descriptors),
    Entry::new("fdinfo", 0o555, Node::DescriptorInfos),
    Entry::new("task", 0o555, Node::Threads),
    Entry::directory("net", net::ENTRIES),
    Entry::new("ns", 0o511, Node::Directory(NAMESPACES)),
    Entry::private("environ", environ),
    Entry::private("auxv", auxv),
    Entry::file("status", status::status),
    Entry::file("stat", status::stat),
    Entry::file("statm", status::statm),
    Entry::file("cmdline", cmdline),
    Entry::writable("comm", comm, set_comm),
    Entry::link("cwd", cwd),
    Entry::link("root", root),
    Entry::link("exe", exe),
    Entry::file("maps", mappings::maps),
    Entry::file("smaps", mappings::smaps),
    Entry::file("smaps_rollup", mappings::smaps_rollup),
    Entry::file("mounts", mounts::mounts),
    Entry::file("mountinfo", mounts::mountinfo),
    Entry::file("limits", limits::limits),
    Entry::file("cgroup", cgroup),
    Entry::file("schedstat", schedstat),
    Entry::private("io", io),
    Entry::private("personality", personality),
    Entry::private("syscall", syscall),
    Entry::file("wchan", wchan),
    Entry::file("oom_score", zero),
    Entry::writable("oom_score_adj", zero_line, ignore),
    Entry::writable("oom_adj", zero_line, ignore),
    Entry::writable("loginuid", loginuid, ignore),
    Entry::file("sessionid", loginuid),
    Entry::writable("coredump_filter", coredump_filter, ignore),
    Entry::file("uid_map", id_map),
    Entry::file("gid_map", id_map),
    Entry::file("setgroups", setgroups),
];

/// What a thread's directory has.
pub(super) static THREAD_ENTRIES: &[Entry] = &[
    Entry::new("fd", 0o500, Node::Descriptors),
    Entry::new("fdinfo", 0o555, Node::DescriptorInfos),
    Entry::private("environ", environ),
    Entry::private("auxv", auxv),
    Entry::file("status", status::status),
    Entry::file("stat", status::stat),
    Entry::file("statm", status::statm),
    Entry::file("cmdline", cmdline),
    Entry::writable("comm", comm, set_comm),
    Entry::link("cwd", cwd),
    Entry::link("root", root),
    Entry::link("exe", exe),
    Entry::file("maps", mappings::maps),
    Entry::file("mounts", mounts::mounts),
    Entry::file("mountinfo", mounts::mountinfo),
    Entry::file("limits", limits::limits),
    Entry::file("cgroup", cgroup),
    Entry::file("schedstat", schedstat),
    Entry::file("wchan", wchan),
    Entry::file("children", children),
];

/// One of each kind, which all processes are in.
static NAMESPACES: &[Entry] = &[
    Entry::link("cgroup", |_| namespace("cgroup", 5)),
    Entry::link("ipc", |_| namespace("ipc", 1)),
    Entry::link("mnt", |_| namespace("mnt", 2)),
    Entry::link("net", |_| namespace("net", 6)),
    Entry::link("pid", |_| namespace("pid", 4)),
    Entry::link("time", |_| namespace("time", 7)),
    Entry::link("user", |_| namespace("user", 3)),
    Entry::link("uts", |_| namespace("uts", 8)),
];

fn namespace(kind: &str, number: u32) -> Result<Target, Errno> {
    // Linux numbers its first namespaces from here.
    let number = 0xf000_0000 + number;
    Ok(Target::Text(format!("{kind}:[{number}]").into_bytes()))
}

/// Reads the strings that lie at `range` now, or those of exec where they cannot be read.
fn strings(context: &Context<'_>, range: (u64, u64), at_exec: &[u8]) -> Result<Vec<u8>, Errno> {
    let process = context.process()?;
    if !context.is_own_memory(&process) {
        return Ok(at_exec.to_vec());
    }
    let length = usize::try_from(range.1.saturating_sub(range.0)).unwrap_or(0);
    let mut bytes = vec![0; length.min(STRINGS_BYTES_MAX)];
    let copied = platform().copy_from_guest(&mut bytes, GuestAddr(range.0));
    bytes.truncate(copied);
    Ok(bytes)
}

fn is_zombie(context: &Context<'_>) -> Result<bool, Errno> {
    Ok(context.process()?.state.lock().threads.is_empty())
}

fn cmdline(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    if is_zombie(context)? {
        return Ok(());
    }
    let memory = context.process()?.memory();
    let program = memory.program.lock().clone();
    let bytes = strings(context, program.arguments, &program.argument_strings)?;
    text.bytes(&bytes);
    Ok(())
}

fn environ(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    if is_zombie(context)? {
        return Ok(());
    }
    let memory = context.process()?.memory();
    let program = memory.program.lock().clone();
    let bytes = strings(context, program.environment, &program.environment_strings)?;
    text.bytes(&bytes);
    Ok(())
}

fn auxv(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let memory = context.process()?.memory();
    let auxiliary = memory.program.lock().auxiliary.clone();
    for (kind, value) in auxiliary {
        text.bytes(&kind.to_le_bytes());
        text.bytes(&value.to_le_bytes());
    }
    Ok(())
}

fn comm(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(&status::name(context)?);
    text.bytes(b"\n");
    Ok(())
}

fn set_comm(context: &Context<'_>, name: &[u8]) -> Result<(), Errno> {
    let name = name.strip_suffix(b"\n").unwrap_or(name);
    context.thread()?.set_name(name);
    Ok(())
}

fn cwd(context: &Context<'_>) -> Result<Target, Errno> {
    let thread = context.thread().map_err(|_| Errno::ENOENT)?;
    let path = thread.fs().places().directory.clone();
    Ok(Target::Place(path))
}

fn root(context: &Context<'_>) -> Result<Target, Errno> {
    let thread = context.thread().map_err(|_| Errno::ENOENT)?;
    let path = thread.fs().places().root.clone();
    Ok(Target::Place(path))
}

fn exe(context: &Context<'_>) -> Result<Target, Errno> {
    if is_zombie(context)? {
        return Err(Errno::ENOENT);
    }
    let memory = context.process()?.memory();
    let executable = memory.program.lock().executable.clone();
    executable.map(Target::Place).ok_or(Errno::ENOENT)
}

fn cgroup(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"0::/\n");
    Ok(())
}

fn schedstat(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.line(format_args!("{} 0 1", status::cpu_ns(context)?));
    Ok(())
}

fn io(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    for name in [
        "rchar",
        "wchar",
        "syscr",
        "syscw",
        "read_bytes",
        "write_bytes",
        "cancelled_write_bytes",
    ] {
        text.line(format_args!("{name}: 0"));
    }
    Ok(())
}

fn personality(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"00000000\n");
    Ok(())
}

fn syscall(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"running\n");
    Ok(())
}

fn wchan(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"0");
    Ok(())
}

fn zero(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"0\n");
    Ok(())
}

fn zero_line(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    zero(context, text)
}

/// Takes a number that changes nothing here.
fn ignore(_context: &Context<'_>, bytes: &[u8]) -> Result<(), Errno> {
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    let text = text.trim();
    let digits = text.strip_prefix("0x").unwrap_or(text);
    i64::from_str_radix(digits, 16).map_err(|_| Errno::EINVAL)?;
    Ok(())
}

fn loginuid(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    // Not set.
    text.bytes(b"4294967295");
    Ok(())
}

fn coredump_filter(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"00000033\n");
    Ok(())
}

fn id_map(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.line(format_args!("{:>10} {:>10} {:>10}", 0, 0, u32::MAX));
    Ok(())
}

fn setgroups(_context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    text.bytes(b"allow\n");
    Ok(())
}

fn children(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let tree = context.kernel.tree.lock();
    let node = tree.node(context.subject.process).ok_or(Errno::ESRCH)?;
    for child in &node.children {
        let made_here = tree
            .node(*child)
            .is_some_and(|child| child.maker == context.subject.thread);
        if made_here {
            text.add(format_args!("{child} "));
        }
    }
    Ok(())
}
