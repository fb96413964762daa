//! The process calls that have no safe form: clone and what may run before exec, tgkill(2), and
//! waitid(2) with the process's number.

use capsid_platform_linux::boot::{FD_PROGRAM, KICK_SIGNAL};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// How many descriptors a new process gets.
pub const DESCRIPTORS: usize = FD_PROGRAM as usize + 1;

/// What the new process is and gets. All of it is made before the process is: until it
/// executes, it may not allocate or lock anything.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The program.
    pub program: BorrowedFd<'a>,
    /// What becomes descriptors 0 and up; `None` leaves a number closed.
    pub descriptors: [Option<BorrowedFd<'a>>; DESCRIPTORS],
    /// Resource limits, soft and hard alike.
    pub limits: &'a [(Resource, u64)],
    /// A user and group without rights to become, if the host lets us.
    pub unprivileged: Option<u32>,
    /// A Landlock ruleset to enforce.
    pub landlock: Option<BorrowedFd<'a>>,
    /// The `cgroup.procs` file to join.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making the process.
    Fork,
    /// Becoming a session of its own.
    Session,
    /// Asking to be killed with the broker.
    DeathSignal,
    /// Setting a resource limit.
    Limit,
    /// Arranging its descriptors.
    Descriptors,
    /// Giving up privileges.
    Privileges,
    /// Executing the program.
    Execute,
}

/// Every descriptor that the plan names is moved at or above this number first, so that putting
/// one in its place never overwrites another.
const SAFE_NUMBER: RawFd = 64;

/// The stack of a child between its making and its program's start: no call there goes deep.
const STACK_BYTES: usize = 64 << 10;

/// What a child works with. It shares its parent's memory until it executes, and reports there.
struct Child<'a> {
    plan: &'a Plan<'a>,
    program: RawFd,
    numbers: [RawFd; DESCRIPTORS],
    parent: Pid,
    failure: Option<(Step, Errno)>,
}

/// Starts the process. It becomes the leader of its own session and process group, and dies with
/// the calling thread.
///
/// The child borrows our memory, as that of vfork(2) does, since a copy of the broker's page
/// tables would be thrown away at once.
pub fn start(plan: &Plan<'_>) -> Result<Pid, (Step, Errno)> {
    let forking = |error| (Step::Fork, error);
    let above =
        |file: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(file, SAFE_NUMBER).map_err(forking);
    let program = above(plan.program)?;
    let mut moved = Vec::new();
    for file in plan.descriptors {
        moved.push(file.map(above).transpose()?);
    }
    let mut child = Child {
        plan,
        program: program.as_raw_fd(),
        numbers: std::array::from_fn(|i| moved[i].as_ref().map_or(-1, AsRawFd::as_raw_fd)),
        parent: rustix::process::getpid(),
        failure: None,
    };
    let mut stack = vec![std::mem::MaybeUninit::<u128>::uninit(); STACK_BYTES / 16];
    let dumpable = rustix::process::dumpable_behavior();
    let blocked = BlockedSignals::new();
    // SAFETY: the calling thread sleeps until the child has executed or exited, so that the stack
    // and `child` are the child's alone. No signal handler runs in it, and it calls nothing but
    // the async-signal-safe functions below.
    let pid = unsafe {
        libc::clone(
            run_child,
            stack.as_mut_ptr_range().end.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut child).cast(),
        )
    };
    drop(blocked);
    // The child's change of user closed our memory to others, while it was the child's too.
    if let Ok(dumpable) = dumpable {
        let _ = rustix::process::set_dumpable_behavior(dumpable);
    }
    let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else {
        return Err((Step::Fork, last_error()));
    };
    match child.failure {
        Some(failure) => {
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            Err(failure)
        }
        None => Ok(pid),
    }
}

/// The child's first function; returns, and with it the child ends, only on failure.
extern "C" fn run_child(child: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `start` passes its `Child`, which nobody else uses meanwhile.
    let child = unsafe { &mut *child.cast::<Child<'_>>() };
    child.failure = Some(in_child(child));
    127
}

/// All signals blocked in the calling thread, until this is dropped.
struct BlockedSignals(libc::sigset_t);

impl BlockedSignals {
    fn new() -> BlockedSignals {
        // SAFETY: the sets are plain data that the calls fill.
        unsafe {
            let mut all = std::mem::zeroed::<libc::sigset_t>();
            let mut before = std::mem::zeroed::<libc::sigset_t>();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            BlockedSignals(before)
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        let none = std::ptr::null_mut();
        // SAFETY: sets the mask that was there before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, none) };
    }
}

fn last_error() -> Errno {
    let number = std::io::Error::last_os_error().raw_os_error();
    number.map_or(Errno::IO, Errno::from_raw_os_error)
}

/// Makes -1 an error.
fn check(step: Step, result: impl Into<i64>) -> Result<(), (Step, Errno)> {
    if result.into() == -1 {
        Err((step, last_error()))
    } else {
        Ok(())
    }
}

/// Runs until the child executes its program; returns only on failure.
fn in_child(child: &Child<'_>) -> (Step, Errno) {
    match prepare(child.plan, &child.numbers, child.parent) {
        Ok(()) => {}
        Err(failure) => return failure,
    }
    let name = c"capsid-sandbox".as_ptr();
    let arguments = [name, std::ptr::null()];
    let environment = [std::ptr::null::<libc::c_char>()];
    // SAFETY: the arrays are null-terminated lists of C strings; on success nothing returns.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            child.program,
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    (Step::Execute, last_error())
}

fn prepare(plan: &Plan<'_>, numbers: &[RawFd], parent: Pid) -> Result<(), (Step, Errno)> {
    reset_signals();
    rustix::process::setsid().map_err(|error| (Step::Session, error))?;
    if let Some(procs) = plan.cgroup {
        // The host may refuse the move still; then the other limits stand alone.
        let _ = rustix::io::write(procs, b"0");
    }
    prefer_for_out_of_memory();
    for (resource, value) in plan.limits {
        let limit = Rlimit {
            current: Some(*value),
            maximum: Some(*value),
        };
        rustix::process::setrlimit(*resource, limit).map_err(|error| (Step::Limit, error))?;
    }
    for (target, number) in (0..).zip(numbers) {
        // SAFETY: numbers of this process only, which runs no code that owns them.
        let result = unsafe {
            match *number {
                -1 => {
                    // It may be closed already, which is just as well.
                    libc::close(target);
                    0
                }
                number => libc::dup2(number, target),
            }
        };
        check(Step::Descriptors, result)?;
    }
    // SAFETY: changes flags of descriptors only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            DESCRIPTORS,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    check(Step::Descriptors, result)?;
    // So that the sandbox keeps no directory of the user's busy.
    let _ = rustix::process::chdir(c"/");
    drop_privileges(plan)?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| (Step::DeathSignal, error))?;
    // The broker may have died before we asked.
    if rustix::process::getppid() != Some(parent) {
        return Err((Step::DeathSignal, Errno::SRCH));
    }
    Ok(())
}

/// Unblocks every signal, and restores those that Rust's runtime or the user's shell ignores.
fn reset_signals() {
    // SAFETY: sets dispositions of this single-threaded process to the default.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Makes the host's out-of-memory killer choose the sandbox before the user's own programs.
fn prefer_for_out_of_memory() {
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    // A host without the file just chooses by size.
    if let Ok(file) = rustix::fs::open(
        c"/proc/self/oom_score_adj",
        flags,
        rustix::fs::Mode::empty(),
    ) {
        let _ = rustix::io::write(&file, b"500");
    }
}

fn drop_privileges(plan: &Plan<'_>) -> Result<(), (Step, Errno)> {
    if let Some(id) = plan.unprivileged {
        // In a container that maps no such id the broker's own stays; the filter holds all the
        // same.
        // SAFETY: changes the credentials of this single-threaded process.
        unsafe {
            libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
            libc::syscall(libc::SYS_setresgid, id, id, id);
            libc::syscall(libc::SYS_setresuid, id, id, id);
        }
    }
    rustix::thread::set_no_new_privs(true).map_err(|error| (Step::Privileges, error))?;
    if let Some(ruleset) = plan.landlock {
        // SAFETY: takes a descriptor and no memory.
        let result =
            unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
        check(Step::Privileges, result)?;
    }
    Ok(())
}

/// Sends the kick signal to a thread. The caller has made sure that the process is a child of
/// ours that cannot be reaped meanwhile.
pub fn kick(process: i32, thread: i32) -> Result<(), Errno> {
    // SAFETY: takes no memory.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, KICK_SIGNAL) };
    if result == -1 {
        Err(last_error())
    } else {
        Ok(())
    }
}

/// A process that ended and waits to be reaped.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Its number.
    pub pid: Pid,
    /// Its exit code, or the negated signal that killed it.
    pub code: i32,
}

/// Waits until a child in the process group `group` has ended, and leaves it to be reaped:
/// `ECHILD` when there is none left.
pub fn wait_for_end(group: Pid) -> Result<Ended, Errno> {
    // SAFETY: siginfo_t is plain data, which the call fills.
    let (result, info) = unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        let group = group.as_raw_nonzero().get().unsigned_abs();
        let options = libc::WEXITED | libc::WNOWAIT;
        let result = libc::waitid(libc::P_PGID, group, &raw mut info, options);
        (result, info)
    };
    if result == -1 {
        return Err(last_error());
    }
    // SAFETY: waitid filled the fields of SIGCHLD.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(Ended {
        pid: Pid::from_raw(pid).ok_or(Errno::CHILD)?,
        code: if info.si_code == libc::CLD_EXITED {
            status
        } else {
            -status
        },
    })
}

/// Makes a Landlock ruleset that allows nothing, if the host has Landlock; with the version of its
/// interface.
pub fn landlock_ruleset() -> Option<(OwnedFd, i64)> {
    #[repr(C)]
    struct Attributes {
        files: u64,
        network: u64,
        scoped: u64,
    }
    const VERSION: u32 = 1;
    let none = std::ptr::null::<Attributes>();
    // SAFETY: asks for the version and passes no memory.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, VERSION) };
    // Which file rights each version of landlock(7) knows; later ones add to the first 13.
    let files = match version {
        ..=0 => return None,
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    };
    let attributes = Attributes {
        files,
        // Bind and connect.
        network: if version >= 4 { 3 } else { 0 },
        // Abstract Unix sockets and signals.
        scoped: if version >= 6 { 3 } else { 0 },
    };
    let size = match version {
        ..=3 => size_of::<u64>(),
        4 | 5 => 2 * size_of::<u64>(),
        _ => size_of::<Attributes>(),
    };
    // SAFETY: the structure is at least `size` bytes long.
    let ruleset = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const attributes,
            size,
            0,
        )
    };
    let number = RawFd::try_from(ruleset)
        .ok()
        .filter(|number| *number >= 0)?;
    // SAFETY: the call made the descriptor, and nobody else knows it.
    Some((unsafe { OwnedFd::from_raw_fd(number) }, version))
}

/// Lets all threads allocate from one heap. The broker's allocate little, and a heap for each costs
/// as many host calls as all else that a thread needs.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}
