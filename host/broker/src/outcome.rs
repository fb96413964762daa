//! How a run ends, told by whichever thread learns it first.

use crate::processes::BadEnd;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// The end of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first guest process ended with this wait status.
    Exited(i32),
    /// A process of the sandbox ended as none should.
    Broke(Pid, BadEnd),
    /// Every process ended, and none said how the program did.
    Vanished,
}

/// A place for one [`End`], and a descriptor that becomes readable when it is there.
#[derive(Debug)]
pub struct Outcome {
    end: Mutex<Option<End>>,
    ready: OwnedFd,
}

impl Outcome {
    /// Makes an empty one.
    pub fn new() -> Result<Outcome, Errno> {
        Ok(Outcome {
            end: Mutex::default(),
            ready: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Sets the end, unless there is one.
    pub fn set(&self, end: End) {
        let mut place = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = Some(end);
            // The counter has room for one.
            let _ = rustix::io::write(&self.ready, &1u64.to_ne_bytes());
        }
    }

    /// The end, if it is there.
    pub fn get(&self) -> Option<End> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Outcome {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}
