//! `/proc/pid/stat`, `status` and `statm`.

use crate::procfs::entry::Context;
use crate::procfs::subject::caller;
use crate::procfs::text::Text;
use crate::task::{CpuTimes, Process, ProcessorSet, Resource, TICK_NS, Thread};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_platform::{PAGE_SIZE, platform};
use core::sync::atomic::Ordering;

/// Without a word from the host, at most this many bytes count as resident.
const RESIDENT_BYTES_MAX: u64 = 64 << 20;

/// The name of the thread, or of a zombie's program.
pub(super) fn name(context: &Context<'_>) -> Result<Vec<u8>, Errno> {
    if let Ok(thread) = context.thread() {
        return Ok(thread.name());
    }
    let memory = context.process()?.memory();
    let executable = memory.program.lock().executable.clone();
    let mut name = executable.map_or_else(Vec::new, |path| path.dentry().name().to_vec());
    name.truncate(crate::task::NAME_BYTES - 1);
    Ok(name)
}

/// The CPU time of the process, in nanoseconds.
pub(super) fn cpu_ns(context: &Context<'_>) -> Result<u64, Errno> {
    let times = cpu_times(context)?;
    Ok(times.user_ns + times.system_ns)
}

fn cpu_times(context: &Context<'_>) -> Result<CpuTimes, Errno> {
    let process = context.process()?;
    let caller = caller(context.kernel).map(|thread| thread.process.clone());
    Ok(process.cpu_times(&caller.unwrap_or_else(|| process.clone())))
}

/// The state's letter and name.
fn run_state(context: &Context<'_>, process: &Process) -> (char, &'static str) {
    let state = process.state.lock();
    if state.threads.is_empty() {
        ('Z', "zombie")
    } else if state.stopped.is_some() {
        ('T', "stopped")
    } else {
        drop(state);
        let asks = caller(context.kernel).is_some_and(|caller| caller.process.id == process.id);
        if asks {
            ('R', "running")
        } else {
            ('S', "sleeping")
        }
    }
}

/// Bytes mapped, and an estimate of those resident: the host does not say.
struct Sizes {
    mapped: u64,
    data: u64,
    locked: u64,
    resident: u64,
    text: u64,
}

fn sizes(process: &Process, zombie: bool) -> Sizes {
    let memory = process.memory();
    let space = &memory.space;
    if zombie {
        return Sizes {
            mapped: 0,
            data: 0,
            locked: 0,
            resident: 0,
            text: 0,
        };
    }
    let (start, end) = memory.program.lock().code;
    let mapped = space.mapped_bytes();
    Sizes {
        mapped,
        data: space.data_bytes(),
        locked: space.locked_bytes(),
        resident: mapped.min(RESIDENT_BYTES_MAX) / 2,
        text: end.saturating_sub(start),
    }
}

pub(super) fn stat(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let process = context.process()?;
    let thread = context.thread().ok();
    let (letter, _) = run_state(context, &process);
    let id = match context.subject.thread {
        0 => process.id,
        id => id,
    };
    let sizes = sizes(&process, letter == 'Z');
    let memory = process.memory();
    let program = memory.program.lock().clone();
    let [user, system] = cpu_times(context)?.ticks();
    let [children_user, children_system] = process.usage.children().ticks();
    let started = process
        .usage
        .started_ns
        .saturating_sub(context.kernel.started_ns)
        / TICK_NS;
    let threads = process.threads().len();
    let nice = i64::from(process.niceness.load(Ordering::Relaxed)) - 20;
    let resident_pages = sizes.resident / PAGE_SIZE as u64;
    let pending = process.state.lock().pending.set().0;
    let (ignored, caught) = process.actions().ignored_and_caught();
    let blocked = thread.map_or(0, |thread| thread.blocked().0);
    let (device, foreground) = match process.terminal() {
        Some(terminal) => {
            let foreground = terminal.jobs().foreground();
            (terminal.device().encode(), i64::from(foreground))
        }
        None => (0, -1),
    };
    text.add(format_args!("{id} ("));
    text.bytes(&name(context)?);
    text.add(format_args!(
        ") {letter} {} {} {} {device} {foreground} 4194304 0 0 0 0 ",
        process.parent_id(),
        process.group_id(),
        process.session_id(),
    ));
    text.add(format_args!(
        "{user} {system} {children_user} {children_system} {} {nice} {threads} 0 {started} {} {resident_pages} {} ",
        20 + nice,
        sizes.mapped,
        u64::MAX,
    ));
    text.add(format_args!(
        "{} {} {} 0 0 {} {} {} {} 0 0 0 {} 0 0 0 0 0 ",
        program.code.0,
        program.code.1,
        program.stack_start,
        pending & 0x7fff_ffff,
        blocked & 0x7fff_ffff,
        ignored.0 & 0x7fff_ffff,
        caught.0 & 0x7fff_ffff,
        process.exit_signal.load(Ordering::Relaxed),
    ));
    text.line(format_args!(
        "{} {} {} {} {} {} {} 0",
        program.data.0,
        program.data.1,
        program.heap_start,
        program.arguments.0,
        program.arguments.1,
        program.environment.0,
        program.environment.1,
    ));
    Ok(())
}

pub(super) fn statm(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let process = context.process()?;
    let zombie = process.state.lock().threads.is_empty();
    let sizes = sizes(&process, zombie);
    let pages = |bytes: u64| bytes.div_ceil(PAGE_SIZE as u64);
    text.line(format_args!(
        "{} {} {} {} 0 {} 0",
        pages(sizes.mapped),
        pages(sizes.resident),
        pages(sizes.resident / 2),
        pages(sizes.text),
        pages(sizes.data),
    ));
    Ok(())
}

pub(super) fn status(context: &Context<'_>, text: &mut Text) -> Result<(), Errno> {
    let process = context.process()?;
    let thread = context.thread().ok();
    let (letter, word) = run_state(context, &process);
    text.bytes(b"Name:\t");
    text.bytes(&name(context)?);
    text.bytes(b"\n");
    if let Some(thread) = &thread {
        text.line(format_args!("Umask:\t{:04o}", thread.fs().umask()));
    }
    let id = match context.subject.thread {
        0 => process.id,
        id => id,
    };
    text.line(format_args!("State:\t{letter} ({word})"));
    text.line(format_args!("Tgid:\t{}\nNgid:\t0\nPid:\t{id}", process.id));
    text.line(format_args!(
        "PPid:\t{}\nTracerPid:\t0",
        process.parent_id()
    ));
    if let Some(thread) = &thread {
        identity(thread, text);
    }
    text.line(format_args!(
        "NStgid:\t{}\nNSpid:\t{id}\nNSpgid:\t{}\nNSsid:\t{}",
        process.id,
        process.group_id(),
        process.session_id(),
    ));
    if letter != 'Z' {
        memory(&process, text);
    }
    signals(context, &process, thread.as_ref(), text);
    if let Some(thread) = &thread {
        privileges(thread, text);
        processors(&thread.scheduling.lock().processors, text);
    }
    text.bytes(b"voluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t0\n");
    Ok(())
}

fn identity(thread: &Arc<Thread>, text: &mut Text) {
    let credentials = thread.credentials();
    for (label, ids) in [("Uid", credentials.user), ("Gid", credentials.group)] {
        text.line(format_args!(
            "{label}:\t{}\t{}\t{}\t{}",
            ids.real, ids.effective, ids.saved, ids.file_system
        ));
    }
    text.line(format_args!("FDSize:\t{}", thread.files().size()));
    text.bytes(b"Groups:\t");
    for group in &*credentials.groups {
        text.add(format_args!("{group} "));
    }
    text.bytes(b"\n");
}

fn memory(process: &Process, text: &mut Text) {
    let sizes = sizes(process, false);
    for (label, bytes) in [
        ("VmPeak", sizes.mapped),
        ("VmSize", sizes.mapped),
        ("VmLck", sizes.locked),
        ("VmPin", 0),
        ("VmHWM", sizes.resident),
        ("VmRSS", sizes.resident),
        ("RssAnon", sizes.resident / 2),
        ("RssFile", sizes.resident / 2),
        ("RssShmem", 0),
        ("VmData", sizes.data),
        ("VmStk", 132 << 10),
        ("VmExe", sizes.text),
        ("VmLib", 0),
        ("VmPTE", 64 << 10),
        ("VmSwap", 0),
    ] {
        text.line(format_args!("{label}:\t{:>8} kB", bytes >> 10));
    }
}

fn signals(
    context: &Context<'_>,
    process: &Process,
    thread: Option<&Arc<Thread>>,
    text: &mut Text,
) {
    let _ = context;
    let (count, shared) = {
        let state = process.state.lock();
        (state.pending.len(), state.pending.set().0)
    };
    let (ignored, caught) = process.actions().ignored_and_caught();
    let own = thread.map_or(0, |thread| thread.pending.lock().set().0);
    let blocked = thread.map_or(0, |thread| thread.blocked().0);
    let limit = process.limits.soft(Resource::PendingSignals);
    text.line(format_args!("Threads:\t{}", process.threads().len().max(1)));
    text.line(format_args!("SigQ:\t{count}/{limit}"));
    for (label, set) in [
        ("SigPnd", own),
        ("ShdPnd", shared),
        ("SigBlk", blocked),
        ("SigIgn", ignored.0),
        ("SigCgt", caught.0),
    ] {
        text.line(format_args!("{label}:\t{set:016x}"));
    }
}

fn privileges(thread: &Thread, text: &mut Text) {
    let credentials = thread.credentials();
    for (label, set) in [
        ("CapInh", credentials.inheritable),
        ("CapPrm", credentials.permitted),
        ("CapEff", credentials.effective),
        ("CapBnd", credentials.bounding),
        ("CapAmb", credentials.ambient),
    ] {
        text.line(format_args!("{label}:\t{:016x}", set.bits()));
    }
    let no_new = thread.no_new_privileges.load(Ordering::Relaxed);
    text.line(format_args!(
        "NoNewPrivs:\t{}\nSeccomp:\t0\nSeccomp_filters:\t0",
        u8::from(no_new)
    ));
}

fn processors(set: &ProcessorSet, text: &mut Text) {
    text.bytes(b"Cpus_allowed:\t");
    mask(set, text);
    text.line(format_args!("Cpus_allowed_list:\t{}", ranges(set.iter())));
    text.bytes(b"Mems_allowed:\t1\nMems_allowed_list:\t0\n");
}

/// A line with a set of processors as Linux writes masks: words of 32 bits, the highest first, with
/// as many digits as there are processors for.
pub(super) fn mask(set: &ProcessorSet, text: &mut Text) {
    let count = platform().info().processors.max(1);
    let words = set.bytes().chunks_exact(4).map(|word| {
        let bytes = word.iter().rev();
        bytes.fold(0, |word, byte| word << 8 | u32::from(*byte))
    });
    let words: Vec<u32> = words.take(count.div_ceil(32) as usize).collect();
    let mut width = ((count - 1) % 32 / 4 + 1) as usize;
    let mut separator = "";
    for word in words.iter().rev() {
        text.add(format_args!("{separator}{word:0width$x}"));
        (separator, width) = (",", 8);
    }
    text.bytes(b"\n");
}

/// Ascending numbers as Linux lists them: `0-3,5`.
fn ranges(numbers: impl Iterator<Item = u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let texts = ranges.iter().map(|(first, last)| {
        if first == last {
            alloc::format!("{first}")
        } else {
            alloc::format!("{first}-{last}")
        }
    });
    texts.collect::<Vec<_>>().join(",")
}

/// The processors as Linux lists them: `0-3`.
pub(super) fn cpu_list() -> String {
    ranges(ProcessorSet::all().iter())
}
