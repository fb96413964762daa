//! What background jobs may do with their terminal, termios(3), credentials(7).

use super::signal_group;
use crate::call::{Call, restart};
use crate::signal::Signal;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::tty::{Terminal, is_same};

/// Stops a background job that reads its terminal: `EIO` if nobody could continue it, or if it
/// ignores the signal.
pub fn check_read(call: &Call<'_>, terminal: &Arc<dyn Terminal>) -> Result<(), Errno> {
    check(call, terminal, Signal::TTIN)
}

/// Stops a background job that writes to its terminal, if `TOSTOP` asks for that.
pub fn check_write(call: &Call<'_>, terminal: &Arc<dyn Terminal>) -> Result<(), Errno> {
    if terminal.stops_writers() {
        check(call, terminal, Signal::TTOU)
    } else {
        Ok(())
    }
}

/// Stops a background job that changes its terminal: `EIO` if nobody could continue it. One that
/// ignores or blocks the signal may.
pub fn check_change(call: &Call<'_>, terminal: &Arc<dyn Terminal>) -> Result<(), Errno> {
    check(call, terminal, Signal::TTOU)
}

fn check(call: &Call<'_>, terminal: &Arc<dyn Terminal>, signal: Signal) -> Result<(), Errno> {
    let process = call.process();
    let foreground = terminal.jobs().foreground();
    let group = process.group_id();
    if foreground == 0 || foreground == group {
        return Ok(());
    }
    let own = process.terminal();
    if !own.is_some_and(|own| is_same(&own, terminal)) {
        return Ok(());
    }
    let ignored =
        call.thread.blocked().contains(signal) || process.actions().get(signal).ignores(signal);
    if ignored {
        return match signal {
            Signal::TTIN => Err(Errno::EIO),
            _ => Ok(()),
        };
    }
    if call.kernel().tree.lock().is_orphaned(group, None) {
        return Err(Errno::EIO);
    }
    signal_group(call.kernel(), group, signal);
    Err(restart::unless_handled())
}
