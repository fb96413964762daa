//! Whom a file of procfs is about.

use crate::kernel::Kernel;
use crate::procfs::entry::Context;
use crate::task::{Process, Thread};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_platform::platform;

/// A process, one of its threads, one of its descriptors: by number, since they may end. 0 where
/// there is none. Or a processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) process: u32,
    pub(super) thread: u32,
    pub(super) descriptor: u32,
    pub(super) processor: u32,
}

/// The thread that asks.
pub(crate) fn caller(kernel: &Kernel) -> Option<Arc<Thread>> {
    let token = platform().current_thread();
    let tree = kernel.tree.lock();
    tree.threads()
        .find(|thread| *thread.token.lock() == Some(token))
        .cloned()
}

impl Context<'_> {
    /// The process: `ESRCH` once it is gone.
    pub(super) fn process(&self) -> Result<Arc<Process>, Errno> {
        self.kernel
            .process(self.subject.process)
            .ok_or(Errno::ESRCH)
    }

    /// The thread, or the process's first: `ESRCH` once it has ended.
    pub(super) fn thread(&self) -> Result<Arc<Thread>, Errno> {
        let process = self.process()?;
        let id = match self.subject.thread {
            0 => process.id,
            id => id,
        };
        match self.kernel.thread(id) {
            Some(thread) if thread.process.id == process.id => Ok(thread),
            // The first thread may have ended before the others.
            _ if self.subject.thread == 0 => process.threads().first().cloned().ok_or(Errno::ESRCH),
            _ => Err(Errno::ESRCH),
        }
    }

    /// Whether the process's memory is the caller's, which alone can be read.
    pub(super) fn is_own_memory(&self, process: &Process) -> bool {
        caller(self.kernel)
            .is_some_and(|thread| Arc::ptr_eq(&thread.process.memory(), &process.memory()))
    }
}
