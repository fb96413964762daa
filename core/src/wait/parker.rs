//! Parking: how one guest thread sleeps in the library OS and is woken.

use crate::wait::{Events, Wake};
use alloc::sync::Arc;
use capsid_platform::{Errno, WaitMode, WaitOutcome, platform};
use core::sync::atomic::{AtomicU32, Ordering};

const IDLE: u32 = 0;
const NOTIFIED: u32 = 1;
const PARKED: u32 = 2;

/// A word that one thread sleeps on and others wake. All operations are sequentially consistent.
///
/// There is one kind; a model checker has another, which sleeps as futex(2) promises.
pub trait Word: Default {
    /// Sets the word, and returns what it was.
    fn swap(&self, value: u32) -> u32;

    /// Sets the word to `new` if it is `current`; returns what it was.
    fn replace(&self, current: u32, new: u32) -> u32;

    /// Sleeps while the word is `expected`, as [`capsid_platform::Platform::wait`] does.
    fn wait(&self, expected: u32, deadline_ns: Option<u64>, mode: WaitMode) -> WaitOutcome;

    /// Wakes the thread that sleeps.
    fn wake(&self);
}

impl Word for AtomicU32 {
    fn swap(&self, value: u32) -> u32 {
        self.swap(value, Ordering::SeqCst)
    }

    fn replace(&self, current: u32, new: u32) -> u32 {
        let replaced = self.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst);
        replaced.unwrap_or_else(|found| found)
    }

    fn wait(&self, expected: u32, deadline_ns: Option<u64>, mode: WaitMode) -> WaitOutcome {
        platform().wait(self, expected, deadline_ns, mode)
    }

    fn wake(&self) {
        platform().wake(self, 1);
    }
}

/// One guest thread's place to sleep.
///
/// The order that loses no wake-up: register with every queue, look at the condition, park. A
/// wake between the look and the park makes the park return at once.
#[derive(Debug, Default)]
pub struct Parker<W = AtomicU32>(W);

impl<W: Word> Parker<W> {
    /// Forgets an earlier notification.
    pub fn clear(&self) {
        self.0.swap(IDLE);
    }

    /// Sleeps until notified, the deadline (monotonic, ns) passes, or a kick comes.
    pub fn park(&self, deadline_ns: Option<u64>, mode: WaitMode) -> WaitOutcome {
        loop {
            if self.0.replace(IDLE, PARKED) == NOTIFIED {
                self.clear();
                return WaitOutcome::Woken;
            }
            let outcome = self.0.wait(PARKED, deadline_ns, mode);
            let notified = self.0.swap(IDLE) == NOTIFIED;
            if let Some(outcome) = outcome_of(outcome, notified) {
                return outcome;
            }
        }
    }

    /// Wakes the thread, or makes its next park return at once.
    pub fn unpark(&self) {
        if self.0.swap(NOTIFIED) == PARKED {
            self.0.wake();
        }
    }
}

/// What a wait came to; `None` if it ended for no reason. A kick counts before a notification that
/// came with it: the kick is used up, and the notified look at their condition in any case.
fn outcome_of(outcome: WaitOutcome, notified: bool) -> Option<WaitOutcome> {
    match outcome {
        WaitOutcome::Interrupted => Some(WaitOutcome::Interrupted),
        WaitOutcome::Woken | WaitOutcome::TimedOut if notified => Some(WaitOutcome::Woken),
        WaitOutcome::TimedOut => Some(WaitOutcome::TimedOut),
        WaitOutcome::Woken => None,
    }
}

impl Wake for Parker {
    fn wake(&self, _events: Events) {
        self.unpark();
    }
}

/// The calling thread as a waiter: its parker, and whether it should give up.
pub trait Waiter {
    /// The thread's parker.
    fn parker(&self) -> &Arc<Parker>;

    /// Whether a signal (or the thread's end) must be looked at before sleeping on.
    fn interrupted(&self) -> bool;

    /// Looks after timers that came due while the thread was blocked; called when a kick ended a
    /// wait.
    fn kicked(&self);

    /// Sleeps until `attempt` returns something, giving `EINTR` when interrupted and `ETIMEDOUT`
    /// when the deadline passes. The caller has registered its parker with the queues that
    /// announce a change. `attempt` is called first, and after each wake-up.
    fn wait_until<T>(
        &self,
        deadline_ns: Option<u64>,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Result<T, Errno>
    where
        Self: Sized,
    {
        loop {
            self.parker().clear();
            if let Some(value) = attempt() {
                return Ok(value);
            }
            if self.interrupted() {
                return Err(Errno::EINTR);
            }
            match self.parker().park(deadline_ns, WaitMode::Interruptible) {
                WaitOutcome::Woken => {}
                WaitOutcome::Interrupted => {
                    self.kicked();
                    if self.interrupted() {
                        return attempt().ok_or(Errno::EINTR);
                    }
                }
                WaitOutcome::TimedOut => return attempt().ok_or(Errno::ETIMEDOUT),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::outcome_of;
    use capsid_platform::WaitOutcome::{Interrupted, TimedOut, Woken};

    #[test]
    fn neither_kicks_nor_notifications_are_lost() {
        // A parent that waits for its children is notified of one's end and, when that child looked
        // after the timers of all, kicked to take them over.
        assert_eq!(outcome_of(Interrupted, true), Some(Interrupted));
        assert_eq!(outcome_of(Interrupted, false), Some(Interrupted));
        assert_eq!(outcome_of(TimedOut, true), Some(Woken));
        assert_eq!(outcome_of(TimedOut, false), Some(TimedOut));
        assert_eq!(outcome_of(Woken, true), Some(Woken));
        assert_eq!(outcome_of(Woken, false), None);
    }
}
