//! Barriers that a thread passes because another one asked for it, membarrier(2).
//!
//! The host is not asked: the thread is interrupted, and passes the barrier where it enters the
//! library OS. One that is in the library OS passes it before it sleeps on or runs guest code.

use crate::task::Thread;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::wait::{Events, WaitQueue, Waiter};
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// Who waits for threads to pass barriers.
static PASSED: WaitQueue = WaitQueue::new();

/// How many barriers a thread was asked to pass, and how many it has passed.
#[derive(Debug, Default)]
pub struct Barriers {
    wanted: AtomicU64,
    passed: AtomicU64,
}

impl Barriers {
    /// Whether there is one to pass.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) != self.passed.load(Ordering::Relaxed)
    }

    /// Passes what there is to pass. Called by the thread itself.
    pub fn pass(&self) {
        let wanted = self.wanted.load(Ordering::SeqCst);
        if wanted != self.passed.load(Ordering::Relaxed) {
            fence(Ordering::SeqCst);
            self.passed.store(wanted, Ordering::SeqCst);
            announce();
        }
    }

    fn ask(&self) -> u64 {
        self.wanted.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn has_passed(&self, wanted: u64) -> bool {
        self.passed.load(Ordering::SeqCst) >= wanted
    }
}

/// A thread passed a barrier, or ended.
pub(super) fn announce() {
    PASSED.wake(Events::IN);
}

/// Has other threads pass a barrier, and waits until all have: `EINTR`.
pub fn await_barrier(caller: &Arc<Thread>, threads: &[Arc<Thread>]) -> Result<(), Errno> {
    fence(Ordering::SeqCst);
    let mut asked = Vec::new();
    for thread in threads.iter().filter(|other| !Arc::ptr_eq(other, caller)) {
        // Under the lock that the thread takes before it decides that nothing is to be done.
        let _state = thread.process.state.lock();
        if runs(thread) {
            let wanted = thread.barriers.ask();
            thread.notify();
            asked.push((thread, wanted));
        }
    }
    let _place = PASSED.register(caller.parker.clone(), Events::IN);
    caller.wait_until(None, || {
        asked.retain(|(thread, wanted)| runs(thread) && !thread.barriers.has_passed(*wanted));
        asked.is_empty().then_some(())
    })
}

/// Whether a thread may be running guest code: a barrier passes by itself where it begins to.
fn runs(thread: &Thread) -> bool {
    thread.token.lock().is_some()
}
