//! What all guest processes of a sandbox share.

use crate::task::{Process, Thread};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use capsid_core::sync::Mutex;

/// The one kernel of a sandbox: the tables that are nobody's own.
#[derive(Debug, Default)]
pub struct Kernel {
    /// Every live process, and zombies until they are waited for, by process id.
    pub processes: Mutex<BTreeMap<u32, Arc<Process>>>,
    /// Every live thread, by thread id.
    pub threads: Mutex<BTreeMap<u32, Weak<Thread>>>,
}
