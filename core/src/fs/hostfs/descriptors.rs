//! Donated descriptors and handles: shared by all who have a file open, and kept a while after.

use super::protocol::{self, Keep};
use crate::sync::Mutex;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::{Errno, HostFile, platform};
use capsid_wire::HostStat;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How many descriptors are kept open that were used lately: opening a file again then asks
/// nobody. The broker has room for several times as many.
const RECENT: usize = 384;

/// Handles that nobody uses any more are closed when there are so many, by one request.
const CLOSED_AT_ONCE: usize = 32;

static CLOSING: Mutex<Vec<u64>> = Mutex::new(Vec::new());
static RECENTLY_USED: Mutex<VecDeque<Arc<Descriptor>>> = Mutex::new(VecDeque::new());

const O_RDONLY: u32 = 0;
const O_WRONLY: u32 = 1;
const O_RDWR: u32 = 2;
const O_APPEND: u32 = 0o2000;
const O_DIRECTORY: u32 = 0o200_000;

/// What a descriptor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Reading a regular file.
    Read,
    /// Writing, and reading where the host allows it.
    Write,
    /// Writing to the end.
    Append,
    /// Listing a directory.
    List,
}

/// An open host file: a donated descriptor, a handle at the broker, or both.
#[derive(Debug)]
pub(super) struct Descriptor {
    file: Option<HostFile>,
    handle: u64,
    /// It came with a look-up, and nobody has used it yet.
    ahead: AtomicBool,
}

impl Descriptor {
    /// Opens a path. A file of a stable export needs no handle: nothing is asked about it again.
    pub(super) fn open(
        export: u64,
        path: &[u8],
        wanted: Use,
        stable: bool,
    ) -> Result<(Arc<Descriptor>, HostStat), Errno> {
        let (flags, keep) = match wanted {
            Use::Read if stable => (O_RDONLY, Keep::Descriptor),
            Use::Read => (O_RDONLY, Keep::Both),
            Use::Write => (O_RDWR, Keep::Both),
            Use::Append => (O_RDWR | O_APPEND, Keep::Both),
            Use::List => (O_RDONLY | O_DIRECTORY, Keep::Handle),
        };
        let mut opened = protocol::open(export, path, flags, 0, keep);
        if matches!(opened, Err(Errno::EMFILE | Errno::ENFILE | Errno::EAGAIN)) {
            forget_all();
            opened = protocol::open(export, path, flags, 0, keep);
        }
        if matches!(opened, Err(Errno::EACCES)) && flags & O_RDWR != 0 {
            let write_only = (flags & !O_RDWR) | O_WRONLY;
            opened = protocol::open(export, path, write_only, 0, keep);
        }
        let opened = opened?;
        let descriptor = Descriptor::new(&opened);
        if wanted != Use::List && descriptor.file.is_none() {
            return Err(Errno::EIO);
        }
        Ok((descriptor, opened.stat))
    }

    /// Takes what an open brought.
    pub(super) fn new(opened: &protocol::Opened) -> Arc<Descriptor> {
        Arc::new(Descriptor {
            file: opened.file,
            handle: opened.handle,
            ahead: AtomicBool::new(false),
        })
    }

    /// Takes what a look-up brought along.
    pub(super) fn opened_ahead((file, handle): (HostFile, u64)) -> Arc<Descriptor> {
        Arc::new(Descriptor {
            file: Some(file),
            handle,
            ahead: AtomicBool::new(true),
        })
    }

    /// The donated descriptor.
    pub(super) fn file(&self) -> Result<HostFile, Errno> {
        self.file.ok_or(Errno::EBADF)
    }

    /// The handle; 0 if there is none.
    pub(super) fn handle(&self) -> u64 {
        self.handle
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Some(file) = self.file {
            platform().host_close(file);
        }
        if self.handle != 0 {
            let mut closing = CLOSING.lock();
            closing.push(self.handle);
            if closing.len() >= CLOSED_AT_ONCE {
                let handles = core::mem::take(&mut *closing);
                drop(closing);
                protocol::close(&handles);
            }
        }
    }
}

/// Closes the handles that nobody uses any more.
fn close_unused() {
    let handles = core::mem::take(&mut *CLOSING.lock());
    protocol::close(&handles);
}

/// How many look-ups may open what they find. Programs that walk trees look at each file and open
/// it next: one request serves both then. Whoever only looks uses the credit up.
static CREDIT: AtomicU32 = AtomicU32::new(0);
const MOST_CREDIT: u32 = 16;

fn add_credit(more: u32) {
    let add = |credit: u32| Some((credit + more).min(MOST_CREDIT));
    let _ = CREDIT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
}

/// Notes that a file was opened just after it was looked at.
pub(super) fn note_open_after_look() {
    add_credit(2);
}

/// Whether a look-up should open what it finds. Takes credit.
pub(super) fn take_credit() -> bool {
    let take = |credit: u32| credit.checked_sub(1);
    CREDIT
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
}

/// The descriptors of one inode that are open now.
#[derive(Debug, Default)]
pub(super) struct Descriptors(Mutex<[Weak<Descriptor>; 4]>);

impl Descriptors {
    /// One that is open for this use.
    pub(super) fn get(&self, wanted: Use) -> Option<Arc<Descriptor>> {
        let descriptor = self.0.lock().get(wanted as usize)?.upgrade()?;
        if descriptor.ahead.swap(false, Ordering::Relaxed) {
            add_credit(1);
        }
        Some(descriptor)
    }

    /// Adds one, unless another thread was first; returns the one to use.
    pub(super) fn put(&self, wanted: Use, descriptor: Arc<Descriptor>) -> Arc<Descriptor> {
        let mut open = self.0.lock();
        let Some(place) = open.get_mut(wanted as usize) else {
            return descriptor;
        };
        if let Some(first) = place.upgrade() {
            return first;
        }
        *place = Arc::downgrade(&descriptor);
        drop(open);
        let mut recent = RECENTLY_USED.lock();
        recent.push_back(descriptor.clone());
        let oldest = if recent.len() > RECENT {
            recent.pop_front()
        } else {
            None
        };
        // Closing asks the broker: not under the lock.
        drop(recent);
        drop(oldest);
        descriptor
    }

    /// One with a handle, whatever it is for.
    pub(super) fn handle(&self) -> Option<Arc<Descriptor>> {
        let open = self.0.lock();
        open.iter()
            .filter_map(Weak::upgrade)
            .find(|descriptor| descriptor.handle != 0)
    }

    /// Closes those that nobody uses: the file was removed, and its space should be free.
    pub(super) fn forget_idle(&self) {
        let open: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        RECENTLY_USED.lock().retain(|recent| {
            !open
                .iter()
                .any(|descriptor| Arc::ptr_eq(descriptor, recent))
        });
        drop(open);
        close_unused();
    }
}

/// Closes every descriptor that nobody uses.
fn forget_all() {
    let recent = core::mem::take(&mut *RECENTLY_USED.lock());
    drop(recent);
    close_unused();
}
