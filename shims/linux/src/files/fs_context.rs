//! Root, working directory and umask, shared by `CLONE_FS`.

use core::sync::atomic::AtomicU32;

/// Where a task's path walks start, and what its new files' modes lose.
#[derive(Debug)]
pub struct FsContext {
    /// The umask, umask(2).
    pub umask: AtomicU32,
}
