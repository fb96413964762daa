//! Stopping and continuing processes, and telling their parents.

use crate::kernel::FIRST_PROCESS;
use crate::signal::info::{CLD_CONTINUED, CLD_STOPPED};
use crate::signal::{ActionFlags, Signal, SignalInfo, send_to_process};
use crate::task::{Process, Report};
use alloc::sync::Arc;
use capsid_core::wait::Events;
use capsid_platform::platform;
use capsid_wire::{Operation, Request};

/// Stops a process because of a signal that was taken. When the first one stops, so does capsid,
/// for whoever started it to see. Stop signals of a terminal have no effect
/// on an orphaned group, which nobody could continue.
pub fn stop_process(process: &Arc<Process>, signal: Signal) {
    let tree = process.kernel.tree.lock();
    if signal != Signal::STOP && tree.is_orphaned(process.group_id(), None) {
        return;
    }
    {
        let mut state = process.state.lock();
        if state.exit.is_some() || state.stopped.is_some() {
            return;
        }
        state.stopped = Some(signal);
        state.notify_all();
    }
    drop(tree);
    report(process, Report::Stopped(signal));
    if process.id == FIRST_PROCESS && platform().info().boot.job_control {
        let request = Request {
            operation: Operation::Stopped,
            args: [signal.number().into(), 0, 0, 0, 0, 0],
            data_len: 0,
        };
        // Refused only where capsid has no job control after all.
        let _ = platform().broker_call(&request, &mut []);
    }
}

/// Tells the parent that a stopped process goes on.
pub fn continue_process(process: &Arc<Process>) {
    report(process, Report::Continued);
}

fn report(process: &Arc<Process>, report: Report) {
    let mut tree = process.kernel.tree.lock();
    let Some(node) = tree.node_mut(process.id) else {
        return;
    };
    node.report = Some(report);
    let parent = tree
        .node(process.parent_id())
        .map(|node| node.process.clone());
    drop(tree);
    let Some(parent) = parent else {
        return;
    };
    parent.children_queue.wake(Events::IN);
    let action = parent.actions().get(Signal::CHLD);
    if !action.flags.contains(ActionFlags::NO_CHILD_STOP) {
        let (code, status) = match report {
            Report::Stopped(signal) => (CLD_STOPPED, signal.number()),
            Report::Continued => (CLD_CONTINUED, Signal::CONT.number()),
        };
        let user = process
            .credentials()
            .map_or(0, |credentials| credentials.user.real);
        let info = SignalInfo::child(code, process.id, user, status.into(), [0, 0]);
        let _ = send_to_process(&parent, info);
    }
}
