//! Open file descriptions, open(2).

use crate::fs::leases;
use crate::fs::locks::{self, LockOwner};
use crate::fs::notify::{FileEvents, file_event};
use crate::fs::write_access::Hold;
use crate::fs::{Attachment, File, Path};
use crate::sync::Mutex;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use bitflags::bitflags;
use core::fmt::Debug;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

bitflags! {
    /// Access mode and status flags, with Linux's x86-64 bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct StatusFlags: u32 {
        /// Open for writing only.
        const WRITE_ONLY = 0o1;
        /// Open for reading and writing.
        const READ_WRITE = 0o2;
        /// Every write goes to the end.
        const APPEND = 0o2000;
        /// Operations that would block fail with `EAGAIN`.
        const NONBLOCK = 0o4000;
        /// Writes reach storage before they return (data).
        const DSYNC = 0o10000;
        /// Signal-driven I/O.
        const ASYNC = 0o20000;
        /// No caching.
        const DIRECT = 0o40000;
        /// Accepted and without effect on 64-bit.
        const LARGEFILE = 0o100000;
        /// Only a directory.
        const DIRECTORY = 0o200000;
        /// Do not follow a last symlink.
        const NOFOLLOW = 0o400000;
        /// Do not change the access time.
        const NOATIME = 0o1000000;
        /// Names a place in the tree, and nothing else.
        const PATH = 0o10000000;
        /// As DSYNC, with attributes.
        const SYNC = 0o4010000;
        /// Not one of Linux's: what is written leaves set-id bits alone. Told to file systems
        /// for openers with the capability.
        const KEEPS_SET_ID = 1 << 31;
    }
}

impl StatusFlags {
    /// What `F_SETFL` can change.
    pub const SETTABLE: StatusFlags = StatusFlags::APPEND
        .union(StatusFlags::NONBLOCK)
        .union(StatusFlags::ASYNC)
        .union(StatusFlags::DIRECT)
        .union(StatusFlags::NOATIME);

    /// Whether reads are allowed.
    #[must_use]
    pub fn readable(self) -> bool {
        !self.contains(StatusFlags::WRITE_ONLY) && !self.contains(StatusFlags::PATH)
    }

    /// Whether writes are allowed.
    #[must_use]
    pub fn writable(self) -> bool {
        self.intersects(StatusFlags::WRITE_ONLY | StatusFlags::READ_WRITE)
            && !self.contains(StatusFlags::PATH)
    }
}

/// Something that belongs to a description and ends with it: a lock, a place in an epoll instance.
pub trait DescriptionObserver: Send + Sync + Debug {
    /// Nothing refers to the description of `file` any more.
    fn description_closed(&self, file: &dyn File);
}

/// An open file description: an object, flags and a position, shared by the descriptors that
/// `dup` and `fork` make.
#[derive(Debug)]
pub struct OpenFile {
    /// The object.
    pub file: Arc<dyn File>,
    /// The position of the next read or write, in bytes. The lock is held over a read or write,
    /// which makes them atomic to each other.
    pub position: Mutex<u64>,
    flags: AtomicU32,
    path: Option<Path>,
    /// Keeps what it can write from being executed.
    hold: Option<Hold>,
    observers: Mutex<Vec<Weak<dyn DescriptionObserver>>>,
    /// The number under which it holds locks of its own; 0 while it never held any.
    lock_owner: AtomicU64,
    /// What a shim keeps about it.
    pub attachment: Attachment,
}

impl OpenFile {
    /// Makes a description of an object that was not opened by name.
    #[must_use]
    pub fn new(file: Arc<dyn File>, flags: StatusFlags) -> OpenFile {
        if flags.contains(StatusFlags::DIRECT) {
            file.status_changed(flags);
        }
        OpenFile {
            file,
            position: Mutex::new(0),
            flags: AtomicU32::new(flags.bits()),
            path: None,
            hold: None,
            observers: Mutex::new(Vec::new()),
            lock_owner: AtomicU64::new(0),
            attachment: Attachment::default(),
        }
    }

    /// Makes a description of what was opened at `path`.
    #[must_use]
    pub fn at(file: Arc<dyn File>, flags: StatusFlags, path: Path) -> OpenFile {
        let mut open = OpenFile::new(file, flags);
        open.path = Some(path);
        open
    }

    /// Takes along what keeps the file from being executed.
    #[must_use]
    pub(super) fn holding(mut self, hold: Option<Hold>) -> OpenFile {
        self.hold = hold;
        self
    }

    /// Where it was opened; `None` for an object without a name.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref()
    }

    /// The flags now.
    #[must_use]
    pub fn flags(&self) -> StatusFlags {
        StatusFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces the flags that [`StatusFlags::SETTABLE`] lists.
    pub fn set_flags(&self, flags: StatusFlags) {
        let settable = StatusFlags::SETTABLE;
        let kept = self.flags() - settable;
        let new = kept | (flags & settable);
        self.flags.store(new.bits(), Ordering::Relaxed);
        self.file.status_changed(new);
    }
}

impl OpenFile {
    /// Under what the description holds locks of its own.
    #[must_use]
    pub fn lock_owner(&self) -> LockOwner {
        let new = LockOwner::default();
        let order = Ordering::Relaxed;
        match self
            .lock_owner
            .compare_exchange(0, new.number(), order, order)
        {
            Ok(_) => new,
            Err(number) => LockOwner::numbered(number),
        }
    }

    /// Tells `observer` when the description ends.
    pub fn observe(&self, observer: Arc<dyn DescriptionObserver>) {
        self.observers.lock().push(Arc::downgrade(&observer));
    }

    /// Forgets an observer.
    pub fn unobserve(&self, observer: &Weak<dyn DescriptionObserver>) {
        let mut observers = self.observers.lock();
        let same = |other: &Weak<dyn DescriptionObserver>| {
            core::ptr::addr_eq(other.as_ptr(), observer.as_ptr())
        };
        if let Some(position) = observers.iter().position(same) {
            observers.swap_remove(position);
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let writable = self.flags().writable();
        let closed = if writable {
            FileEvents::CLOSE_WRITE
        } else {
            FileEvents::CLOSE_NO_WRITE
        };
        file_event(self, closed);
        let lock_owner = *self.lock_owner.get_mut();
        if lock_owner != 0 {
            let owner = LockOwner::numbered(lock_owner);
            locks::release_owner(owner);
            leases::release_owner(owner);
        }
        for observer in self.observers.get_mut().drain(..) {
            if let Some(observer) = observer.upgrade() {
                observer.description_closed(&*self.file);
            }
        }
        self.file.closed(true);
    }
}
