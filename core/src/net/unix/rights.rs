//! Descriptions on their way, `SCM_RIGHTS`.

use crate::fs::OpenFile;
use crate::sync::Mutex;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The most descriptions in one message (Linux's `SCM_MAX_FD`).
pub const RIGHTS_MAX: usize = 253;

/// The most descriptions on their way in the whole sandbox. A socket that lies in its own queue
/// is owned by nobody else and stays; this bounds what can be lost so.
const IN_FLIGHT_MAX: usize = 16_384;

static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// Descriptions that a message carries.
#[derive(Debug, Default)]
pub struct Rights(Vec<Arc<OpenFile>>);

impl Rights {
    /// Takes descriptions along: `EINVAL` for too many, `ETOOMANYREFS` if too many are on their
    /// way.
    pub fn new(files: Vec<Arc<OpenFile>>) -> Result<Rights, Errno> {
        if files.len() > RIGHTS_MAX {
            return Err(Errno::EINVAL);
        }
        let before = IN_FLIGHT.fetch_add(files.len(), Ordering::Relaxed);
        let rights = Rights(files);
        if before + rights.0.len() > IN_FLIGHT_MAX {
            return Err(Errno::ETOOMANYREFS);
        }
        Ok(rights)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The descriptions.
    #[must_use]
    pub fn files(&self) -> &[Arc<OpenFile>] {
        &self.0
    }

    /// The same once more, for a look that takes nothing.
    pub(super) fn copy(&self) -> Rights {
        IN_FLIGHT.fetch_add(self.0.len(), Ordering::Relaxed);
        Rights(self.0.clone())
    }

    pub(super) fn append(&mut self, mut other: Rights) {
        self.0.append(&mut other.0);
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        IN_FLIGHT.fetch_sub(self.0.len(), Ordering::Relaxed);
        dispose(core::mem::take(&mut self.0));
    }
}

/// Drops descriptions one after the other: each may be a socket with more of them in its queue,
/// and a long chain must not be followed on the stack.
fn dispose(files: Vec<Arc<OpenFile>>) {
    static WAITING: Mutex<VecDeque<Arc<OpenFile>>> = Mutex::new(VecDeque::new());
    static BUSY: AtomicBool = AtomicBool::new(false);
    // Others hold most of them, and dropping those ends nothing. (Should the other holder let go at
    // this very moment, one level of the chain ends on this stack.)
    let last = files
        .into_iter()
        .filter(|file| Arc::strong_count(file) == 1);
    let mut last = last.peekable();
    if last.peek().is_none() {
        return;
    }
    WAITING.lock().extend(last);
    loop {
        if BUSY.swap(true, Ordering::SeqCst) {
            // Whoever is at it, perhaps this thread, comes to these too.
            return;
        }
        loop {
            let next = WAITING.lock().pop_front();
            match next {
                Some(file) => drop(file),
                None => break,
            }
        }
        BUSY.store(false, Ordering::SeqCst);
        if WAITING.lock().is_empty() {
            return;
        }
    }
}
