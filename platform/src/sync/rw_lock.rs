//! The reader-writer lock: a word that counts readers, and a word to sleep on.

use super::SPINS;
use crate::{WaitMode, platform};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

/// A writer holds the lock.
const WRITER: u32 = 1 << 31;
/// A thread may sleep: unlocking must wake. New readers wait too, so that writers get in.
const WAITERS: u32 = 1 << 30;
const READERS: u32 = WAITERS - 1;

/// The raw lock under [`super::RwLock`].
#[derive(Debug)]
pub struct RawRwLock {
    state: AtomicU32,
}

impl RawRwLock {
    /// Sleeps until the state changes from one in which `attempt` failed.
    #[cold]
    fn lock_slowly(&self, attempt: impl Fn() -> bool) {
        loop {
            for _ in 0..SPINS {
                if attempt() {
                    return;
                }
                spin_loop();
            }
            let state = self.state.load(Ordering::Relaxed);
            if state & (WRITER | READERS) == 0 {
                // Only the mark of sleepers is left: take it off, so that attempts can succeed.
                let _ = self
                    .state
                    .compare_exchange(state, 0, Ordering::Relaxed, Ordering::Relaxed);
                continue;
            }
            let marked = state | WAITERS;
            if state == marked
                || self
                    .state
                    .compare_exchange(state, marked, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                platform().wait(&self.state, marked, None, WaitMode::Uninterruptible);
            }
        }
    }

    fn wake_all(&self) {
        platform().wake(&self.state, u32::MAX >> 1);
    }
}

// SAFETY: WRITER is set only by a compare-exchange from a state without WRITER and readers, and the
// reader count rises only while WRITER is clear; each unlock undoes its lock.
unsafe impl lock_api::RawRwLock for RawRwLock {
    const INIT: RawRwLock = RawRwLock {
        state: AtomicU32::new(0),
    };
    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock_shared(&self) {
        if !self.try_lock_shared() {
            self.lock_slowly(|| self.try_lock_shared());
        }
    }

    #[inline]
    fn try_lock_shared(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        state & (WRITER | WAITERS) == 0
            && state & READERS != READERS
            && self
                .state
                .compare_exchange(state, state + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        let before = self.state.fetch_sub(1, Ordering::Release);
        if before & READERS == 1 && before & WAITERS != 0 {
            self.state.fetch_and(!WAITERS, Ordering::Relaxed);
            self.wake_all();
        }
    }

    #[inline]
    fn lock_exclusive(&self) {
        if !self.try_lock_exclusive() {
            self.lock_slowly(|| self.try_lock_exclusive());
        }
    }

    #[inline]
    fn try_lock_exclusive(&self) -> bool {
        self.state
            .compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        if self.state.swap(0, Ordering::Release) & WAITERS != 0 {
            self.wake_all();
        }
    }
}
