//! Waiting for children, wait(2), waitid(2).

use crate::call::{Call, restart};
use crate::signal::Signal;
use crate::task::{ExitStatus, Process, Report, Tree};
use alloc::sync::Arc;
use bitflags::bitflags;
use capsid_core::Errno;
use capsid_core::wait::{Events, Waiter};
use core::sync::atomic::Ordering;

bitflags! {
    /// Options of wait4(2) and waitid(2), with Linux's bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WaitOptions: u32 {
        /// Do not block.
        const NO_HANG = 1;
        /// Stopped children, as `WUNTRACED`.
        const STOPPED = 2;
        /// Ended children.
        const EXITED = 4;
        /// Continued children.
        const CONTINUED = 8;
        /// Leave it to be waited for again.
        const NO_WAIT = 0x0100_0000;
        /// Not the children of other threads.
        const NO_THREAD = 0x2000_0000;
        /// All children, whatever their exit signal.
        const ALL = 0x4000_0000;
        /// Only children with another exit signal than `SIGCHLD`.
        const CLONE = 0x8000_0000;
    }
}

/// Which children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Any.
    Any,
    /// One, by process id.
    Process(u32),
    /// Those of a process group.
    Group(u32),
}

/// What was waited for.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// The child.
    pub process: Arc<Process>,
    /// What happened to it.
    pub event: Event,
}

/// What can happen to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It ended.
    Ended(ExitStatus),
    /// It stopped.
    Stopped(Signal),
    /// It went on.
    Continued,
}

impl Event {
    /// The status as wait4(2) stores it.
    #[must_use]
    pub fn wait_status(self) -> u32 {
        match self {
            Event::Ended(status) => status.0,
            Event::Stopped(signal) => u32::from(signal.number()) << 8 | 0x7f,
            Event::Continued => 0xffff,
        }
    }
}

/// Waits for a child; `None` if none is ready and the options say not to block: `ECHILD`.
pub fn do_wait(
    call: &Call<'_>,
    which: WaitFor,
    options: WaitOptions,
) -> Result<Option<Awaited>, Errno> {
    let process = call.process();
    let attempt = || match find(process, call.thread.id(), which, options) {
        Ok(None) if options.contains(WaitOptions::NO_HANG) => Some(Ok(None)),
        Ok(None) => None,
        Ok(found) => Some(Ok(found)),
        Err(error) => Some(Err(error)),
    };
    if let Some(result) = attempt() {
        return result;
    }
    let waker = call.thread.parker.clone();
    let _registration = process.children_queue.register(waker, Events::IN);
    match call.thread.wait_until(None, attempt) {
        Ok(result) => result,
        Err(_) => Err(restart::unless_handled()),
    }
}

/// Looks for a child that is ready: `ECHILD` if there is none to wait for at all.
fn find(
    process: &Arc<Process>,
    thread: u32,
    which: WaitFor,
    options: WaitOptions,
) -> Result<Option<Awaited>, Errno> {
    let mut tree = process.kernel.tree.lock();
    let Some(node) = tree.node(process.id) else {
        return Err(Errno::ECHILD);
    };
    let mut candidates = false;
    let mut found = None;
    for id in &node.children {
        let Some(child) = tree.node(*id) else {
            continue;
        };
        if !selects(which, &child.process)
            || !eligible(&child.process, options)
            || (options.contains(WaitOptions::NO_THREAD) && child.maker != thread)
        {
            continue;
        }
        candidates = true;
        let event = match (child.ended, child.report) {
            (Some(status), _) if options.contains(WaitOptions::EXITED) => Event::Ended(status),
            (None, Some(Report::Stopped(signal))) if options.contains(WaitOptions::STOPPED) => {
                Event::Stopped(signal)
            }
            (None, Some(Report::Continued)) if options.contains(WaitOptions::CONTINUED) => {
                Event::Continued
            }
            _ => continue,
        };
        found = Some(Awaited {
            process: child.process.clone(),
            event,
        });
        break;
    }
    match found {
        Some(found) => {
            if !options.contains(WaitOptions::NO_WAIT) {
                consume(&mut tree, process, &found);
            }
            Ok(Some(found))
        }
        None if candidates => Ok(None),
        None => Err(Errno::ECHILD),
    }
}

fn selects(which: WaitFor, child: &Process) -> bool {
    match which {
        WaitFor::Any => true,
        WaitFor::Process(id) => child.id == id,
        WaitFor::Group(group) => child.group_id() == group,
    }
}

/// Children whose end raises another signal than `SIGCHLD` are waited for with `__WCLONE`.
fn eligible(child: &Process, options: WaitOptions) -> bool {
    let ordinary = child.exit_signal.load(Ordering::Relaxed) == u32::from(Signal::CHLD.number());
    options.contains(WaitOptions::ALL) || ordinary != options.contains(WaitOptions::CLONE)
}

fn consume(tree: &mut Tree, parent: &Process, found: &Awaited) {
    let id = found.process.id;
    if let Event::Ended(_) = found.event {
        tree.remove_process(id);
        let usage = &found.process.usage;
        let system = usage.system_ns.load(Ordering::Relaxed)
            + usage.children_system_ns.load(Ordering::Relaxed);
        parent
            .usage
            .children_system_ns
            .fetch_add(system, Ordering::Relaxed);
        let used = usage.cpu_done_ns.load(Ordering::Relaxed)
            + usage.children_cpu_ns.load(Ordering::Relaxed);
        parent
            .usage
            .children_cpu_ns
            .fetch_add(used, Ordering::Relaxed);
    } else if let Some(node) = tree.node_mut(id) {
        node.report = None;
    }
}
