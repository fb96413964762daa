//! Making threads and processes, clone(2), clone3(2), fork(2), vfork(2).

use crate::call::{After, Call};
use crate::entry::Task;
use crate::files::open_pidfd;
use crate::signal::Signal;
use crate::task::process::{ExitStatus, ProcessState, Usage};
use crate::task::{Process, ProcessMemory, Resource, Thread, ThreadSeed, UNLIMITED};
use alloc::boxed::Box;
use alloc::sync::Arc;
use bitflags::bitflags;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::fs::StatusFlags;
use capsid_core::sync::Mutex;
use capsid_core::wait::WaitQueue;
use capsid_platform::{Clock, GuestAddr, Registers, SpawnKind, platform};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

bitflags! {
    /// Flags of clone(2) and clone3(2), with Linux's bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CloneFlags: u64 {
        /// Share the memory.
        const MEMORY = 0x100;
        /// Share root, working directory and umask.
        const FS = 0x200;
        /// Share the descriptors.
        const FILES = 0x400;
        /// Share the signal actions.
        const ACTIONS = 0x800;
        /// Make a pidfd.
        const PIDFD = 0x1000;
        /// Go on being traced; nobody traces here.
        const TRACE = 0x2000;
        /// The parent waits until the child executes or ends.
        const VFORK = 0x4000;
        /// The caller's parent is the parent.
        const PARENT = 0x8000;
        /// A thread of the same process.
        const THREAD = 0x1_0000;
        /// A new mount namespace.
        const NEW_MOUNTS = 0x2_0000;
        /// Share what System V semaphores take back at the end: threads of a process always do.
        const SEMAPHORES = 0x4_0000;
        /// Set the thread pointer.
        const SET_TLS = 0x8_0000;
        /// Store the id in the parent's memory.
        const PARENT_SET_TID = 0x10_0000;
        /// Clear the id in the child's memory when it ends.
        const CHILD_CLEAR_TID = 0x20_0000;
        /// Nothing, historically.
        const DETACHED = 0x40_0000;
        /// The child cannot be traced.
        const UNTRACED = 0x80_0000;
        /// Store the id in the child's memory.
        const CHILD_SET_TID = 0x100_0000;
        /// New namespaces: cgroup, UTS, IPC, user, PID, network.
        const NEW_OTHERS = 0x7e00_0000;
        /// Share the I/O context; there is none.
        const IO = 0x8000_0000;
        /// Reset handled signals in the child.
        const CLEAR_ACTIONS = 0x1_0000_0000;
        /// Start in a cgroup.
        const INTO_CGROUP = 0x2_0000_0000;
        /// A new time namespace.
        const NEW_TIME = 0x80;
    }
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct CloneRequest {
    /// What to share.
    pub flags: CloneFlags,
    /// The signal the parent gets at the child's end.
    pub exit_signal: Option<Signal>,
    /// The child's stack pointer; null for the caller's.
    pub stack_pointer: u64,
    /// The thread pointer, for `SET_TLS`.
    pub thread_pointer: u64,
    /// Where the parent finds the id.
    pub parent_id_at: GuestAddr,
    /// Where the child finds its id, and clears it.
    pub child_id_at: GuestAddr,
    /// Where the pidfd goes.
    pub pidfd_at: GuestAddr,
}

/// Checks that the flags make sense together, as copy_process() of Linux does.
fn check(request: &CloneRequest, call: &Call<'_>) -> Result<(), Errno> {
    let flags = request.flags;
    let needs = |flag, other| !flags.contains(flag) || flags.contains(other);
    if !needs(CloneFlags::THREAD, CloneFlags::ACTIONS)
        || !needs(CloneFlags::ACTIONS, CloneFlags::MEMORY)
        || flags.contains(CloneFlags::CLEAR_ACTIONS | CloneFlags::ACTIONS)
        || flags.contains(CloneFlags::NEW_MOUNTS | CloneFlags::FS)
        || flags.contains(CloneFlags::THREAD | CloneFlags::PIDFD)
    {
        return Err(Errno::EINVAL);
    }
    if flags.intersects(CloneFlags::NEW_MOUNTS | CloneFlags::NEW_OTHERS | CloneFlags::NEW_TIME) {
        // As in a container without user namespaces.
        return Err(Errno::EPERM);
    }
    if flags.contains(CloneFlags::INTO_CGROUP) {
        return Err(Errno::EBADF);
    }
    // The first process's siblings would have no parent to wait for them.
    if flags.contains(CloneFlags::PARENT) && call.process().id == crate::kernel::FIRST_PROCESS {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Makes a thread or a process and returns its id.
pub fn do_clone(call: &mut Call<'_>, request: &CloneRequest) -> Result<u64, Errno> {
    check(request, call)?;
    let flags = request.flags;
    let id = reserve_id(call)?;
    let thread = if flags.contains(CloneFlags::THREAD) {
        let process = call.process().clone();
        new_thread(call, request, id, process)
    } else {
        let process = new_process(call, request, id)?;
        new_thread(call, request, id, process)
    };
    let pidfd = match give_pidfd(call, request, &thread) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            discard(&thread, flags);
            return Err(error);
        }
    };
    if flags.contains(CloneFlags::PARENT_SET_TID) {
        // Linux ignores a fault here.
        let _ = request.parent_id_at.write_u32(id);
    }
    enlist(call, request, &thread)?;
    let result = start(call, request, &thread);
    if result.is_err() {
        discard(&thread, flags);
        if let Some(fd) = pidfd {
            let _ = call.thread.files().remove(fd);
        }
    }
    result.map(|()| id.into())
}

/// Gives the parent a descriptor of the child, if it asked for one.
fn give_pidfd(
    call: &Call<'_>,
    request: &CloneRequest,
    thread: &Thread,
) -> Result<Option<i32>, Errno> {
    if !request.flags.contains(CloneFlags::PIDFD) {
        return Ok(None);
    }
    let fd = open_pidfd(call.thread, &thread.process, StatusFlags::empty())?;
    if let Err(error) = request.pidfd_at.write(&fd.to_le_bytes()) {
        let _ = call.thread.files().remove(fd);
        return Err(error);
    }
    Ok(Some(fd))
}

fn reserve_id(call: &Call<'_>) -> Result<u32, Errno> {
    let kernel = call.kernel();
    let mut tree = kernel.tree.lock();
    let limit = call.process().limits.soft(crate::task::Resource::Processes);
    let count = tree.task_count();
    if count >= kernel.task_limit
        || (count as u64 >= limit
            && !call
                .thread
                .credentials()
                .has(Capabilities::SYS_RESOURCE | Capabilities::SYS_ADMIN))
    {
        return Err(Errno::EAGAIN);
    }
    tree.new_id()
}

fn new_thread(
    call: &Call<'_>,
    request: &CloneRequest,
    id: u32,
    process: Arc<Process>,
) -> Arc<Thread> {
    let parent = call.thread;
    let flags = request.flags;
    let files = if flags.contains(CloneFlags::FILES) {
        parent.files()
    } else {
        Arc::new(parent.files().duplicate())
    };
    let fs = if flags.contains(CloneFlags::FS) {
        parent.fs()
    } else {
        Arc::new(parent.fs().duplicate())
    };
    let seed = ThreadSeed {
        files,
        fs,
        credentials: parent.credentials(),
        blocked: parent.blocked(),
        name: *parent.name.lock(),
        no_new_privileges: parent.no_new_privileges.load(Ordering::Relaxed),
        scheduling: parent.scheduling.lock().inherited(),
    };
    let thread = Thread::new(id, process, seed);
    {
        let parent = parent.own.lock();
        let mut own = thread.own.lock();
        // A child with the same memory and another stack starts without the alternate one.
        if !flags.contains(CloneFlags::MEMORY) || flags.contains(CloneFlags::VFORK) {
            own.alternate_stack = parent.alternate_stack;
        }
        own.timer_slack_ns = parent.timer_slack_ns;
        own.keep_capabilities = parent.keep_capabilities;
        if flags.contains(CloneFlags::CHILD_CLEAR_TID) {
            own.clear_at_end = request.child_id_at;
        }
        if !flags.contains(CloneFlags::MEMORY) {
            own.restarts = parent.restarts.clone();
        }
    }
    thread
}

fn new_process(call: &Call<'_>, request: &CloneRequest, id: u32) -> Result<Arc<Process>, Errno> {
    let parent = call.process();
    let flags = request.flags;
    let actions = if flags.contains(CloneFlags::ACTIONS) {
        parent.actions()
    } else if flags.contains(CloneFlags::CLEAR_ACTIONS) {
        Arc::new(parent.actions().without_handlers())
    } else {
        Arc::new(parent.actions().copy())
    };
    // Until a copy takes its place.
    let memory = parent.memory();
    memory.users.fetch_add(1, Ordering::SeqCst);
    let as_sibling = flags.contains(CloneFlags::PARENT);
    let parent_id = if as_sibling {
        parent.parent_id()
    } else {
        parent.id
    };
    let exit_signal = if as_sibling {
        parent.exit_signal.load(Ordering::Relaxed)
    } else {
        request
            .exit_signal
            .map_or(0, |signal| signal.number().into())
    };
    let shares_clock = flags.contains(CloneFlags::MEMORY);
    let timers = crate::time::ProcessTimers::default();
    let has_cpu_limit = parent.limits.soft(Resource::Cpu) != UNLIMITED;
    timers
        .cpu_limit_changed
        .store(has_cpu_limit, Ordering::SeqCst);
    Ok(Arc::new(Process {
        id,
        kernel: parent.kernel.clone(),
        parent_id: AtomicU32::new(parent_id),
        group_id: AtomicU32::new(parent.group_id()),
        session_id: AtomicU32::new(parent.session_id()),
        state: Mutex::new(ProcessState::default()),
        actions: Mutex::new(actions),
        memory: Mutex::new(memory),
        limits: parent.limits.copy(),
        children_queue: WaitQueue::new(),
        exit_queue: WaitQueue::new(),
        exit_signal: AtomicU32::new(exit_signal),
        adopts_orphans: AtomicBool::new(false),
        parent_death_signal: AtomicU32::new(0),
        dumpable: AtomicU32::new(parent.dumpable.load(Ordering::Relaxed)),
        usage: Usage {
            started_ns: platform().now(Clock::Monotonic),
            cpu_base_ns: AtomicU64::new(if shares_clock {
                platform().now(Clock::ProcessCpu)
            } else {
                0
            }),
            ..Usage::default()
        },
        last_user: AtomicU32::new(0),
        personality: AtomicU32::new(parent.personality.load(Ordering::Relaxed)),
        timers,
        niceness: AtomicU32::new(parent.niceness.load(Ordering::Relaxed)),
        terminal: Mutex::new(parent.terminal()),
    }))
}

/// Makes the new task visible to others.
fn enlist(call: &Call<'_>, request: &CloneRequest, thread: &Arc<Thread>) -> Result<(), Errno> {
    let kernel = call.kernel();
    let mut tree = kernel.tree.lock();
    let process = &thread.process;
    if request.flags.contains(CloneFlags::THREAD) {
        let mut state = process.state.lock();
        if state.exit.is_some() || state.executing {
            return Err(Errno::EAGAIN);
        }
        state.threads.push(thread.clone());
    } else {
        // Group and session may have changed since they were copied.
        let parent = call.process();
        process.group_id.store(parent.group_id(), Ordering::SeqCst);
        process
            .session_id
            .store(parent.session_id(), Ordering::SeqCst);
        process.state.lock().threads.push(thread.clone());
        tree.add_process(process.clone(), call.thread.id());
        kernel.forks.fetch_add(1, Ordering::Relaxed);
    }
    tree.add_thread(thread);
    Ok(())
}

/// Takes back what [`enlist`] did, for a task that never ran.
fn discard(thread: &Arc<Thread>, flags: CloneFlags) {
    let process = &thread.process;
    let mut tree = process.kernel.tree.lock();
    tree.remove_thread(thread.id());
    process
        .state
        .lock()
        .threads
        .retain(|other| !Arc::ptr_eq(other, thread));
    if !flags.contains(CloneFlags::THREAD) {
        process.state.lock().exit = Some(ExitStatus(0));
        process.memory().users.fetch_sub(1, Ordering::SeqCst);
        tree.remove_process(process.id);
    }
}

/// Starts the new task, or lets it take the caller's place until it executes or ends.
fn start(call: &mut Call<'_>, request: &CloneRequest, thread: &Arc<Thread>) -> Result<(), Errno> {
    let flags = request.flags;
    let mut registers: Registers = *call.registers;
    registers.rax = 0;
    if request.stack_pointer != 0 {
        registers.rsp = request.stack_pointer;
    }
    registers.fs_base = if flags.contains(CloneFlags::SET_TLS) {
        request.thread_pointer
    } else {
        platform().thread_pointer()
    };
    let child_id_at = flags
        .contains(CloneFlags::CHILD_SET_TID)
        .then_some(request.child_id_at);
    if flags.contains(CloneFlags::MEMORY | CloneFlags::VFORK) && !flags.contains(CloneFlags::THREAD)
    {
        if let Some(address) = child_id_at {
            let _ = address.write_u32(thread.id());
        }
        call.then(After::BecomeChild(thread.clone(), Box::new(registers)));
        return Ok(());
    }
    let task = Box::new(Task::new(thread.clone(), child_id_at));
    if flags.contains(CloneFlags::MEMORY) {
        platform().spawn(SpawnKind::Thread, task, &registers)?;
    } else {
        let memory = call.process().memory();
        memory.space.fork(|copy| {
            let copied = Arc::new(ProcessMemory::new(copy));
            *copied.program.lock() = memory.program.lock().clone();
            let barriers = memory.barriers.load(Ordering::Relaxed);
            copied.barriers.store(barriers, Ordering::Relaxed);
            *thread.process.memory.lock() = copied;
            memory.users.fetch_sub(1, Ordering::SeqCst);
            let process = call.process();
            process.as_system(|| platform().spawn(SpawnKind::Process, task, &registers))
        })?;
    }
    Ok(())
}
