//! Event counters, eventfd(2).

use crate::fs::{DetachedInode, File, Inode, WriteAt};
use crate::io::{Destination, Source};
use crate::wait::{Events, WaitQueue};
use alloc::string::String;
use alloc::sync::Arc;
use capsid_platform::Errno;
use core::sync::atomic::{AtomicU64, Ordering};

/// The largest count.
const MAX: u64 = u64::MAX - 1;
const BYTES: usize = size_of::<u64>();

/// What a read takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventMode {
    /// All of it.
    Counter,
    /// One (`EFD_SEMAPHORE`).
    Semaphore,
}

/// A counter that can be read, written and polled.
#[derive(Debug)]
pub struct EventCounter {
    count: AtomicU64,
    mode: EventMode,
    queue: WaitQueue,
}

impl EventCounter {
    /// Makes a counter.
    #[must_use]
    pub fn new(count: u32, mode: EventMode) -> EventCounter {
        EventCounter {
            count: AtomicU64::new(count.into()),
            mode,
            queue: WaitQueue::new(),
        }
    }

    /// Adds to the count: `EAGAIN` if that overflows, `EINVAL` for the one value that never fits.
    fn add(&self, value: u64) -> Result<(), Errno> {
        if value > MAX {
            return Err(Errno::EINVAL);
        }
        self.count
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                count.checked_add(value).filter(|&sum| sum <= MAX)
            })
            .map_err(|_| Errno::EAGAIN)?;
        if value > 0 {
            self.queue.wake(Events::READABLE);
        }
        Ok(())
    }

    fn take(&self) -> Result<u64, Errno> {
        let taken = |count: u64| match self.mode {
            EventMode::Counter => count,
            EventMode::Semaphore => count.min(1),
        };
        let before = self
            .count
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                (count > 0).then(|| count - taken(count))
            })
            .map_err(|_| Errno::EAGAIN)?;
        self.queue.wake(Events::WRITABLE);
        Ok(taken(before))
    }
}

impl File for EventCounter {
    fn read(&self, _offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        if destination.remaining() < BYTES {
            return Err(Errno::EINVAL);
        }
        destination.put(&self.take()?.to_ne_bytes())
    }

    fn write(&self, _at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        if source.remaining() < BYTES {
            return Err(Errno::EINVAL);
        }
        let mut value = [0; BYTES];
        if source.take(&mut value)? < BYTES {
            return Err(Errno::EFAULT);
        }
        self.add(u64::from_ne_bytes(value))?;
        Ok((BYTES, 0))
    }

    fn readiness(&self) -> Events {
        let count = self.count.load(Ordering::SeqCst);
        let mut events = Events::empty();
        if count > 0 {
            events |= Events::READABLE;
        }
        if count < MAX {
            events |= Events::WRITABLE;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(DetachedInode::anonymous("[eventfd]"))
    }

    fn label(&self) -> Option<String> {
        Some("anon_inode:[eventfd]".into())
    }
}
