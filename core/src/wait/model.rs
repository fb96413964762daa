//! Parking under a model checker, which runs every order in which threads can take turns. A wake-up
//! that is lost leaves a thread asleep for ever, which it reports as a deadlock.
//!
//! The host's futex is modelled by what futex(2) promises: the look at the word and going to sleep
//! are one step. Queues and futex buckets are not in the model: they change under a lock, and what
//! is left to chance is the parking.

use super::parker::{Parker, Word};
use capsid_platform::{WaitMode, WaitOutcome};
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// A word with a futex of its own.
#[derive(Default)]
struct ModelWord {
    value: AtomicU32,
    bucket: Mutex<()>,
    sleeper: Condvar,
}

impl Word for ModelWord {
    fn swap(&self, value: u32) -> u32 {
        self.value.swap(value, Ordering::SeqCst)
    }

    fn replace(&self, current: u32, new: u32) -> u32 {
        let (success, failure) = (Ordering::SeqCst, Ordering::SeqCst);
        let replaced = self.value.compare_exchange(current, new, success, failure);
        replaced.unwrap_or_else(|found| found)
    }

    /// A deadline has passed already.
    fn wait(&self, expected: u32, deadline_ns: Option<u64>, _mode: WaitMode) -> WaitOutcome {
        let guard = self.bucket.lock().unwrap();
        if self.value.load(Ordering::SeqCst) != expected {
            return WaitOutcome::Woken;
        }
        if deadline_ns.is_some() {
            return WaitOutcome::TimedOut;
        }
        drop(self.sleeper.wait(guard).unwrap());
        WaitOutcome::Woken
    }

    fn wake(&self) {
        let _guard = self.bucket.lock().unwrap();
        self.sleeper.notify_one();
    }
}

/// A parker, and the condition that its thread waits for.
#[derive(Default)]
struct Shared {
    parker: Parker<ModelWord>,
    count: Mutex<u32>,
}

impl Shared {
    fn announce(&self) {
        *self.count.lock().unwrap() += 1;
        self.parker.unpark();
    }

    /// Waits as [`super::Waiter::wait_until`] does.
    fn wait_for(&self, count: u32) {
        loop {
            self.parker.clear();
            if *self.count.lock().unwrap() >= count {
                return;
            }
            let outcome = self.parker.park(None, WaitMode::Interruptible);
            assert_eq!(outcome, WaitOutcome::Woken);
        }
    }
}

#[test]
fn no_wake_up_is_lost() {
    // All orders of two threads; of three, those with a few switches that nothing forces.
    for (wakers, preemptions) in [(1, None), (2, Some(2))] {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = preemptions;
        model.check(move || {
            let shared = Arc::new(Shared::default());
            let threads: alloc::vec::Vec<_> = (0..wakers)
                .map(|_| {
                    let shared = shared.clone();
                    thread::spawn(move || shared.announce())
                })
                .collect();
            shared.wait_for(wakers);
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }
}

#[test]
fn a_wake_up_that_meets_the_deadline_is_kept() {
    loom::model(|| {
        let shared = Arc::new(Shared::default());
        let waker = {
            let shared = shared.clone();
            thread::spawn(move || shared.parker.unpark())
        };
        let first = shared.parker.park(Some(0), WaitMode::Interruptible);
        waker.join().unwrap();
        let second = shared.parker.park(Some(0), WaitMode::Interruptible);
        let woken = [first, second].map(|outcome| outcome == WaitOutcome::Woken);
        assert!(
            woken[0] != woken[1],
            "each wake-up counts once: {first:?}, {second:?}"
        );
    });
}

#[test]
fn notifications_do_not_add_up() {
    loom::model(|| {
        let shared = Arc::new(Shared::default());
        shared.parker.unpark();
        shared.parker.unpark();
        let outcomes = [(); 2].map(|()| shared.parker.park(Some(0), WaitMode::Interruptible));
        assert_eq!(outcomes, [WaitOutcome::Woken, WaitOutcome::TimedOut]);
    });
}
