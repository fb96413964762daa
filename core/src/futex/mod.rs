//! Waiting for a word of guest memory to change, as futex(2) offers it.
//!
//! Waiters queue in hashed buckets by what the word is ([`Location`]), so that those who map the
//! same bytes at different addresses meet. A bucket counts its waiters: waking where nobody waits
//! takes no lock.

mod bucket;
pub mod pi;
#[cfg(test)]
mod tests;

pub use crate::memory::Location;

use crate::wait::{Parker, Waiter};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bucket::{Bucket, Entry, bucket_index, bucket_of};
use capsid_platform::{AtomicOp, Errno, GuestAddr, platform};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};
use pi::Target;

/// A bit set that every waiter and every wake-up has in common.
pub const ANY: u32 = u32::MAX;

/// Where to wait, and for what.
#[derive(Clone, Copy, Debug)]
pub struct WaitOn {
    /// What the word is.
    pub location: Location,
    /// Where the calling process sees it.
    pub address: GuestAddr,
    /// Sleep only if it has this value.
    pub expected: u32,
    /// Be woken only by wake-ups that have one of these bits.
    pub bits: u32,
}

/// One thread waiting at one place.
#[derive(Debug)]
struct Ticket {
    parker: Arc<Parker>,
    /// Number of the bucket that has it; changes when it is requeued.
    bucket: AtomicUsize,
    woken: AtomicU32,
}

impl Ticket {
    fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire) != 0
    }

    /// Wakes the thread. The ticket is in no bucket any more.
    fn wake(&self) {
        self.woken.store(1, Ordering::Release);
        self.parker.unpark();
    }

    /// Leaves the queue; `false` if the ticket was woken instead.
    fn leave(self: &Arc<Ticket>) -> bool {
        loop {
            let index = self.bucket.load(Ordering::Acquire);
            let bucket = bucket_of(index);
            let mut entries = bucket.lock();
            if self.bucket.load(Ordering::Acquire) != index {
                continue;
            }
            return entries.remove(|entry| Arc::ptr_eq(&entry.ticket, self));
        }
    }
}

/// Queues at one place: `EAGAIN` if the word has another value, `EFAULT` if it cannot be read.
fn enqueue(
    on: &WaitOn,
    parker: &Arc<Parker>,
    target: Option<Target>,
) -> Result<Arc<Ticket>, Errno> {
    let index = bucket_index(&on.location);
    let ticket = Arc::new(Ticket {
        parker: parker.clone(),
        bucket: AtomicUsize::new(index),
        woken: AtomicU32::new(0),
    });
    let bucket = bucket_of(index);
    // Announced before the word is read: who changes the word and then sees no waiter can be sure
    // that the change was seen here.
    let announced = bucket.announce();
    let mut entries = announced.lock();
    if platform().guest_atomic(on.address, AtomicOp::Load)? != on.expected {
        return Err(Errno::EAGAIN);
    }
    entries.push(Entry {
        location: on.location,
        bits: on.bits,
        target,
        ticket: ticket.clone(),
    });
    Ok(ticket)
}

/// Sleeps until woken at the word, if it has the expected value: `EAGAIN` if not, `EFAULT`,
/// `EINTR`, `ETIMEDOUT` when the monotonic clock passes `deadline_ns`.
pub fn wait(waiter: &impl Waiter, on: &WaitOn, deadline_ns: Option<u64>) -> Result<(), Errno> {
    let ticket = enqueue(on, waiter.parker(), None)?;
    let result = waiter.wait_until(deadline_ns, || ticket.is_woken().then_some(()));
    match result {
        Err(_) if !ticket.leave() => Ok(()),
        result => result,
    }
}

/// Sleeps until woken at one of several words and returns its index, futex_waitv(2). Errors are
/// those of [`wait`].
pub fn wait_any(
    waiter: &impl Waiter,
    places: &[WaitOn],
    deadline_ns: Option<u64>,
) -> Result<usize, Errno> {
    let mut tickets: Vec<Arc<Ticket>> = Vec::with_capacity(places.len());
    let woken = |tickets: &[Arc<Ticket>]| tickets.iter().position(|ticket| ticket.is_woken());
    let mut result = Ok(());
    for on in places {
        match enqueue(on, waiter.parker(), None) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    let result = result.and_then(|()| waiter.wait_until(deadline_ns, || woken(&tickets)));
    let mut first = result.ok();
    for (index, ticket) in tickets.iter().enumerate() {
        if !ticket.leave() && first.is_none() {
            first = Some(index);
        }
    }
    first.ok_or_else(|| result.err().unwrap_or(Errno::EINTR))
}

/// Wakes up to `count` of those who wait at `location` for one of `bits`, longest first, and
/// returns how many.
pub fn wake(location: &Location, count: u32, bits: u32) -> u32 {
    let bucket = bucket_of(bucket_index(location));
    // Orders the guest's change of the word before the look at the waiters, see `enqueue`.
    fence(Ordering::SeqCst);
    if bucket.is_empty() {
        return 0;
    }
    let woken = bucket.lock().take(count, |e| {
        e.location == *location && e.bits & bits != 0 && e.target.is_none()
    });
    wake_entries(&woken)
}

/// Wakes outside the lock, so that the woken do not run into it.
fn wake_entries(entries: &[Entry]) -> u32 {
    for entry in entries {
        entry.ticket.wake();
    }
    u32::try_from(entries.len()).unwrap_or(u32::MAX)
}

/// Wakes up to `wake_count` of those who wait at `from`, and lets up to `move_count` more wait at
/// `to` instead. With `expected`, only if the word at `from_address` has that value: `EAGAIN`,
/// `EFAULT`. Returns how many were woken and how many moved.
pub fn requeue(
    from: &Location,
    to: &Location,
    wake_count: u32,
    move_count: u32,
    expected: Option<(GuestAddr, u32)>,
) -> Result<(u32, u32), Errno> {
    let (from_index, to_index) = (bucket_index(from), bucket_index(to));
    let mut both = Bucket::lock_two(from_index, to_index);
    if let Some((address, value)) = expected
        && platform().guest_atomic(address, AtomicOp::Load)? != value
    {
        return Err(Errno::EAGAIN);
    }
    let plain = |e: &Entry| e.location == *from && e.target.is_none();
    let woken = both.first().take(wake_count, plain);
    let mut moved = 0;
    if from != to {
        let entries = both.first().take(move_count, plain);
        for mut entry in entries {
            entry.location = *to;
            entry.ticket.bucket.store(to_index, Ordering::Release);
            both.second().push(entry);
            moved += 1;
        }
    }
    drop(both);
    Ok((wake_entries(&woken), moved))
}

/// Performs `operation` on the word at `address`, wakes up to `wake_count` at `first`, and, if
/// `condition` holds for the word's old value, up to `second_count` at `second`: `EFAULT`.
/// Returns how many were woken.
pub fn wake_after(
    first: (&Location, u32),
    second: (&Location, u32),
    (address, operation): (GuestAddr, AtomicOp),
    condition: impl FnOnce(u32) -> bool,
) -> Result<u32, Errno> {
    let old = platform().guest_atomic(address, operation)?;
    let mut woken = wake(first.0, first.1, ANY);
    if condition(old) {
        woken += wake(second.0, second.1, ANY);
    }
    Ok(woken)
}
