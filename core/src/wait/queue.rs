//! Queues of those who wait for an object to change.

use crate::sync::Mutex;
use crate::wait::Events;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Something that wants to hear of events: a parked thread, an epoll instance.
pub trait Wake: Send + Sync {
    /// Tells of `events`. Called with the queue's lock held: it must not call back into the
    /// queue, and should only mark and unpark.
    fn wake(&self, events: Events);
}

/// Those who wait for one object.
pub struct WaitQueue {
    /// Length of `entries`, so that waking nobody costs one load.
    count: AtomicUsize,
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    waker: Arc<dyn Wake>,
    interest: Events,
}

/// A place in a queue; dropping it leaves the queue.
pub struct Registration<'a> {
    queue: &'a WaitQueue,
    waker: Arc<dyn Wake>,
}

impl WaitQueue {
    /// Makes an empty queue.
    #[must_use]
    pub const fn new() -> WaitQueue {
        WaitQueue {
            count: AtomicUsize::new(0),
            entries: Mutex::new(Vec::new()),
        }
    }

    /// Adds `waker`, to be told of events in `interest` and of errors.
    pub fn add(&self, waker: Arc<dyn Wake>, interest: Events) {
        let mut entries = self.entries.lock();
        entries.push(Entry {
            waker,
            interest: interest | Events::ALWAYS,
        });
        self.count.store(entries.len(), Ordering::SeqCst);
    }

    /// Removes one entry of `waker`.
    pub fn remove(&self, waker: &Arc<dyn Wake>) {
        let mut entries = self.entries.lock();
        if let Some(index) = entries
            .iter()
            .position(|entry| core::ptr::addr_eq(Arc::as_ptr(&entry.waker), Arc::as_ptr(waker)))
        {
            // In order: the longest waiter is woken first.
            entries.remove(index);
        }
        self.count.store(entries.len(), Ordering::SeqCst);
    }

    /// Adds `waker` until the registration is dropped.
    pub fn register(&self, waker: Arc<dyn Wake>, interest: Events) -> Registration<'_> {
        self.add(waker.clone(), interest);
        Registration { queue: self, waker }
    }

    /// Tells everyone who is interested in one of `events`.
    pub fn wake(&self, events: Events) {
        // Orders the caller's change before the look at the count: a waiter registers first and
        // looks at the condition afterwards.
        core::sync::atomic::fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        for entry in &*self.entries.lock() {
            if entry.interest.intersects(events) {
                entry.waker.wake(events);
            }
        }
    }
}

impl Default for WaitQueue {
    fn default() -> WaitQueue {
        WaitQueue::new()
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.queue.remove(&self.waker);
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Registration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}
