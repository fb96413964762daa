//! The signals that terminals send.

use crate::kernel::Kernel;
use crate::signal::{Signal, SignalInfo, send_to_process};
use crate::task::Process;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::tty::{Addressee, TerminalSignal};

/// Sends a terminal's signal.
pub fn deliver(kernel: &Kernel, addressee: Addressee, signal: TerminalSignal) {
    let signal = match signal {
        TerminalSignal::Interrupt => Signal::INT,
        TerminalSignal::Quit => Signal::QUIT,
        TerminalSignal::Suspend => Signal::TSTP,
        TerminalSignal::WindowChange => Signal::WINCH,
        TerminalSignal::HangUp => Signal::HUP,
        TerminalSignal::Continue => Signal::CONT,
    };
    match addressee {
        Addressee::Group(group) => signal_group(kernel, group, signal),
        Addressee::Leader(session) => {
            if let Some(leader) = kernel.process(session) {
                // A standard signal that cannot be queued is pending already.
                let _ = send_to_process(&leader, SignalInfo::kernel(signal));
            }
        }
    }
}

/// Sends a signal to all processes of a group.
pub fn signal_group(kernel: &Kernel, group: u32, signal: Signal) {
    let members: Vec<Arc<Process>> = {
        let tree = kernel.tree.lock();
        tree.group(group).map(|node| node.process.clone()).collect()
    };
    for process in &members {
        let _ = send_to_process(process, SignalInfo::kernel(signal));
    }
}
