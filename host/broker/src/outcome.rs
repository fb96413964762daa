//! How a run ends, told by whichever thread learns it first; and that it is to stop for a while.

use crate::processes::BadEnd;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
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

/// A place for one [`End`], and a descriptor that becomes readable when it is there, or when the
/// sandbox asks to be stopped.
#[derive(Debug)]
pub struct Outcome {
    end: Mutex<Option<End>>,
    stop: AtomicBool,
    ready: OwnedFd,
}

impl Outcome {
    /// Makes an empty one.
    pub fn new() -> Result<Outcome, Errno> {
        Ok(Outcome {
            end: Mutex::default(),
            stop: AtomicBool::new(false),
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

    /// The first guest process stopped, and so is capsid to.
    pub fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = rustix::io::write(&self.ready, &1u64.to_ne_bytes());
    }

    /// Whether that was asked for since the last call. The caller then looks for an end again:
    /// the descriptor is not readable for it any more.
    pub fn take_stop(&self) -> bool {
        let asked = self.stop.swap(false, Ordering::SeqCst);
        if asked {
            // Empties the counter; it is non-blocking.
            let _ = rustix::io::read(&self.ready, &mut [0; 8]);
        }
        asked
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
