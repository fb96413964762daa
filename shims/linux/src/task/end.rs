//! How threads and processes end, exit(2), exit_group(2).

use crate::files::FsContext;
use crate::signal::info::{CLD_DUMPED, CLD_EXITED, CLD_KILLED};
use crate::signal::{ActionFlags, Signal, SignalInfo, send_to_process};
use crate::task::attached;
use crate::task::robust::release_guest_words;
use crate::task::{ExitStatus, Process, Thread, Tree, barrier};
use crate::terminal::leave_session;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::wait::Events;
use capsid_platform::platform;
use capsid_wire::{Operation, Request};
use core::sync::atomic::Ordering;

/// Clock ticks of times(2) per second (`USER_HZ`).
pub const TICKS_PER_SECOND: u64 = 100;
/// Nanoseconds of a clock tick.
pub const TICK_NS: u64 = 1_000_000_000 / TICKS_PER_SECOND;

/// Tells all threads of a process to end. The first status given counts.
pub fn begin_group_exit(process: &Process, status: ExitStatus) {
    let mut state = process.state.lock();
    if state.exit.is_none() {
        state.exit = Some(status);
        state.stopped = None;
        state.notify_all();
    }
}

/// Takes an ending thread out of its process; the last one ends the process. `code` is that of
/// exit(2), which counts if the process was not told to end otherwise.
pub fn end_thread(thread: &Arc<Thread>, code: ExitStatus) {
    // From here on nobody queues behind this thread for a lock that it holds.
    thread.releases_locks.store(true, Ordering::SeqCst);
    release_guest_words(thread);
    attached::let_go(thread);
    let process = &thread.process;
    let last_out = {
        let mut state = process.state.lock();
        state.leaving += 1;
        state.leaving == state.threads.len()
    };
    // Before anybody can hear of the end: who waited for it finds pipes and locks let go.
    drop_resources(thread);
    if last_out {
        drop_memory(process);
        process.kernel.ipc.process_ended(process.id);
    }
    let kernel = process.kernel.clone();
    let mut signals = Vec::new();
    let mut tree = kernel.tree.lock();
    let last = {
        let mut state = process.state.lock();
        state.threads.retain(|other| !Arc::ptr_eq(other, thread));
        state.leaving -= 1;
        let last = state.threads.is_empty();
        if last {
            // As since Linux 5.17: the last thread's code is the process's.
            state.exit.get_or_insert(code);
        }
        if state.executing {
            // The thread that replaces the program waits for the others.
            for other in &state.threads {
                other.parker.unpark();
            }
        }
        last
    };
    tree.remove_thread(thread.id());
    attached::tell_holder(thread);
    *thread.token.lock() = None;
    barrier::announce();
    if last {
        let user = thread.credentials().user.real;
        process.last_user.store(user, Ordering::Relaxed);
        end_process(&mut tree, process, &mut signals);
    }
    parent_death_signals(&tree, thread, &mut signals);
    drop(tree);
    for (target, info) in signals {
        let _ = send_to_process(&target, info);
    }
    if last {
        kernel.timers.process_ended(process);
    }
}

/// Lets go of descriptors and directories, outside all locks.
fn drop_resources(thread: &Thread) {
    let files = core::mem::take(&mut *thread.files.lock());
    drop(files);
    let root = thread.process.kernel.namespace.root();
    let nowhere = Arc::new(FsContext::new(root.clone(), root, 0));
    let fs = core::mem::replace(&mut *thread.fs.lock(), nowhere);
    drop(fs);
}

/// Lets go of the program and of mapped files, which may now be executed and written.
fn drop_memory(process: &Process) {
    let memory = process.memory();
    if memory.users.load(Ordering::SeqCst) > 1 {
        return;
    }
    // The name as well: it keeps an unlinked program from going.
    let (hold, executable) = {
        let mut program = memory.program.lock();
        (program.hold.take(), program.executable.take())
    };
    drop((hold, executable));
    memory.space.forget();
}

type Signals = Vec<(Arc<Process>, SignalInfo)>;

/// Turns a process without threads into a zombie, or removes it.
fn end_process(tree: &mut Tree, process: &Arc<Process>, signals: &mut Signals) {
    let status = {
        let state = process.state.lock();
        state.exit.unwrap_or(ExitStatus(0))
    };
    let used = process.cpu_ns(process);
    process.usage.cpu_done_ns.store(used, Ordering::Relaxed);
    process.memory().users.fetch_sub(1, Ordering::SeqCst);
    process.timers.clear(process);
    if let Some(group) = leave_session(tree, process) {
        for member in tree.group(group) {
            signals.push((member.process.clone(), SignalInfo::kernel(Signal::HUP)));
        }
    }
    hang_up_orphans(tree, process, signals);
    let adopter = tree.adopter(process.id);
    let children = match tree.node(process.id) {
        Some(node) => node.children.clone(),
        None => Vec::new(),
    };
    for child in children {
        tree.adopt(child, adopter);
        if let Some(ended) = tree.node(child).and_then(|node| node.ended) {
            // The adopter has not heard of it yet.
            report_end(tree, child, ended, signals);
        }
    }
    if let Some(node) = tree.node_mut(process.id) {
        node.ended = Some(status);
        node.report = None;
    }
    report_end(tree, process.id, status, signals);
    process.exit_queue.wake(Events::IN | Events::HUP);
    if process.id == crate::kernel::FIRST_PROCESS {
        end_sandbox(tree, process, status);
    }
}

/// Tells the parent that a child ended; without a parent that cares the child is removed.
fn report_end(tree: &mut Tree, id: u32, status: ExitStatus, signals: &mut Signals) {
    let Some((child, orphan)) = tree
        .node(id)
        .map(|node| (node.process.clone(), node.orphan))
    else {
        return;
    };
    let parent = tree
        .node(child.parent_id())
        .filter(|_| !orphan)
        .map(|node| node.process.clone());
    let Some(parent) = parent else {
        if id != crate::kernel::FIRST_PROCESS {
            tree.remove_process(id);
        }
        return;
    };
    let exit_signal = child.exit_signal.load(Ordering::Relaxed);
    let mut unwanted = false;
    if let Ok(signal) = Signal::new(exit_signal.cast_signed()) {
        let action = parent.actions().get(signal);
        if signal == Signal::CHLD {
            let ignored = action.handler == crate::signal::action::IGNORE;
            unwanted = ignored || action.flags.contains(ActionFlags::NO_CHILD_WAIT);
        }
        let mut info = child_info(&child, status);
        info.signal = signal;
        signals.push((parent.clone(), info));
    }
    if unwanted {
        tree.remove_process(id);
    }
    parent.children_queue.wake(Events::IN);
}

/// The `siginfo_t` of a child's end.
fn child_info(child: &Process, status: ExitStatus) -> SignalInfo {
    let (code, value) = match status.signal() {
        0 => (CLD_EXITED, status.0 >> 8 & 0xff),
        signal if status.0 & 0x80 != 0 => (CLD_DUMPED, signal),
        signal => (CLD_KILLED, signal),
    };
    let user = child.last_user.load(Ordering::Relaxed);
    let ticks = child.usage.done().ticks();
    SignalInfo::child(code, child.id, user, value, ticks)
}

/// Hangs up on stopped groups that lose the last process that could continue them.
fn hang_up_orphans(tree: &Tree, process: &Arc<Process>, signals: &mut Signals) {
    let mut groups = alloc::vec![process.group_id()];
    if let Some(node) = tree.node(process.id) {
        for child in node.children.iter().filter_map(|id| tree.node(*id)) {
            groups.push(child.process.group_id());
        }
    }
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        let was_orphaned = tree.is_orphaned(group, None);
        if was_orphaned || !tree.is_orphaned(group, Some(process.id)) {
            continue;
        }
        let members: Vec<_> = tree
            .group(group)
            .filter(|node| node.process.id != process.id)
            .map(|node| node.process.clone())
            .collect();
        let stopped = |process: &Arc<Process>| process.state.lock().stopped.is_some();
        if members.iter().any(stopped) {
            for member in members {
                signals.push((member.clone(), SignalInfo::kernel(Signal::HUP)));
                signals.push((member, SignalInfo::kernel(Signal::CONT)));
            }
        }
    }
}

/// `PR_SET_PDEATHSIG`: tells the children that this thread made.
fn parent_death_signals(tree: &Tree, thread: &Thread, signals: &mut Signals) {
    for node in tree
        .nodes()
        .filter(|node| node.maker == thread.id() && node.ended.is_none())
    {
        let wanted = node.process.parent_death_signal.load(Ordering::Relaxed);
        if let Ok(signal) = Signal::new(wanted.cast_signed()) {
            let info = SignalInfo::sent(signal, 0, thread.process.id, 0);
            signals.push((node.process.clone(), info));
        }
    }
}

/// The first process ended: the sandbox ends with it.
fn end_sandbox(tree: &Tree, first: &Arc<Process>, status: ExitStatus) {
    for node in tree.nodes().filter(|node| node.process.id != first.id) {
        begin_group_exit(&node.process, ExitStatus::killed(Signal::KILL, false));
    }
    crate::trace::report(&first.kernel);
    let request = Request {
        operation: Operation::Exit,
        args: [status.0.into(), 0, 0, 0, 0, 0],
        data_len: 0,
    };
    let _ = platform().broker_call(&request, &mut []);
}
