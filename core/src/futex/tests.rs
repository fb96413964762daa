//! Futexes under threads: no wake-up may be lost.

extern crate std;

use super::*;
use capsid_platform::{Clock, ThreadToken};
use capsid_platform_threads::install;
use core::sync::atomic::AtomicBool;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// A guest thread as far as waiting goes.
pub(super) struct Sleeper {
    parker: Arc<Parker>,
    pub(super) interrupted: Arc<AtomicBool>,
}

impl Sleeper {
    pub(super) fn new() -> Sleeper {
        Sleeper {
            parker: Arc::default(),
            interrupted: Arc::default(),
        }
    }
}

impl Waiter for Sleeper {
    fn parker(&self) -> &Arc<Parker> {
        &self.parker
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    fn kicked(&self) {}
}

pub(super) fn place(space: u64, address: GuestAddr) -> Location {
    Location::Private(space, address.0)
}

fn on(space: u64, address: GuestAddr, expected: u32) -> WaitOn {
    WaitOn {
        location: place(space, address),
        address,
        expected,
        bits: ANY,
    }
}

/// Runs `body` on a thread of the calling guest process.
pub(super) fn guest_thread<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let token: ThreadToken = platform().current_thread();
    spawn(move || {
        install().join_process(token);
        body()
    })
}

/// Waits until `count` threads are queued or about to be.
fn until_waiting(location: &Location, count: usize) {
    let bucket = bucket_of(bucket_index(location));
    while bucket.lock().count_at(location) < count {
        std::thread::sleep(Duration::from_micros(50));
    }
}

#[test]
fn values_times_and_signals_end_waits() {
    let word = install().guest_memory(8);
    let sleeper = Sleeper::new();
    assert_eq!(wait(&sleeper, &on(1, word, 1), None), Err(Errno::EAGAIN));
    let soon = platform().now(Clock::Monotonic) + 1_000_000;
    let timed = wait(&sleeper, &on(1, word, 0), Some(soon));
    assert_eq!(timed, Err(Errno::ETIMEDOUT));
    assert_eq!(
        wait(&sleeper, &on(1, GuestAddr(8), 0), None),
        Err(Errno::EFAULT)
    );
    sleeper.interrupted.store(true, Ordering::SeqCst);
    assert_eq!(wait(&sleeper, &on(1, word, 0), None), Err(Errno::EINTR));
    assert_eq!(wake(&place(1, word), 1, ANY), 0);
}

#[test]
fn a_lock_of_three_states_loses_no_wake_up() {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 2000;
    let memory = install().guest_memory(8);
    let counter = GuestAddr(memory.0 + 4);
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            guest_thread(move || {
                let sleeper = Sleeper::new();
                let swap = |to| platform().guest_atomic(memory, AtomicOp::Swap(to)).unwrap();
                for _ in 0..ROUNDS {
                    let exchange = AtomicOp::CompareExchange {
                        expected: 0,
                        new: 1,
                    };
                    if platform().guest_atomic(memory, exchange) != Ok(0) {
                        while swap(2) != 0 {
                            match wait(&sleeper, &on(2, memory, 2), None) {
                                Ok(()) | Err(Errno::EAGAIN) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                    // Not atomic: only the lock keeps it right.
                    let count = counter.read_u32().unwrap();
                    counter.write_u32(count + 1).unwrap();
                    if swap(0) == 2 {
                        wake(&place(2, memory), 1, ANY);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(counter.read_u32(), Ok(THREADS * ROUNDS));
}

#[test]
fn bits_choose_who_is_woken() {
    let word = install().guest_memory(4);
    let location = place(3, word);
    let waiters: Vec<_> = [1, 2, 4]
        .map(|bits| {
            guest_thread(move || {
                let on = WaitOn {
                    bits,
                    ..on(3, word, 0)
                };
                wait(&Sleeper::new(), &on, None)
            })
        })
        .into();
    until_waiting(&location, 3);
    assert_eq!(wake(&location, 8, 8), 0);
    assert_eq!(wake(&location, 8, 3), 2);
    assert_eq!(wake(&location, 8, ANY), 1);
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap(), Ok(()));
    }
}

#[test]
fn requeued_threads_are_woken_at_the_new_place() {
    let memory = install().guest_memory(8);
    let (from, to) = (place(4, memory), place(4, GuestAddr(memory.0 + 4)));
    let deadline = platform().now(Clock::Monotonic) + 50_000_000;
    let waiters: Vec<_> = (0..3)
        .map(|index| {
            guest_thread(move || {
                let deadline = (index == 0).then_some(deadline);
                wait(&Sleeper::new(), &on(4, memory, 0), deadline)
            })
        })
        .collect();
    until_waiting(&from, 3);
    assert_eq!(
        requeue(&from, &to, 1, 9, Some((memory, 1))),
        Err(Errno::EAGAIN)
    );
    assert_eq!(requeue(&from, &to, 1, 9, Some((memory, 0))), Ok((1, 2)));
    assert_eq!(wake(&from, 9, ANY), 0);
    // The one with a deadline may have passed it, wherever it was queued.
    std::thread::sleep(Duration::from_millis(100));
    let mut woken = 1 + wake(&to, 9, ANY);
    for waiter in waiters {
        woken -= u32::from(waiter.join().unwrap().is_ok());
    }
    assert_eq!(woken, 0);
}

#[test]
fn waking_after_an_operation_looks_at_the_old_value() {
    let memory = install().guest_memory(8);
    let second = GuestAddr(memory.0 + 4);
    second.write_u32(5).unwrap();
    let waiter = guest_thread(move || wait(&Sleeper::new(), &on(5, memory, 0), None));
    until_waiting(&place(5, memory), 1);
    let (one, two) = (place(5, memory), place(5, second));
    let add = (second, AtomicOp::Add(1));
    let woken = wake_after((&two, 9), (&one, 9), add, |old| old == 5);
    assert_eq!(woken, Ok(1));
    assert_eq!(second.read_u32(), Ok(6));
    assert_eq!(waiter.join().unwrap(), Ok(()));
}

#[test]
fn one_of_several_words_wakes() {
    let memory = install().guest_memory(8);
    let second = GuestAddr(memory.0 + 4);
    let waiter = guest_thread(move || {
        let places = [on(6, memory, 0), on(6, second, 0)];
        wait_any(&Sleeper::new(), &places, None)
    });
    until_waiting(&place(6, second), 1);
    assert_eq!(wake(&place(6, second), 1, ANY), 1);
    assert_eq!(waiter.join().unwrap(), Ok(1));
    assert_eq!(wake(&place(6, memory), 1, ANY), 0);
}
