//! Timers in order, over one host timer.
//!
//! A queue asks the host for its earliest deadline only, in the guest process that happens to arm
//! it. When that process ends, another one takes over.

use crate::task::{Process, ProcessMemory};
use crate::time::{Setting, Timer};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::sync::Mutex;
use capsid_platform::{Clock, HostTimer, platform};
use core::sync::atomic::{AtomicU64, Ordering};

const NEVER: u64 = u64::MAX;

/// Once a timer has gone off, the host is not asked to interrupt again before this has passed. A
/// timer with an interval shorter than an interruption takes would leave the program no time;
/// what it misses counts as overrun.
const REST_NS: u64 = 50_000;

/// Timers on one clock.
#[derive(Debug)]
pub struct TimerQueue {
    clock: Clock,
    host_timer: HostTimer,
    /// The earliest deadline, so that a look costs one load.
    earliest_ns: AtomicU64,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_deadline: BTreeMap<(u64, u64), Arc<Timer>>,
    last_serial: u64,
    /// What the host timer is set to, and in which address space (its host process).
    armed_ns: Option<u64>,
    holder: usize,
}

impl TimerQueue {
    /// Makes an empty queue.
    #[must_use]
    pub fn new(clock: Clock, host_timer: HostTimer) -> TimerQueue {
        TimerQueue {
            clock,
            host_timer,
            earliest_ns: AtomicU64::new(NEVER),
            entries: Mutex::new(Entries::default()),
        }
    }

    /// Reads the queue's clock.
    #[must_use]
    pub fn now(&self) -> u64 {
        platform().now(self.clock)
    }

    /// Sets a timer, for the calling process's host timer to look after, and returns what was set
    /// before. A deadline of 0 disarms.
    pub fn set(
        &self,
        timer: &Arc<Timer>,
        setting: Setting,
        memory: &Arc<ProcessMemory>,
    ) -> Setting {
        let mut entries = self.entries.lock();
        let old = self.replace(&mut entries, timer, setting);
        self.arm(&mut entries, memory, 1);
        drop(entries);
        self.expire_in(memory);
        old
    }

    fn replace(&self, entries: &mut Entries, timer: &Arc<Timer>, setting: Setting) -> Setting {
        let mut state = timer.state.lock();
        let old = state.setting;
        entries.by_deadline.remove(&(old.deadline_ns, state.serial));
        state.setting = setting;
        if setting.deadline_ns != 0 {
            entries.last_serial += 1;
            state.serial = entries.last_serial;
            let key = (setting.deadline_ns, state.serial);
            entries.by_deadline.insert(key, timer.clone());
        }
        old
    }

    /// Lets the host wake this process for the earliest deadline, if nobody is woken earlier; not
    /// before `least_ns`, which is at least 1, has passed.
    fn arm(&self, entries: &mut Entries, memory: &Arc<ProcessMemory>, least_ns: u64) {
        let earliest = entries
            .by_deadline
            .keys()
            .next()
            .map(|(deadline, _)| *deadline);
        let earliest_ns = earliest.unwrap_or(NEVER);
        self.earliest_ns.store(earliest_ns, Ordering::SeqCst);
        let Some(deadline) = earliest else {
            return;
        };
        let now = self.now();
        // What the host timer was set to has passed unheard if the process has ended meanwhile.
        if entries
            .armed_ns
            .is_some_and(|armed| armed <= deadline && armed > now)
        {
            return;
        }
        entries.armed_ns = Some(deadline);
        entries.holder = Arc::as_ptr(memory).addr();
        // Zero would disarm.
        let delay = deadline.saturating_sub(now).max(least_ns);
        platform().set_timer(self.host_timer, Some(delay));
    }

    /// Fires what is due, when the host interrupted a process using `memory`.
    pub fn expire_in(&self, memory: &Arc<ProcessMemory>) {
        if self.earliest_ns.load(Ordering::SeqCst) == NEVER {
            return;
        }
        let now = self.now();
        let mut entries = self.entries.lock();
        if entries.holder == Arc::as_ptr(memory).addr() {
            // The host's timer may have gone off, even a little early.
            entries.armed_ns = None;
        }
        let mut due = Vec::new();
        while let Some(entry) = entries.by_deadline.first_entry() {
            let (deadline, serial) = *entry.key();
            if deadline > now {
                break;
            }
            let timer = entry.remove();
            if let Some(next) = timer.advance(now) {
                entries.by_deadline.insert((next, serial), timer.clone());
            }
            due.push(timer);
        }
        self.arm(
            &mut entries,
            memory,
            if due.is_empty() { 1 } else { REST_NS },
        );
        drop(entries);
        for timer in due {
            timer.fire();
        }
    }

    /// A host process goes on with other memory, after exec: its host timer is the new memory's.
    pub fn memory_replaced(&self, old: &Arc<ProcessMemory>, new: &Arc<ProcessMemory>) {
        let mut entries = self.entries.lock();
        if entries.holder == Arc::as_ptr(old).addr() {
            entries.holder = Arc::as_ptr(new).addr();
        }
    }

    /// Finds another process to wake, once the one with the host timer has ended.
    pub fn process_ended(&self, process: &Arc<Process>) {
        let memory = process.memory();
        let mut entries = self.entries.lock();
        if entries.holder != Arc::as_ptr(&memory).addr()
            || entries.armed_ns.is_none()
            || memory.users.load(Ordering::SeqCst) > 0
        {
            return;
        }
        entries.armed_ns = None;
        let idle = entries.by_deadline.is_empty();
        drop(entries);
        if idle {
            return;
        }
        // Whoever is interrupted arms its own host timer.
        for other in process.kernel.processes() {
            let threads = other.threads();
            if let Some(token) = threads.iter().find_map(|thread| *thread.token.lock()) {
                platform().kick(token);
                return;
            }
        }
    }
}
