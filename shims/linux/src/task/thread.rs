//! A guest thread.

use crate::files::{DescriptorTable, FsContext};
use crate::task::Process;
use alloc::sync::Arc;
use capsid_core::sync::Mutex;
use capsid_core::wait::{Parker, Waiter};
use capsid_platform::ThreadToken;
use core::sync::atomic::{AtomicBool, Ordering};

/// A guest thread (a task, in Linux's words).
#[derive(Debug)]
pub struct Thread {
    /// The thread id; equals the process id for the first thread.
    pub id: u32,
    /// The process.
    pub process: Arc<Process>,
    /// Where it sleeps.
    pub parker: Arc<Parker>,
    /// Its name to the platform, once it runs.
    pub token: Mutex<Option<ThreadToken>>,
    /// Set when something must be done before the guest goes on: an unblocked signal is pending,
    /// or the thread must end. Looked at on every way out of the library OS.
    pub attention: AtomicBool,
    /// The descriptors (shared by `CLONE_FILES`).
    pub files: Mutex<Arc<DescriptorTable>>,
    /// Root, working directory and umask (shared by `CLONE_FS`).
    pub fs: Mutex<Arc<FsContext>>,
}

impl Waiter for Thread {
    fn parker(&self) -> &Arc<Parker> {
        &self.parker
    }

    fn interrupted(&self) -> bool {
        self.attention.load(Ordering::SeqCst)
    }

    fn kicked(&self) {}
}
