//! What all guest processes of a sandbox share.

use crate::posix_queue::PosixQueues;
use crate::sysv::Ipc;
use crate::task::{Process, Thread, Tree};
use crate::time::TimerQueue;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::fs::MountNamespace;
use capsid_core::sync::{Mutex, RwLock};

/// The id of the first process, which adopts orphans.
pub const FIRST_PROCESS: u32 = 1;

/// The one kernel of a sandbox: the tables that are nobody's own.
#[derive(Debug)]
pub struct Kernel {
    /// Processes and threads.
    pub tree: Mutex<Tree>,
    /// The mounts.
    pub namespace: Arc<MountNamespace>,
    /// The host and domain names, uname(2).
    pub names: RwLock<(String, String)>,
    /// Timers that run on wall time.
    pub timers: TimerQueue,
    /// POSIX message queues.
    pub queues: PosixQueues,
    /// System V IPC.
    pub ipc: Arc<Ipc>,
    /// Most threads and zombies at once.
    pub task_limit: usize,
    /// Monotonic time at boot, in nanoseconds.
    pub started_ns: u64,
    /// Processes forked since boot, for `/proc/stat` and the statistics.
    pub forks: core::sync::atomic::AtomicU64,
}

impl Kernel {
    /// A process that has not been waited for.
    #[must_use]
    pub fn process(&self, id: u32) -> Option<Arc<Process>> {
        Some(self.tree.lock().node(id)?.process.clone())
    }

    /// A live thread.
    #[must_use]
    pub fn thread(&self, id: u32) -> Option<Arc<Thread>> {
        self.tree.lock().thread(id).cloned()
    }

    /// Has every process that maps a file's bytes take away the pages past the end, after the file
    /// became shorter. The caller's are gone when this returns; others take theirs away before they
    /// run guest code again.
    pub fn file_shrank(&self, caller: &Process, identity: (u64, u64)) {
        for process in self.processes() {
            let memory = process.memory();
            if core::ptr::eq(&raw const *process, caller) {
                memory.space.file_shrank(identity);
            } else if memory.space.shows(identity) {
                memory.space.note_shrunk(identity);
                process.state.lock().notify_all();
            }
        }
    }

    /// Every process, zombies too, by id.
    #[must_use]
    pub fn processes(&self) -> Vec<Arc<Process>> {
        let tree = self.tree.lock();
        tree.nodes().map(|node| node.process.clone()).collect()
    }
}
