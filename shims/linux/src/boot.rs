//! The sandbox's start: the tree of files, the first process and its program.

use crate::entry::Task;
use crate::exec::{self, Prepared, Request};
use crate::files::{Descriptor, DescriptorFlags, DescriptorTable, FsContext};
use crate::kernel::{FIRST_PROCESS, Kernel};
use crate::posix_queue::PosixQueues;
use crate::signal::{Signal, SignalInfo, SignalSet, send_to_process};
use crate::sysv::Ipc;
use crate::task::{
    ExitStatus, Limits, NAME_BYTES, Process, ProcessMemory, Scheduling, Thread, ThreadSeed, Tree,
};
use crate::terminal::{deliver, register_drivers, signal_group};
use crate::time::TimerQueue;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::credentials::Credentials;
use capsid_core::fs::stdio::StandardStream;
use capsid_core::fs::{LookupFlags, MountNamespace, OpenFile, Path, Place, StatusFlags, View};
use capsid_core::host_events::{self, SignalOrigin};
use capsid_core::memory::AddressSpace;
use capsid_core::sync::{Mutex, RwLock};
use capsid_core::tty::host::{self, HostTerminalFile};
use capsid_core::tty::{self, Terminal};
use capsid_platform::{Clock, GuestThread, HostTimer, Registers, platform};
use capsid_wire::BootConfig;
use core::sync::atomic::AtomicU64;

mod root;

/// Exit codes of a program that could not be started, as `docker run` has them.
const NOT_EXECUTABLE: u32 = 126;
const NOT_FOUND: u32 = 127;
/// `PATH` of a program whose environment has none.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The umask of the first process.
const UMASK: u32 = 0o022;

static KERNEL: spin::Once<Arc<Kernel>> = spin::Once::new();

/// Makes the sandbox's first guest thread from the boot configuration.
pub fn boot() -> Result<Box<dyn GuestThread>, Errno> {
    let config = &platform().info().boot;
    crate::trace::start(config);
    let thread = start(config)?;
    let kernel = thread.process.kernel.clone();
    KERNEL.call_once(|| kernel);
    host_events::on_signal(forward_signal);
    tty::on_signal(|addressee, signal| {
        if let Some(kernel) = KERNEL.get() {
            deliver(kernel, addressee, signal);
        }
    });
    Ok(Box::new(Task::booting(thread)))
}

/// The kernel of the sandbox, once it has booted.
pub(crate) fn kernel() -> Option<Arc<Kernel>> {
    KERNEL.get().cloned()
}

/// Makes a kernel with the files that are configured, and its first thread, which has no program
/// yet. Without [`boot`], no signal of the host reaches it: for tests.
pub fn start(config: &BootConfig) -> Result<Arc<Thread>, Errno> {
    register_drivers();
    let namespace = root::build(config)?;
    let credentials = Credentials::new(config.user, config.group);
    let kernel = Arc::new(Kernel {
        tree: Mutex::new(Tree::default()),
        names: RwLock::new((config.hostname.clone(), String::from("(none)"))),
        timers: TimerQueue::new(Clock::Monotonic, HostTimer::Real),
        task_limit: usize::try_from(config.process_limit).unwrap_or(usize::MAX),
        started_ns: platform().now(Clock::Monotonic),
        forks: AtomicU64::new(0),
        ipc: Ipc::new(),
        queues: PosixQueues::default(),
        namespace,
    });
    root::mount_procfs(&kernel)?;
    let root = kernel.namespace.root();
    let directory = root::working_directory(&kernel.namespace, &root, config, &credentials)?;
    let fs = FsContext::new(root, directory, UMASK);
    first_thread(&kernel, config, fs, credentials)
}

fn first_thread(
    kernel: &Arc<Kernel>,
    config: &BootConfig,
    fs: FsContext,
    credentials: Credentials,
) -> Result<Arc<Thread>, Errno> {
    let id = kernel.tree.lock().new_id()?;
    debug_assert_eq!(id, FIRST_PROCESS, "the tree was empty");
    let memory = Arc::new(ProcessMemory::new(AddressSpace::new(0)));
    let process = Process::first(
        kernel.clone(),
        memory,
        Limits::initial(config.process_limit),
    );
    let seed = ThreadSeed {
        files: Arc::new(standard_streams(&kernel.namespace)?),
        fs: Arc::new(fs),
        credentials: Arc::new(credentials),
        blocked: SignalSet::EMPTY,
        name: [0; NAME_BYTES],
        no_new_privileges: false,
        scheduling: Scheduling::default(),
    };
    let thread = Thread::new(id, process.clone(), seed);
    if let Some(terminal) = host::terminal() {
        // As a shell has its jobs: the first process is in the foreground.
        terminal.jobs().take(id, id);
        *process.terminal.lock() = Some(terminal);
    }
    process.state.lock().threads.push(thread.clone());
    let mut tree = kernel.tree.lock();
    tree.add_process(process, 0);
    tree.add_thread(&thread);
    Ok(thread)
}

/// Descriptors 0, 1 and 2, as far as the host has them.
fn standard_streams(namespace: &MountNamespace) -> Result<DescriptorTable, Errno> {
    let table = DescriptorTable::default();
    for (number, stream) in StandardStream::ALL.into_iter().enumerate() {
        if !stream.is_open() {
            continue;
        }
        let flags = match number {
            _ if stream.is_terminal() => StatusFlags::READ_WRITE,
            0 => StatusFlags::empty(),
            _ => StatusFlags::WRITE_ONLY,
        };
        let flags = flags | StatusFlags::LARGEFILE;
        let file = match HostTerminalFile::of(stream) {
            Some(terminal) => OpenFile::at(Arc::new(terminal), flags, terminal_path(namespace)?),
            None => OpenFile::new(Arc::new(stream), flags),
        };
        let descriptor = Descriptor::new(file, DescriptorFlags::empty());
        let fd = i32::try_from(number).map_err(|_| Errno::EMFILE)?;
        table.replace(fd, descriptor)?;
    }
    Ok(table)
}

/// Where the host's terminal has its name.
fn terminal_path(namespace: &MountNamespace) -> Result<Path, Errno> {
    let root = namespace.root();
    let credentials = Credentials::new(0, 0);
    let view = view(namespace, &root, &credentials);
    view.resolve(place(&root, b"/dev/pts/0"), LookupFlags::empty())
}

/// A signal that capsid got: for the first process, or for the terminal's foreground group.
fn forward_signal(number: u32, origin: SignalOrigin) {
    let Some(kernel) = KERNEL.get() else {
        return;
    };
    let Ok(signal) = Signal::new(number.cast_signed()) else {
        return;
    };
    let first = || {
        if let Some(first) = kernel.process(FIRST_PROCESS) {
            // Only queued signals can find no room.
            let _ = send_to_process(&first, SignalInfo::kernel(signal));
        }
    };
    let terminal = host::terminal().filter(|_| origin == SignalOrigin::Terminal);
    let Some(terminal) = terminal else {
        first();
        return;
    };
    if [Signal::WINCH, Signal::CONT].contains(&signal) {
        terminal.changed_outside();
    }
    match signal {
        // The whole of what was stopped with the first process goes on.
        Signal::CONT => {
            if let Some(first) = kernel.process(FIRST_PROCESS) {
                signal_group(kernel, first.group_id(), signal);
            }
        }
        Signal::HUP => {
            first();
            signal_group(kernel, terminal.jobs().foreground(), signal);
        }
        _ => signal_group(kernel, terminal.jobs().foreground(), signal),
    }
}

/// Loads the first program; if that fails, says why and gives the sandbox's exit status.
pub fn load(thread: &Arc<Thread>, registers: &mut Registers) -> Result<(), ExitStatus> {
    let config = &platform().info().boot;
    let program = config.arguments.first().cloned().unwrap_or_default();
    match find(thread, &program) {
        Ok(prepared) => {
            exec::commit(thread, registers, *prepared);
            Ok(())
        }
        Err(error) => {
            let shown = String::from_utf8_lossy(&program).into_owned();
            let (code, reason) = match error {
                Errno::ENOENT if program.contains(&b'/') => (NOT_FOUND, "no such file"),
                Errno::ENOENT => (NOT_FOUND, "not found in PATH"),
                Errno::ENOTDIR => (NOT_FOUND, "part of the path is no directory"),
                Errno::EACCES => (NOT_EXECUTABLE, "permission denied"),
                Errno::ENOEXEC => (NOT_EXECUTABLE, "not an executable for this machine"),
                _ => (
                    NOT_EXECUTABLE,
                    error.name().unwrap_or("it cannot be executed"),
                ),
            };
            host_events::show(&format!("cannot run {shown:?}: {reason}"));
            Err(ExitStatus::exited(code))
        }
    }
}

/// Looks a program up as a shell would.
fn find(thread: &Thread, program: &[u8]) -> Result<Box<Prepared>, Errno> {
    if program.is_empty() {
        return Err(Errno::ENOENT);
    }
    if program.contains(&b'/') {
        return try_path(thread, program.to_vec());
    }
    let environment = &platform().info().boot.environment;
    let path = environment
        .iter()
        .find_map(|entry| entry.strip_prefix(b"PATH="))
        .unwrap_or(DEFAULT_PATH);
    let mut failure = Errno::ENOENT;
    for directory in path.split(|byte| *byte == b':') {
        let directory = if directory.is_empty() {
            b"."
        } else {
            directory
        };
        let candidate = [directory, b"/", program].concat();
        match try_path(thread, candidate) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => failure = Errno::EACCES,
            result => return result,
        }
    }
    Err(failure)
}

fn try_path(thread: &Thread, path: Vec<u8>) -> Result<Box<Prepared>, Errno> {
    let config = &platform().info().boot;
    exec::prepare(
        thread,
        Request {
            start: None,
            descriptor: None,
            path,
            flags: LookupFlags::FOLLOW,
            arguments: config.arguments.clone(),
            environment: config.environment.clone(),
        },
    )
}

/// A view of the tree for the start.
fn view<'a>(
    namespace: &'a MountNamespace,
    root: &'a Path,
    credentials: &'a Credentials,
) -> View<'a> {
    View {
        namespace,
        root,
        credentials,
        umask: 0,
    }
}

/// A path from the root.
fn place<'a>(root: &'a Path, path: &'a [u8]) -> Place<'a> {
    Place::new(root, path)
}
