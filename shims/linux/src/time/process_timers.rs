//! The timers that a process owns.

use crate::signal::Signal;
use crate::task::Process;
use crate::time::{Notify, Setting, Timer, TimerQueue};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use capsid_core::sync::Mutex;
use capsid_platform::{Clock, HostTimer};

/// Which interval timer, setitimer(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalKind {
    /// Wall time: `SIGALRM`.
    Real = 0,
    /// CPU time of the process: `SIGVTALRM`. Counts all of it, since the library OS runs in it.
    Virtual = 1,
    /// CPU time of the process and of the host's kernel for it: `SIGPROF`.
    Profiling = 2,
}

impl IntervalKind {
    fn signal(self) -> Signal {
        match self {
            IntervalKind::Real => Signal::ALRM,
            IntervalKind::Virtual => Signal::VTALRM,
            IntervalKind::Profiling => Signal::PROF,
        }
    }
}

/// A POSIX timer and the queue it is on.
#[derive(Clone, Debug)]
pub struct PosixTimer {
    /// The timer.
    pub timer: Arc<Timer>,
    /// The clock it was made for.
    pub clock: Clock,
}

/// The timers of a process.
#[derive(Debug)]
pub struct ProcessTimers {
    /// Those that count CPU time.
    pub cpu: TimerQueue,
    intervals: Mutex<[Option<Arc<Timer>>; 3]>,
    /// Looks after `RLIMIT_CPU`.
    cpu_limit: Mutex<Option<Arc<Timer>>>,
    /// POSIX timers by number.
    pub posix: Mutex<BTreeMap<i32, PosixTimer>>,
}

impl Default for ProcessTimers {
    fn default() -> ProcessTimers {
        ProcessTimers {
            cpu: TimerQueue::new(Clock::ProcessCpu, HostTimer::Profiling),
            intervals: Mutex::default(),
            cpu_limit: Mutex::default(),
            posix: Mutex::default(),
        }
    }
}

impl ProcessTimers {
    /// Stops all timers, at the end of the process.
    pub fn clear(&self, process: &Process) {
        let mut intervals = core::mem::take(&mut *self.intervals.lock());
        let memory = process.memory();
        for timer in intervals.iter_mut().filter_map(Option::take) {
            process
                .kernel
                .timers
                .set(&timer, Setting::default(), &memory);
        }
        if let Some(timer) = self.cpu_limit.lock().take() {
            self.cpu.set(&timer, Setting::default(), &memory);
        }
        self.clear_posix(process);
    }

    /// Sets the timer that looks after the limit on CPU time.
    pub fn set_cpu_limit(&self, process: &Arc<Process>, setting: Setting) {
        let timer = {
            let mut timer = self.cpu_limit.lock();
            if timer.is_none() && setting == Setting::default() {
                return;
            }
            timer
                .get_or_insert_with(|| Timer::new(process, Notify::CpuLimit))
                .clone()
        };
        self.cpu.set(&timer, setting, &process.memory());
    }

    /// Deletes the POSIX timers, as exec does too.
    pub fn clear_posix(&self, process: &Process) {
        let timers = core::mem::take(&mut *self.posix.lock());
        let memory = process.memory();
        for posix in timers.into_values() {
            process
                .kernel
                .timers
                .set(&posix.timer, Setting::default(), &memory);
            self.cpu.set(&posix.timer, Setting::default(), &memory);
        }
    }
}

impl Process {
    /// Fires the timers that are due, after the host interrupted the process.
    pub fn expire_timers(&self) {
        let memory = self.memory();
        self.kernel.timers.expire_in(&memory);
        self.timers.cpu.expire_in(&memory);
    }

    /// The queue of an interval timer.
    #[must_use]
    pub fn interval_queue(&self, kind: IntervalKind) -> &TimerQueue {
        match kind {
            IntervalKind::Real => &self.kernel.timers,
            IntervalKind::Virtual | IntervalKind::Profiling => &self.timers.cpu,
        }
    }

    /// Reads an interval timer: what is left, and the interval; nanoseconds.
    #[must_use]
    pub fn interval(&self, kind: IntervalKind) -> (u64, u64) {
        let timer = self.timers.intervals.lock()[kind as usize].clone();
        let setting = timer.map_or_else(Setting::default, |timer| timer.setting());
        (self.left(kind, setting), setting.interval_ns)
    }

    fn left(&self, kind: IntervalKind, setting: Setting) -> u64 {
        match setting.deadline_ns {
            0 => 0,
            deadline => deadline
                .saturating_sub(self.interval_queue(kind).now())
                .max(1),
        }
    }

    /// Sets an interval timer and returns what was set: what was left, and the interval.
    pub fn set_interval(
        self: &Arc<Process>,
        kind: IntervalKind,
        value_ns: u64,
        interval_ns: u64,
    ) -> (u64, u64) {
        let timer = {
            let mut intervals = self.timers.intervals.lock();
            intervals[kind as usize]
                .get_or_insert_with(|| Timer::new(self, Notify::Kernel(kind.signal())))
                .clone()
        };
        let queue = self.interval_queue(kind);
        let setting = if value_ns == 0 {
            Setting::default()
        } else {
            Setting {
                deadline_ns: queue.now().saturating_add(value_ns),
                interval_ns,
            }
        };
        let old = queue.set(&timer, setting, &self.memory());
        (self.left(kind, old), old.interval_ns)
    }
}
