//! Attributes of a tmpfs inode, as atomics: a stat takes no lock.

use crate::fs::attributes::without_set_id;
use crate::fs::{AttributeChange, Owner, TimeChange};
use capsid_platform::{Clock, platform};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Nanoseconds since the epoch.
pub(super) fn now() -> u64 {
    platform().now(Clock::Realtime)
}

/// Mode, owner, links and times.
#[derive(Debug)]
pub(in crate::fs) struct Attributes {
    permissions: AtomicU32,
    user: AtomicU32,
    group: AtomicU32,
    links: AtomicU32,
    atime: AtomicU64,
    mtime: AtomicU64,
    ctime: AtomicU64,
    pub(super) btime: u64,
}

impl Attributes {
    pub(super) fn new(permissions: u32, owner: Owner) -> Attributes {
        let now = now();
        Attributes {
            permissions: AtomicU32::new(permissions & 0o7777),
            user: AtomicU32::new(owner.user),
            group: AtomicU32::new(owner.group),
            links: AtomicU32::new(0),
            atime: AtomicU64::new(now),
            mtime: AtomicU64::new(now),
            ctime: AtomicU64::new(now),
            btime: now,
        }
    }

    pub(super) fn permissions(&self) -> u32 {
        self.permissions.load(Relaxed)
    }

    pub(super) fn owner(&self) -> Owner {
        Owner {
            user: self.user.load(Relaxed),
            group: self.group.load(Relaxed),
        }
    }

    pub(super) fn links(&self) -> u32 {
        self.links.load(Relaxed)
    }

    pub(in crate::fs) fn add_links(&self, count: u32) {
        self.links.fetch_add(count, Relaxed);
    }

    pub(super) fn remove_links(&self, count: u32) {
        self.links.fetch_sub(count, Relaxed);
    }

    /// Access, modification and change time.
    pub(super) fn times(&self) -> (u64, u64, u64) {
        (
            self.atime.load(Relaxed),
            self.mtime.load(Relaxed),
            self.ctime.load(Relaxed),
        )
    }

    /// Notes a read, if it tells something that the other times do not.
    pub(super) fn accessed(&self) {
        let (atime, mtime, ctime) = self.times();
        if atime <= mtime || atime <= ctime {
            self.atime.store(now(), Relaxed);
        }
    }

    /// Notes a change of contents.
    pub(super) fn modified(&self, now: u64) {
        self.mtime.store(now, Relaxed);
        self.ctime.store(now, Relaxed);
    }

    /// Notes a change of attributes.
    pub(super) fn changed(&self, now: u64) {
        self.ctime.store(now, Relaxed);
    }

    /// Takes set-id bits away from a program whose contents change.
    pub(super) fn drop_set_id(&self) {
        let permissions = self.permissions();
        let kept = without_set_id(permissions);
        if kept != permissions {
            self.permissions.fetch_and(kept, Relaxed);
        }
    }

    /// Applies everything but a size.
    pub(super) fn apply(&self, change: &AttributeChange, now: u64) {
        // Set-id bits go before the owner they were for does.
        if let Some(permissions) = change.permissions {
            self.permissions.store(permissions & 0o7777, Relaxed);
        }
        if let Some(user) = change.user {
            self.user.store(user, Relaxed);
        }
        if let Some(group) = change.group {
            self.group.store(group, Relaxed);
        }
        let set = |time: &AtomicU64, change: Option<TimeChange>| match change {
            Some(TimeChange::Now) => time.store(now, Relaxed),
            Some(TimeChange::To(to)) => time.store(to, Relaxed),
            None => {}
        };
        set(&self.atime, change.atime);
        set(&self.mtime, change.mtime);
        self.changed(now);
    }
}
