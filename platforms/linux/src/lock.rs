//! The platform's own lock, for the few places that run before the library OS's locks can.

use crate::wait;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

const UNLOCKED: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and a thread may sleep.
const CONTENDED: u32 = 2;
const SPINS: u32 = 200;

/// A mutual-exclusion lock over shared memory, without data of its own.
#[derive(Debug, Default)]
pub struct Lock(AtomicU32);

/// Holds a [`Lock`].
#[derive(Debug)]
pub struct LockGuard<'a>(&'a Lock);

impl Lock {
    /// An open lock.
    pub const fn new() -> Lock {
        Lock(AtomicU32::new(UNLOCKED))
    }

    /// Takes the lock.
    #[inline]
    pub fn lock(&self) -> LockGuard<'_> {
        if self
            .0
            .compare_exchange(UNLOCKED, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_slowly();
        }
        LockGuard(self)
    }

    #[cold]
    fn lock_slowly(&self) {
        for _ in 0..SPINS {
            if self.0.load(Ordering::Relaxed) == UNLOCKED
                && self
                    .0
                    .compare_exchange(UNLOCKED, LOCKED, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return;
            }
            spin_loop();
        }
        while self.0.swap(CONTENDED, Ordering::Acquire) != UNLOCKED {
            wait::sleep_plainly(&self.0, CONTENDED);
        }
    }
}

impl Drop for LockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.0.0.swap(UNLOCKED, Ordering::Release) == CONTENDED {
            wait::wake(&self.0.0, 1);
        }
    }
}
