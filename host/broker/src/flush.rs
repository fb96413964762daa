//! Flushing files to storage beside the ring thread: fsync(2) can take as long as a disk likes.

use crate::ring::{Answer, Ring};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

/// The most requests that wait for the disk: one for each slot is what a well-behaved sandbox
/// can have.
const LONGEST_QUEUE: usize = capsid_wire::layout::SLOTS;

#[derive(Debug)]
struct Job {
    slot: usize,
    file: Arc<OwnedFd>,
    data_only: bool,
}

/// A thread that flushes one file after the other.
#[derive(Debug)]
pub struct Flusher(SyncSender<Job>);

impl Flusher {
    /// Starts the thread, which ends when the flusher is dropped. If the host gives no thread,
    /// every flush fails.
    pub fn start(ring: Arc<Ring>) -> Flusher {
        let (sender, receiver) = sync_channel::<Job>(LONGEST_QUEUE);
        let thread = std::thread::Builder::new().name("capsid-flush".to_owned());
        let started = thread.spawn(move || {
            for job in receiver {
                let result = if job.data_only {
                    rustix::fs::fdatasync(&job.file)
                } else {
                    rustix::fs::fsync(&job.file)
                };
                ring.complete(job.slot, result.map(|()| Answer::default()), &[]);
            }
        });
        drop(started);
        Flusher(sender)
    }

    /// Flushes a file, then answers the request in `slot`. `EAGAIN` when too many wait.
    pub fn flush(&self, slot: usize, file: Arc<OwnedFd>, data_only: bool) -> Result<(), Errno> {
        let job = Job {
            slot,
            file,
            data_only,
        };
        self.0.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Errno::AGAIN,
            TrySendError::Disconnected(_) => Errno::IO,
        })
    }
}
