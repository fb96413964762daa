//! A guest process: what its threads share.

use crate::kernel::Kernel;
use alloc::sync::{Arc, Weak};
use capsid_core::sync::Mutex;

/// A guest process (a thread group, in Linux's words).
#[derive(Debug)]
pub struct Process {
    /// The process id.
    pub id: u32,
    /// The sandbox's kernel.
    pub kernel: Arc<Kernel>,
    /// The parent; dangling when it is gone and nobody adopted this process.
    pub parent: Mutex<Weak<Process>>,
}

impl Process {
    /// The parent's process id; 0 if there is none.
    #[must_use]
    pub fn parent_id(&self) -> u32 {
        self.parent.lock().upgrade().map_or(0, |parent| parent.id)
    }
}
