//! Root, working directory and umask, shared by `CLONE_FS`.

use capsid_core::fs::Path;
use capsid_core::sync::{RwLock, RwLockReadGuard};
use core::sync::atomic::{AtomicU32, Ordering};

/// Where a task's path walks start, and what its new files' modes lose.
#[derive(Debug)]
pub struct FsContext {
    places: RwLock<Places>,
    umask: AtomicU32,
}

/// The directories that walks start in.
#[derive(Clone, Debug)]
pub struct Places {
    /// The root directory, chroot(2).
    pub root: Path,
    /// The working directory, chdir(2).
    pub directory: Path,
}

impl FsContext {
    /// Makes a context whose working directory is `directory`.
    #[must_use]
    pub fn new(root: Path, directory: Path, umask: u32) -> FsContext {
        FsContext {
            places: RwLock::new(Places { root, directory }),
            umask: AtomicU32::new(umask & 0o777),
        }
    }

    /// The directories; they stay while the guard lives.
    pub fn places(&self) -> RwLockReadGuard<'_, Places> {
        self.places.read()
    }

    /// Changes the working directory.
    pub fn set_directory(&self, directory: Path) {
        let before = core::mem::replace(&mut self.places.write().directory, directory);
        drop(before);
    }

    /// Changes the root directory.
    pub fn set_root(&self, root: Path) {
        let before = core::mem::replace(&mut self.places.write().root, root);
        drop(before);
    }

    /// Permission bits that new files do not get.
    #[must_use]
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Changes the umask and returns what it was.
    pub fn set_umask(&self, umask: u32) -> u32 {
        self.umask.swap(umask & 0o777, Ordering::Relaxed)
    }

    /// Copies the context: fork, `unshare(CLONE_FS)`.
    #[must_use]
    pub fn duplicate(&self) -> FsContext {
        FsContext {
            places: RwLock::new(self.places.read().clone()),
            umask: AtomicU32::new(self.umask()),
        }
    }
}
