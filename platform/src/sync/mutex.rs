//! The mutual-exclusion lock: one word, three states (Drepper, "Futexes are tricky", mutex 2).

use super::SPINS;
use crate::{WaitMode, platform};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

const UNLOCKED: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and a thread may sleep on the word.
const CONTENDED: u32 = 2;

/// The raw lock under [`super::Mutex`].
#[derive(Debug)]
pub struct RawMutex(AtomicU32);

impl RawMutex {
    #[cold]
    fn lock_slowly(&self) {
        for _ in 0..SPINS {
            if self.0.load(Ordering::Relaxed) == UNLOCKED && lock_api::RawMutex::try_lock(self) {
                return;
            }
            spin_loop();
        }
        while self.0.swap(CONTENDED, Ordering::Acquire) != UNLOCKED {
            platform().wait(&self.0, CONTENDED, None, WaitMode::Uninterruptible);
        }
    }
}

// SAFETY: the word is LOCKED or CONTENDED from a successful lock to its unlock, and only the thread
// that changed it from UNLOCKED has the lock.
unsafe impl lock_api::RawMutex for RawMutex {
    const INIT: RawMutex = RawMutex(AtomicU32::new(UNLOCKED));
    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.lock_slowly();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0
            .compare_exchange(UNLOCKED, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.0.swap(UNLOCKED, Ordering::Release) == CONTENDED {
            platform().wake(&self.0, 1);
        }
    }
}
