//! Timers that can be read and polled, timerfd_create(2).
//!
//! No timer interrupts anybody: whoever sleeps on such a file asks [`File::refresh`] first and
//! sleeps no longer than that says.

use crate::fs::{DetachedInode, File, Inode};
use crate::io::Destination;
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};
use alloc::string::String;
use alloc::sync::Arc;
use capsid_platform::{Clock, Errno, platform};

/// What a timer is set to, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerSetting {
    /// Until, or the moment of, the first expiry; 0 disarms.
    pub value: u64,
    /// Between expiries; 0 for just one.
    pub interval: u64,
}

/// A timer as a file.
#[derive(Debug)]
pub struct TimerFile {
    clock: Clock,
    state: Mutex<State>,
    queue: WaitQueue,
}

#[derive(Debug, Default)]
struct State {
    /// The next expiry, on the monotonic clock.
    next: Option<u64>,
    interval: u64,
    /// Expiries that nobody read.
    expired: u64,
}

impl State {
    /// Counts what expired until `now`.
    fn advance(&mut self, now: u64) -> bool {
        let Some(next) = self.next.filter(|&next| next <= now) else {
            return false;
        };
        match (now - next).checked_div(self.interval) {
            None => {
                self.expired = self.expired.saturating_add(1);
                self.next = None;
            }
            Some(more) => {
                let count = more.saturating_add(1);
                self.expired = self.expired.saturating_add(count);
                self.next = next.checked_add(self.interval.saturating_mul(count));
            }
        }
        true
    }

    fn setting(&self, now: u64) -> TimerSetting {
        TimerSetting {
            // One that is due is not yet disarmed.
            value: self.next.map_or(0, |next| next.saturating_sub(now).max(1)),
            interval: self.interval,
        }
    }
}

impl TimerFile {
    /// Makes a disarmed timer on `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> TimerFile {
        TimerFile {
            clock,
            state: Mutex::new(State::default()),
            queue: WaitQueue::new(),
        }
    }

    /// Sets the timer, `setting.value` being a moment of its clock if `absolute`, and returns what
    /// it was set to.
    pub fn set(&self, setting: TimerSetting, absolute: bool) -> TimerSetting {
        let now = platform().now(Clock::Monotonic);
        let mut state = self.state.lock();
        state.advance(now);
        let before = state.setting(now);
        let next = if absolute {
            // Steps of the host's clock after this are not followed.
            let ahead = match self.clock {
                Clock::Monotonic => return self.finish(state, now, setting.value, setting, before),
                clock => setting.value.saturating_sub(platform().now(clock)),
            };
            now.saturating_add(ahead)
        } else {
            now.saturating_add(setting.value)
        };
        self.finish(state, now, next, setting, before)
    }

    fn finish(
        &self,
        mut state: crate::sync::MutexGuard<'_, State>,
        now: u64,
        next: u64,
        setting: TimerSetting,
        before: TimerSetting,
    ) -> TimerSetting {
        *state = State {
            next: (setting.value != 0).then_some(next),
            interval: setting.interval,
            expired: 0,
        };
        state.advance(now);
        drop(state);
        // Sleepers look at the new deadline.
        self.queue.wake(Events::READABLE);
        before
    }

    /// What is left, timerfd_gettime(2).
    #[must_use]
    pub fn setting(&self) -> TimerSetting {
        let now = platform().now(Clock::Monotonic);
        let mut state = self.state.lock();
        state.advance(now);
        state.setting(now)
    }
}

impl File for TimerFile {
    fn read(&self, _offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        if destination.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        state.advance(platform().now(Clock::Monotonic));
        let expired = core::mem::take(&mut state.expired);
        drop(state);
        if expired == 0 {
            return Err(Errno::EAGAIN);
        }
        destination.put(&expired.to_ne_bytes())
    }

    fn readiness(&self) -> Events {
        self.refresh();
        if self.state.lock().expired > 0 {
            Events::READABLE
        } else {
            Events::empty()
        }
    }

    fn refresh(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let expired = state.advance(platform().now(Clock::Monotonic));
        let next = state.next;
        drop(state);
        if expired {
            self.queue.wake(Events::READABLE);
        }
        next
    }

    fn changes_with_time(&self) -> bool {
        true
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(DetachedInode::anonymous("[timerfd]"))
    }

    fn label(&self) -> Option<String> {
        Some("anon_inode:[timerfd]".into())
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn expiries_are_counted_once() {
        let mut state = State {
            next: Some(100),
            interval: 10,
            expired: 0,
        };
        assert!(!state.advance(99));
        assert!(state.advance(125));
        assert_eq!((state.expired, state.next), (3, Some(130)));
        assert!(!state.advance(129));
        let mut once = State {
            next: Some(5),
            interval: 0,
            expired: 0,
        };
        assert!(once.advance(50));
        assert_eq!((once.expired, once.next), (1, None));
    }
}
