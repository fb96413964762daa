//! Tests of semaphores: who is served when, and what is taken back.

use super::{Header, Operation, SemaphoreSet, VALUE_MAX};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::credentials::Credentials;
use capsid_core::wait::Parker;

fn set() -> (SemaphoreSet, Arc<Parker>) {
    capsid_platform_threads::install();
    let header = Header::new(0, 0, 0, 0o600, &Credentials::new(0, 0));
    (SemaphoreSet::new(header, 2), Arc::default())
}

fn add(number: u16, change: i16) -> Operation {
    Operation {
        number,
        change,
        no_wait: false,
        undo: false,
    }
}

#[test]
fn waiters_are_served_in_order_and_whole() {
    let (set, parker) = set();
    let two = set
        .operate(&[add(0, -1), add(1, -1)], 1, &parker)
        .unwrap()
        .unwrap();
    let one = set.operate(&[add(0, -1)], 2, &parker).unwrap().unwrap();
    assert_eq!(set.waiting(0, false), Ok(2));
    assert!(set.operate(&[add(0, 1)], 3, &parker).unwrap().is_none());
    assert_eq!((two.result(), one.result()), (None, Some(Ok(()))));
    assert_eq!(
        set.operate(&[add(0, 1), add(1, 1)], 3, &parker)
            .map(|w| w.is_none()),
        Ok(true)
    );
    assert_eq!(two.give_up(), Some(Ok(())));
    assert_eq!(set.values(), [0, 0]);
    drop(one);
}

#[test]
fn ended_processes_are_undone() {
    let (set, parker) = set();
    let up = Operation {
        undo: true,
        ..add(0, 5)
    };
    assert!(set.operate(&[up], 7, &parker).unwrap().is_none());
    assert!(set.operate(&[add(0, -3)], 8, &parker).unwrap().is_none());
    set.undo(7);
    assert_eq!(set.look(0), Ok((0, 7)));
    let too_much = add(0, i16::MAX);
    assert!(set.operate(&[too_much], 8, &parker).unwrap().is_none());
    assert_eq!(
        set.operate(&[add(0, 1)], 8, &parker).map(drop),
        Err(Errno::ERANGE)
    );
    assert_eq!(set.look(0), Ok((VALUE_MAX, 8)));
    assert_eq!(
        set.operate(&[add(2, 1)], 8, &parker).map(drop),
        Err(Errno::EFBIG)
    );
}

#[test]
fn removal_wakes_waiters() {
    let (set, parker) = set();
    let waiting = set.operate(&[add(0, -1)], 1, &parker).unwrap().unwrap();
    set.removed();
    assert_eq!(waiting.result(), Some(Err(Errno::EIDRM)));
    drop(waiting);
    assert_eq!(
        set.operate(&[add(0, 1)], 1, &parker).map(drop),
        Err(Errno::EIDRM)
    );
}
