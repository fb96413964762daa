//! A guest process: what its threads share.

use crate::kernel::Kernel;
use crate::signal::{Actions, Pending, Signal, SignalSet};
use crate::task::{Limits, ProcessMemory, TICK_NS, Thread};
use crate::time::ProcessTimers;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::credentials::Credentials;
use capsid_core::sync::Mutex;
use capsid_core::tty::Terminal;
use capsid_core::wait::WaitQueue;
use capsid_platform::{Clock, platform};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// A guest process (a thread group, in Linux's words).
///
/// Its place in the tree of processes (parent, group, session) is changed only under the lock of
/// [`Kernel::tree`]; the lock of `state` is taken inside that one.
#[derive(Debug)]
pub struct Process {
    /// The process id.
    pub id: u32,
    /// The sandbox's kernel.
    pub kernel: Arc<Kernel>,
    pub(super) parent_id: AtomicU32,
    pub(super) group_id: AtomicU32,
    pub(super) session_id: AtomicU32,
    /// Threads, signals, and how the process ends.
    pub(crate) state: Mutex<ProcessState>,
    /// What signals do (shared by `CLONE_SIGHAND`).
    pub(crate) actions: Mutex<Arc<Actions>>,
    /// The memory (shared by `CLONE_VM`).
    pub(crate) memory: Mutex<Arc<ProcessMemory>>,
    /// Resource limits.
    pub limits: Limits,
    /// Who waits for a child to change state.
    pub(crate) children_queue: WaitQueue,
    /// Who waits for this process to end: pidfds.
    pub exit_queue: WaitQueue,
    /// The signal the parent gets at the end; 0 for none.
    pub(crate) exit_signal: AtomicU32,
    /// `PR_SET_CHILD_SUBREAPER`.
    pub(crate) adopts_orphans: AtomicBool,
    /// `PR_SET_PDEATHSIG`; 0 for none.
    pub(crate) parent_death_signal: AtomicU32,
    /// `PR_SET_DUMPABLE`.
    pub(crate) dumpable: AtomicU32,
    /// Counters for getrusage(2) and times(2).
    pub usage: Usage,
    /// The real user id, as its parent is told at its end.
    pub(crate) last_user: AtomicU32,
    /// personality(2).
    pub(crate) personality: AtomicU32,
    /// Interval and POSIX timers.
    pub(crate) timers: ProcessTimers,
    /// `nice` value plus 20.
    pub(crate) niceness: AtomicU32,
    /// The controlling terminal; see [`Process::terminal`].
    pub(crate) terminal: Mutex<Option<Arc<dyn Terminal>>>,
}

/// CPU time and when the process began.
#[derive(Debug, Default)]
pub struct Usage {
    /// Monotonic time of its start, in nanoseconds.
    pub started_ns: u64,
    /// What the host's process had used when this one began in it.
    pub(crate) cpu_base_ns: AtomicU64,
    /// What it had used at its end, or at an exec that moved it.
    pub(crate) cpu_done_ns: AtomicU64,
    /// What children used that were waited for.
    pub(crate) children_cpu_ns: AtomicU64,
    /// What of its time is known to be the system's: that of making processes and loading
    /// programs. Telling the rest apart would cost each call more than it takes.
    pub(crate) system_ns: AtomicU64,
    /// The same of the children.
    pub(crate) children_system_ns: AtomicU64,
}

/// How a process ends, wait(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus(pub u32);

impl ExitStatus {
    /// exit(2) with a code.
    #[must_use]
    pub fn exited(code: u32) -> ExitStatus {
        ExitStatus((code & 0xff) << 8)
    }

    /// Killed by a signal.
    #[must_use]
    pub fn killed(signal: Signal, core: bool) -> ExitStatus {
        ExitStatus(u32::from(signal.number()) | if core { 0x80 } else { 0 })
    }

    /// The number of the signal that killed it, or 0.
    #[must_use]
    pub fn signal(self) -> u32 {
        self.0 & 0x7f
    }
}

/// What the lock of a process guards.
#[derive(Debug, Default)]
pub struct ProcessState {
    /// The live threads; the first is the leader until it ends.
    pub(crate) threads: Vec<Arc<Thread>>,
    /// Signals for the process.
    pub(crate) pending: Pending,
    /// The process is ending, with this status.
    pub(crate) exit: Option<ExitStatus>,
    /// The process is stopped, by this signal.
    pub(crate) stopped: Option<Signal>,
    /// How many of the threads have let go of what others wait for, and are about to go.
    pub(crate) leaving: usize,
    /// A thread is replacing the program: all others must end.
    pub(crate) executing: bool,
}

impl ProcessState {
    /// Whether `thread` has something to do before its guest goes on.
    #[must_use]
    pub fn needs_attention(&self, thread: &Thread) -> bool {
        self.exit.is_some()
            || self.stopped.is_some()
            || thread.is_attached.load(Ordering::Relaxed)
            || thread.must_end.load(Ordering::Relaxed)
            || !self.deliverable(thread).is_empty()
    }

    /// The pending signals that `thread` does not block.
    #[must_use]
    pub fn deliverable(&self, thread: &Thread) -> SignalSet {
        (self.pending.set() | thread.pending.lock().set()) & !thread.blocked()
    }

    /// Makes all threads look up.
    pub fn notify_all(&self) {
        for thread in &self.threads {
            thread.notify();
        }
    }
}

/// CPU time of the program and of the system for it, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// The program's.
    pub user_ns: u64,
    /// The system's.
    pub system_ns: u64,
}

impl CpuTimes {
    /// Splits `total_ns`.
    #[must_use]
    pub fn split(total_ns: u64, system_ns: u64) -> CpuTimes {
        let system_ns = system_ns.min(total_ns);
        CpuTimes {
            user_ns: total_ns - system_ns,
            system_ns,
        }
    }

    /// In clock ticks, of the program and of the system.
    #[must_use]
    pub fn ticks(self) -> [u64; 2] {
        [self.user_ns / TICK_NS, self.system_ns / TICK_NS]
    }
}

impl Usage {
    /// What the process used until its end.
    #[must_use]
    pub fn done(&self) -> CpuTimes {
        let load = |time: &AtomicU64| time.load(Ordering::Relaxed);
        CpuTimes::split(load(&self.cpu_done_ns), load(&self.system_ns))
    }

    /// What children used that were waited for.
    #[must_use]
    pub fn children(&self) -> CpuTimes {
        let load = |time: &AtomicU64| time.load(Ordering::Relaxed);
        CpuTimes::split(load(&self.children_cpu_ns), load(&self.children_system_ns))
    }
}

impl Process {
    /// The CPU time used so far, as [`Process::cpu_ns`] knows it.
    #[must_use]
    pub fn cpu_times(&self, caller: &Process) -> CpuTimes {
        CpuTimes::split(
            self.cpu_ns(caller),
            self.usage.system_ns.load(Ordering::Relaxed),
        )
    }

    /// Runs `action`, and counts the CPU time that passes as the system's.
    pub fn as_system<T>(&self, action: impl FnOnce() -> T) -> T {
        let before = platform().now(Clock::ProcessCpu);
        let result = action();
        let used = platform().now(Clock::ProcessCpu).saturating_sub(before);
        self.usage.system_ns.fetch_add(used, Ordering::Relaxed);
        result
    }

    /// Makes the first process.
    #[must_use]
    pub fn first(kernel: Arc<Kernel>, memory: Arc<ProcessMemory>, limits: Limits) -> Arc<Process> {
        let id = crate::kernel::FIRST_PROCESS;
        Arc::new(Process {
            id,
            parent_id: AtomicU32::new(0),
            group_id: AtomicU32::new(id),
            session_id: AtomicU32::new(id),
            state: Mutex::new(ProcessState::default()),
            actions: Mutex::default(),
            memory: Mutex::new(memory),
            limits,
            children_queue: WaitQueue::new(),
            exit_queue: WaitQueue::new(),
            exit_signal: AtomicU32::new(Signal::CHLD.number().into()),
            adopts_orphans: AtomicBool::new(false),
            parent_death_signal: AtomicU32::new(0),
            dumpable: AtomicU32::new(1),
            usage: Usage {
                started_ns: kernel.started_ns,
                ..Usage::default()
            },
            last_user: AtomicU32::new(0),
            personality: AtomicU32::new(0),
            timers: ProcessTimers::default(),
            niceness: AtomicU32::new(20),
            terminal: Mutex::new(None),
            kernel,
        })
    }

    /// The parent's process id; 0 if there is none.
    #[must_use]
    pub fn parent_id(&self) -> u32 {
        self.parent_id.load(Ordering::Relaxed)
    }

    /// The process group's id.
    #[must_use]
    pub fn group_id(&self) -> u32 {
        self.group_id.load(Ordering::Relaxed)
    }

    /// The session's id.
    #[must_use]
    pub fn session_id(&self) -> u32 {
        self.session_id.load(Ordering::Relaxed)
    }

    /// The memory.
    #[must_use]
    pub fn memory(&self) -> Arc<ProcessMemory> {
        self.memory.lock().clone()
    }

    /// The controlling terminal.
    #[must_use]
    pub fn terminal(&self) -> Option<Arc<dyn Terminal>> {
        self.terminal.lock().clone()
    }

    /// What signals do.
    #[must_use]
    pub fn actions(&self) -> Arc<Actions> {
        self.actions.lock().clone()
    }

    /// Who the process acts as: the credentials of its first thread; `None` once it has ended.
    #[must_use]
    pub fn credentials(&self) -> Option<Arc<Credentials>> {
        let first = self.state.lock().threads.first().cloned()?;
        Some(first.credentials())
    }

    /// The live threads.
    #[must_use]
    pub fn threads(&self) -> Vec<Arc<Thread>> {
        self.state.lock().threads.clone()
    }

    /// The CPU time used so far, in nanoseconds. The host knows it of the calling process; of
    /// another one that has not ended, nothing is known.
    #[must_use]
    pub fn cpu_ns(&self, caller: &Process) -> u64 {
        if !core::ptr::eq(self, caller) {
            return self.usage.cpu_done_ns.load(Ordering::Relaxed);
        }
        platform()
            .now(Clock::ProcessCpu)
            .saturating_sub(self.usage.cpu_base_ns.load(Ordering::Relaxed))
    }
}
