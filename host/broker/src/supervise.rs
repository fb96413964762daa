//! Waiting for the end of a run: the program's own, a signal's, or the time's.
//!
//! Signals go to the first guest process, which may handle or ignore them, as it would natively.
//! capsid ends the sandbox itself only when nobody takes the signal: the library OS does not
//! listen yet, or has left an earlier one lying for [`PATIENCE`], or a second one comes meanwhile.
//!
//! When the first guest process stops, so does capsid, for the shell that started it to see.

use crate::outcome::End;
use crate::own_memory::drop_startup_text;
use crate::processes::Processes;
use crate::service::Shared;
use crate::signals::{SignalInbox, asks_to_end, stop_self};
use capsid_wire::message::EVENT_TERMINAL;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// How long a sandbox may leave a signal lying that asks it to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after its start a sandbox is taken for one that stays.
const SETTLED: Duration = Duration::from_millis(100);

/// Why a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The sandbox ended.
    Ended(End),
    /// This signal came for capsid, and the sandbox did not take it.
    Signalled(i32),
    /// The time is up.
    TimedOut,
}

/// Waits until the run is over. Sends no process anything but stop and continue.
pub fn supervise(
    shared: &Shared,
    processes: &Processes,
    signals: Option<&SignalInbox>,
    timeout: Option<Duration>,
) -> Verdict {
    let timeout = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut unanswered: Option<(i32, Instant)> = None;
    let mut settling = Instant::now().checked_add(SETTLED);
    loop {
        if shared.outcome.take_stop() {
            stop(shared, processes);
        }
        if let Some(end) = shared.outcome.get() {
            return Verdict::Ended(end);
        }
        let now = Instant::now();
        if settling.is_some_and(|settling| settling <= now) {
            settling = None;
            drop_startup_text();
        }
        if timeout.is_some_and(|timeout| timeout <= now) {
            return Verdict::TimedOut;
        }
        if let Some((signal, deadline)) = unanswered {
            if !shared.events.is_pending() {
                unanswered = None;
            } else if deadline <= now {
                return Verdict::Signalled(signal);
            }
        }
        let deadline = [timeout, settling, unanswered.map(|(_, deadline)| deadline)]
            .into_iter()
            .flatten()
            .min();
        wait(shared, signals, deadline);
        while let Some(arrived) = signals.and_then(SignalInbox::take) {
            let signal = arrived.signal;
            if signal == Signal::TSTP.as_raw() && !shared.events.is_heard() {
                stop(shared, processes);
                continue;
            }
            let ending = asks_to_end(signal);
            let ignored =
                !shared.events.is_heard() || (unanswered.is_some() && shared.events.is_pending());
            if ending && ignored {
                return Verdict::Signalled(signal);
            }
            let origin = if arrived.from_terminal {
                EVENT_TERMINAL
            } else {
                0
            };
            shared.events.announce(1 << (signal & 31) | origin);
            if ending {
                unanswered = Some((signal, Instant::now() + PATIENCE));
            }
        }
    }
}

/// Stops the sandbox and capsid, until somebody continues capsid. The signal is that of the
/// suspend key: where nobody could continue it, the host ignores it, as it would for any program.
fn stop(shared: &Shared, processes: &Processes) {
    processes.signal_all(Signal::STOP);
    stop_self();
    processes.signal_all(Signal::CONT);
    if shared.events.is_heard() {
        // The window may have changed while others had the terminal.
        let signals = 1 << Signal::CONT.as_raw() | 1 << Signal::WINCH.as_raw();
        shared.events.announce(signals | EVENT_TERMINAL);
    }
}

/// Sleeps until something may have happened, or the deadline.
fn wait(shared: &Shared, signals: Option<&SignalInbox>, deadline: Option<Instant>) {
    let mut files = vec![PollFd::new(&*shared.outcome, PollFlags::IN)];
    if let Some(signals) = signals {
        files.push(PollFd::new(signals, PollFlags::IN));
    }
    let timeout = deadline.map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so as not to wake just before the deadline.
        let left = left + Duration::from_micros(1);
        Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        }
    });
    // Interrupted or not, the caller looks again.
    let _ = poll(&mut files, timeout.as_ref());
}
