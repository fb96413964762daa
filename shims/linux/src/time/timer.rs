//! One timer: a deadline, an interval, and what happens.

use crate::signal::{Signal, SignalInfo, send_to_process, send_to_thread};
use crate::task::{Process, Thread};
use alloc::sync::{Arc, Weak};
use capsid_core::sync::Mutex;

/// What happens when a timer expires.
#[derive(Clone, Debug)]
pub enum Notify {
    /// Nothing (`SIGEV_NONE`).
    Nothing,
    /// A signal of the kernel, as setitimer(2) and alarm(2) send.
    Kernel(Signal),
    /// A look at the limit on CPU time.
    CpuLimit,
    /// A POSIX timer's signal: the timer's number and the value set with it.
    Process(Signal, u32, u64),
    /// The same, to one thread.
    Thread(Weak<Thread>, Signal, u32, u64),
}

/// When a timer expires next, and how often; nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// The deadline on the queue's clock; 0 if the timer is not armed.
    pub deadline_ns: u64,
    /// The interval after it; 0 for once.
    pub interval_ns: u64,
}

/// A timer of a process.
#[derive(Debug)]
pub struct Timer {
    process: Weak<Process>,
    notify: Notify,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) setting: Setting,
    /// Where it stands in its queue.
    pub(super) serial: u64,
    /// Expirations beyond the first of the last signal.
    overrun: u32,
}

impl Timer {
    /// Makes a timer that is not armed.
    #[must_use]
    pub fn new(process: &Arc<Process>, notify: Notify) -> Arc<Timer> {
        Arc::new(Timer {
            process: Arc::downgrade(process),
            notify,
            state: Mutex::new(State::default()),
        })
    }

    /// When it expires next.
    #[must_use]
    pub fn setting(&self) -> Setting {
        self.state.lock().setting
    }

    /// How often it expired unheard before its last signal, timer_getoverrun(2).
    #[must_use]
    pub fn overrun(&self) -> u32 {
        self.state.lock().overrun
    }

    /// Moves the deadline on past `now_ns`; returns the new one, or `None` after a single
    /// expiration.
    pub(super) fn advance(&self, now_ns: u64) -> Option<u64> {
        let mut state = self.state.lock();
        let Setting {
            deadline_ns,
            interval_ns,
        } = state.setting;
        if interval_ns == 0 {
            state.setting.deadline_ns = 0;
            state.overrun = 0;
            return None;
        }
        let missed = now_ns.saturating_sub(deadline_ns) / interval_ns;
        state.overrun = u32::try_from(missed).unwrap_or(i32::MAX.unsigned_abs());
        let next = deadline_ns.saturating_add((missed + 1).saturating_mul(interval_ns));
        state.setting.deadline_ns = next;
        Some(next)
    }

    /// Does what the timer is for.
    pub(super) fn fire(&self) {
        let Some(process) = self.process.upgrade() else {
            return;
        };
        let overrun = self.overrun();
        // A full queue loses the signal; the overrun of the next one tells.
        let _ = match &self.notify {
            Notify::Nothing => Ok(()),
            Notify::CpuLimit => {
                process.watch_cpu_limit();
                Ok(())
            }
            Notify::Kernel(signal) => send_to_process(&process, SignalInfo::kernel(*signal)),
            Notify::Process(signal, id, value) => {
                let info = SignalInfo::timer(*signal, *id, overrun, *value);
                send_to_process(&process, info)
            }
            Notify::Thread(thread, signal, id, value) => {
                let info = SignalInfo::timer(*signal, *id, overrun, *value);
                match thread.upgrade() {
                    Some(thread) => send_to_thread(&thread, info),
                    None => Ok(()),
                }
            }
        };
    }
}
