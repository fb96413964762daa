//! Waiting at a word first and for a lock afterwards, `FUTEX_WAIT_REQUEUE_PI`.

use super::{Claim, Entered, FAILED, GRANTED, Lock, enter_patiently, load, settle};
use crate::futex::bucket::{Entry, bucket_index, bucket_of};
use crate::futex::{Location, WaitOn, enqueue};
use crate::wait::Waiter;
use alloc::sync::Arc;
use capsid_platform::{Errno, GuestAddr};

/// Sleeps at a word until [`requeue_to_lock`] lets it wait for `lock` instead, and then for that,
/// `FUTEX_WAIT_REQUEUE_PI`: `EAGAIN` if the word has another value or a signal came while it waited
/// for the lock, `EINTR` if one came before, `ETIMEDOUT`, `EFAULT`.
pub fn wait_then_lock(
    waiter: &impl Waiter,
    on: &WaitOn,
    lock: &Lock<'_>,
    deadline_ns: Option<u64>,
) -> Result<(), Errno> {
    let claim = Claim::new(lock.thread, waiter.parker());
    let target = Target {
        location: lock.location,
        claim: claim.clone(),
    };
    let ticket = enqueue(on, waiter.parker(), Some(target))?;
    let result = waiter.wait_until(deadline_ns, || claim.is_settled().then_some(()));
    if result.is_err() && ticket.leave() {
        return result;
    }
    match settle(lock, &claim, result) {
        Err(Errno::EINTR) => Err(Errno::EAGAIN),
        result => result,
    }
}

/// What a waiter at a word wants after it.
#[derive(Debug)]
pub(in crate::futex) struct Target {
    location: Location,
    claim: Arc<Claim>,
}

/// Gives a lock to the first of those who wait at `from`, if it is free, and lets up to `count`
/// more (or this one and as many) wait for it, `FUTEX_CMP_REQUEUE_PI`: `EAGAIN` if the word at
/// `from` has another value than expected, `EINVAL` if somebody there wants another lock or none,
/// `EFAULT`. Returns how many.
pub fn requeue_to_lock(
    from: &Location,
    lock: &Lock<'_>,
    count: u32,
    (address, expected): (GuestAddr, u32),
) -> Result<u32, Errno> {
    let taken = {
        let mut entries = bucket_of(bucket_index(from)).lock();
        if load(address)? != expected {
            return Err(Errno::EAGAIN);
        }
        let elsewhere = |entry: &Entry| {
            let target = entry.target.as_ref();
            entry.location == *from && target.is_none_or(|target| target.location != lock.location)
        };
        if entries.any(elsewhere) {
            return Err(Errno::EINVAL);
        }
        entries.take(count.saturating_add(1), |entry| entry.location == *from)
    };
    let mut moved = 0;
    let mut result = Ok(());
    // Outside the lock: an owner that is ending may need it.
    for target in taken.into_iter().filter_map(|entry| entry.target) {
        let claim = target.claim;
        let own = Lock {
            thread: claim.thread,
            ..*lock
        };
        match enter_patiently(&own, &claim, true) {
            Ok(Entered::Cancelled) => {}
            Ok(entered) => {
                moved += 1;
                if entered == Entered::Taken {
                    claim.grant(GRANTED);
                }
            }
            Err(error) => {
                result = Err(error);
                claim.grant(FAILED);
            }
        }
    }
    result.map(|()| moved)
}
