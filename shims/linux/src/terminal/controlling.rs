//! Controlling terminals: how a session gets one and loses it, credentials(7).

use super::signal_group;
use crate::call::Call;
use crate::kernel::Kernel;
use crate::signal::Signal;
use crate::task::{Process, Tree};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_core::fs::{OpenFile, OpenOptions};
use capsid_core::tty::{Terminal, is_same};

fn is_leader(process: &Process) -> bool {
    process.session_id() == process.id
}

fn adopt(process: &Process, terminal: &Arc<dyn Terminal>) {
    *process.terminal.lock() = Some(terminal.clone());
}

/// Makes a terminal that a session leader without one opens its controlling terminal, unless
/// another session has it.
pub fn acquire_at_open(call: &Call<'_>, file: &OpenFile, options: &OpenOptions) {
    let process = call.process();
    let refused = capsid_core::fs::CreationFlags::NO_CONTROLLING_TERMINAL;
    if options.creation.contains(refused) || !options.flags.readable() || !is_leader(process) {
        return;
    }
    let Some(terminal) = file.file.terminal() else {
        return;
    };
    if process.terminal().is_none()
        && terminal.jobs().session() == 0
        && terminal.jobs().take(process.id, process.group_id())
    {
        adopt(process, &terminal);
    }
}

/// Makes a terminal the caller's controlling terminal, ioctl_tty(2) `TIOCSCTTY`: `EPERM` if the
/// caller is no session leader or has one, or if another session has it and it is not to be
/// `stolen`.
pub fn take_control(
    call: &Call<'_>,
    file: &OpenFile,
    terminal: &Arc<dyn Terminal>,
    stolen: bool,
) -> Result<(), Errno> {
    let process = call.process();
    let jobs = terminal.jobs();
    if is_leader(process) && jobs.session() == process.id {
        return Ok(());
    }
    let administrator = call.thread.credentials().has(Capabilities::SYS_ADMIN);
    if !is_leader(process)
        || process.terminal().is_some()
        || !(file.flags().readable() || administrator)
    {
        return Err(Errno::EPERM);
    }
    if !jobs.take(process.id, process.group_id()) {
        if !(stolen && administrator) {
            return Err(Errno::EPERM);
        }
        forget(&call.kernel().tree.lock(), jobs.session());
        jobs.steal(process.id, process.group_id());
    }
    adopt(process, terminal);
    Ok(())
}

/// Takes a controlling terminal from all processes of a session.
fn forget(tree: &Tree, session: u32) {
    for node in tree.nodes() {
        if node.process.session_id() == session {
            let before = node.process.terminal.lock().take();
            drop(before);
        }
    }
}

/// Gives up the caller's controlling terminal, `TIOCNOTTY`: for the whole session if its leader
/// does, which hangs up on the foreground group. `ENOTTY` if it is not this one.
pub fn release(call: &Call<'_>, terminal: &Arc<dyn Terminal>) -> Result<(), Errno> {
    let process = call.process();
    let own = process.terminal().ok_or(Errno::ENOTTY)?;
    if !is_same(&own, terminal) {
        return Err(Errno::ENOTTY);
    }
    if !is_leader(process) {
        *process.terminal.lock() = None;
        return Ok(());
    }
    let kernel: &Kernel = call.kernel();
    if let Some(group) = own.jobs().release(process.id) {
        signal_group(kernel, group, Signal::HUP);
        signal_group(kernel, group, Signal::CONT);
    }
    forget(&kernel.tree.lock(), process.id);
    Ok(())
}

/// Unties a session whose leader ends from its terminal. Returns the foreground group, which is to
/// be hung up on.
pub fn leave_session(tree: &Tree, leader: &Process) -> Option<u32> {
    if !is_leader(leader) {
        return None;
    }
    let terminal = leader.terminal()?;
    let group = terminal.jobs().release(leader.id);
    forget(tree, leader.id);
    group.filter(|&group| group != 0)
}
