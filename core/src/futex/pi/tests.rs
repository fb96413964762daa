//! Locks with an owner under threads.

extern crate std;

use super::*;
use crate::futex::tests::{Sleeper, guest_thread, place};
use crate::futex::{ANY, WaitOn};
use capsid_platform_threads::install;
use core::sync::atomic::AtomicBool;

fn alive(_: u32) -> OwnerState {
    OwnerState::Alive
}

fn gone(_: u32) -> OwnerState {
    OwnerState::Gone
}

fn at(space: u64, address: GuestAddr, thread: u32) -> Lock<'static> {
    Lock {
        location: place(space, address),
        address,
        thread,
        owner_state: &alive,
    }
}

/// Waits until somebody is in line for the lock.
fn until_contended(location: &Location) {
    while Bucket::of(location).find(location).is_none() {
        std::thread::yield_now();
    }
}

#[test]
fn only_one_thread_has_a_lock() {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 1000;
    let word = install().guest_memory(8);
    let counter = GuestAddr(word.0 + 4);
    let threads: Vec<_> = (1..=THREADS)
        .map(|id| {
            guest_thread(move || {
                let (sleeper, mine) = (Sleeper::new(), at(20, word, id));
                for _ in 0..ROUNDS {
                    lock(&sleeper, &mine, None).unwrap();
                    // Not atomic: only the lock keeps it right.
                    let count = counter.read_u32().unwrap();
                    counter.write_u32(count + 1).unwrap();
                    unlock(&mine).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(counter.read_u32(), Ok(THREADS * ROUNDS));
    assert_eq!(load(word).unwrap() & OWNER, 0);
}

#[test]
fn what_cannot_be_taken_is_refused() {
    let word = install().guest_memory(4);
    let sleeper = Sleeper::new();
    let (one, two) = (at(21, word, 1), at(21, word, 2));
    assert_eq!(unlock(&one), Err(Errno::EPERM));
    assert_eq!(try_lock(&sleeper, &one), Ok(()));
    assert_eq!(lock(&sleeper, &one, None), Err(Errno::EDEADLK));
    assert_eq!(try_lock(&sleeper, &two), Err(Errno::EAGAIN));
    assert_eq!(lock(&sleeper, &two, Some(1)), Err(Errno::ETIMEDOUT));
    let orphan = Lock {
        owner_state: &gone,
        ..two
    };
    assert_eq!(lock(&sleeper, &orphan, None), Err(Errno::ESRCH));
    sleeper.interrupted.store(true, Ordering::SeqCst);
    assert_eq!(lock(&sleeper, &two, None), Err(Errno::EINTR));
    assert_eq!(unlock(&one), Ok(()));
    assert_eq!(load(word), Ok(0));
}

#[test]
fn the_next_in_line_inherits() {
    let word = install().guest_memory(4);
    lock(&Sleeper::new(), &at(22, word, 101), None).unwrap();
    let heir = guest_thread(move || {
        let mine = at(22, word, 102);
        let result = lock(&Sleeper::new(), &mine, None);
        (result, load(word), unlock(&mine))
    });
    until_contended(&place(22, word));
    // An id that no other test has: this ends it everywhere.
    thread_ended(101);
    let (result, seen, let_go) = heir.join().unwrap();
    assert_eq!((result, let_go), (Ok(()), Ok(())));
    assert_eq!(seen, Ok(102 | WAITERS | OWNER_DIED));
    assert_eq!(load(word), Ok(0));
}

#[test]
fn waiters_at_a_word_end_with_the_lock() {
    static DONE: AtomicBool = AtomicBool::new(false);
    let memory = install().guest_memory(8);
    let second = GuestAddr(memory.0 + 4);
    let waiter = guest_thread(move || {
        let on = WaitOn {
            location: place(23, memory),
            address: memory,
            expected: 0,
            bits: ANY,
        };
        let mine = at(23, second, 2);
        let result = wait_then_lock(&Sleeper::new(), &on, &mine, None);
        DONE.store(true, Ordering::SeqCst);
        (result, unlock(&mine))
    });
    let caller = at(23, second, 1);
    lock(&Sleeper::new(), &caller, None).unwrap();
    let from = place(23, memory);
    let requeue = || requeue_to_lock(&from, &caller, 9, (memory, 0));
    assert_eq!(
        requeue_to_lock(&from, &caller, 9, (memory, 1)),
        Err(Errno::EAGAIN)
    );
    while requeue().unwrap() == 0 {
        std::thread::yield_now();
    }
    assert!(!DONE.load(Ordering::SeqCst));
    unlock(&caller).unwrap();
    assert_eq!(waiter.join().unwrap(), (Ok(()), Ok(())));
}
