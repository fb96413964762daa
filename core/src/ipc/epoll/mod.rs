//! Event polling, epoll(7).
//!
//! Each watched description has an [`Item`] that sits in the wait queue of its file and, once
//! woken, in the ready list of its epoll instance. Only items of the ready list are looked at.

mod item;
mod nesting;

use crate::fs::{DetachedInode, File, Inode, OpenFile};
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue, Wake};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use bitflags::bitflags;
use capsid_platform::Errno;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use hashbrown::HashMap;
use item::Item;
use nesting::Nesting;

bitflags! {
    /// How an event is watched for, epoll_ctl(2): the bits above those of [`Events`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WatchFlags: u32 {
        /// Wake one of several instances.
        const EXCLUSIVE = 1 << 28;
        /// Keep the system awake. Without effect.
        const WAKEUP = 1 << 29;
        /// Stop watching after the first event.
        const ONESHOT = 1 << 30;
        /// Tell of changes, not of states.
        const EDGE = 1 << 31;
    }
}

/// What is watched for, and what the watcher gets back with it.
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    /// Events and [`WatchFlags`], as the guest gave them.
    pub events: u32,
    /// The guest's own value.
    pub data: u64,
}

impl Interest {
    fn has(self, flag: WatchFlags) -> bool {
        self.events & flag.bits() != 0
    }
}

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll {
    shared: Arc<Shared>,
}

/// A descriptor number and the address of its description.
type Key = (i32, usize);

fn key_of(fd: i32, file: &Arc<OpenFile>) -> Key {
    (fd, Arc::as_ptr(file).addr())
}

/// What items reach. An item that is being woken may be the last to own it, under the lock of its
/// file's queue: its end does nothing, and all work is done by the end of [`Epoll`].
#[derive(Debug)]
struct Shared {
    items: Mutex<HashMap<Key, Arc<Item>>>,
    ready: Mutex<VecDeque<Arc<Item>>>,
    queue: WaitQueue,
    /// Items whose files change with time, and how many.
    timed: Mutex<Vec<Weak<Item>>>,
    timed_count: AtomicUsize,
    nesting: Nesting,
    /// The instance is gone.
    closed: AtomicBool,
}

impl Shared {
    fn push(&self, item: Arc<Item>) {
        let mut ready = self.ready.lock();
        if !self.closed.load(Ordering::SeqCst) {
            ready.push_back(item);
        }
    }

    /// Takes an item out of everything but the map and the ready list.
    fn let_go(&self, item: &Arc<Item>, file: &dyn File) {
        item.kill();
        if let Some(queue) = file.wait_queue() {
            let waker: Arc<dyn Wake> = item.clone();
            queue.remove(&waker);
        }
        if let Some(inner) = (file as &dyn Any).downcast_ref::<Epoll>() {
            inner.shared.nesting.remove(self);
        }
        if self.timed_count.load(Ordering::Relaxed) > 0 {
            let mut timed = self.timed.lock();
            timed.retain(|other| !core::ptr::eq(other.as_ptr(), Arc::as_ptr(item)));
            self.timed_count.store(timed.len(), Ordering::Relaxed);
        }
    }

    /// Lets timed files catch up; returns when the next of them changes.
    fn refresh_timed(&self) -> Option<u64> {
        if self.timed_count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let items: Vec<Weak<Item>> = self.timed.lock().clone();
        items
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|item| item.file()?.file.refresh())
            .min()
    }
}

impl Default for Epoll {
    fn default() -> Epoll {
        Epoll::new()
    }
}

impl Epoll {
    /// Makes an instance that watches nothing.
    #[must_use]
    pub fn new() -> Epoll {
        Epoll {
            shared: Arc::new(Shared {
                items: Mutex::new(HashMap::new()),
                ready: Mutex::new(VecDeque::new()),
                queue: WaitQueue::new(),
                timed: Mutex::new(Vec::new()),
                timed_count: AtomicUsize::new(0),
                nesting: Nesting::default(),
                closed: AtomicBool::new(false),
            }),
        }
    }

    /// The instance that a description is, if it is one.
    #[must_use]
    pub fn of(file: &OpenFile) -> Option<&Epoll> {
        (&*file.file as &dyn Any).downcast_ref()
    }

    /// Watches a description (`EPOLL_CTL_ADD`): `EEXIST`, `EPERM` for files that are always ready,
    /// `ELOOP` for instances that would watch each other, `EINVAL`.
    pub fn add(&self, fd: i32, file: &Arc<OpenFile>, interest: Interest) -> Result<(), Errno> {
        let inner = Epoll::of(file);
        if inner.is_some_and(|inner| core::ptr::eq(inner, self)) {
            return Err(Errno::EINVAL);
        }
        if interest.has(WatchFlags::EXCLUSIVE) {
            const ALLOWED: u32 = Events::IN
                .union(Events::OUT)
                .union(Events::ALWAYS)
                .union(Events::RDNORM)
                .union(Events::WRNORM)
                .bits()
                | WatchFlags::EXCLUSIVE.bits()
                | WatchFlags::WAKEUP.bits()
                | WatchFlags::EDGE.bits();
            if interest.events & !ALLOWED != 0 || inner.is_some() {
                return Err(Errno::EINVAL);
            }
        }
        let queue = file.file.wait_queue().ok_or(Errno::EPERM)?;
        let _nesting = match inner {
            Some(inner) => Some(self.check_nesting(inner)?),
            None => None,
        };
        let item = Item::new(key_of(fd, file), file, interest, self.shared.clone());
        {
            let mut items = self.shared.items.lock();
            match items.entry(key_of(fd, file)) {
                hashbrown::hash_map::Entry::Occupied(_) => return Err(Errno::EEXIST),
                hashbrown::hash_map::Entry::Vacant(entry) => entry.insert(item.clone()),
            };
        }
        if let Some(inner) = inner {
            inner.shared.nesting.add(&self.shared);
        }
        if file.file.changes_with_time() {
            let mut timed = self.shared.timed.lock();
            timed.push(Arc::downgrade(&item));
            self.shared
                .timed_count
                .store(timed.len(), Ordering::Relaxed);
        }
        file.observe(item.clone());
        queue.add(item.clone(), Events::all());
        self.look_at(&item, file);
        Ok(())
    }

    /// Changes what is watched for (`EPOLL_CTL_MOD`): `ENOENT`, `EINVAL`.
    pub fn modify(&self, fd: i32, file: &Arc<OpenFile>, interest: Interest) -> Result<(), Errno> {
        let item = self.shared.items.lock().get(&key_of(fd, file)).cloned();
        let item = item.ok_or(Errno::ENOENT)?;
        if interest.has(WatchFlags::EXCLUSIVE) || item.interest().has(WatchFlags::EXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        item.set_interest(interest);
        self.look_at(&item, file);
        Ok(())
    }

    /// Stops watching (`EPOLL_CTL_DEL`): `ENOENT`.
    pub fn remove(&self, fd: i32, file: &Arc<OpenFile>) -> Result<(), Errno> {
        let item = self.shared.items.lock().remove(&key_of(fd, file));
        let item = item.ok_or(Errno::ENOENT)?;
        file.unobserve(&item.observer());
        self.shared.let_go(&item, &*file.file);
        Ok(())
    }

    /// Hands out what is ready, to at most `limit` calls of `emit(events, data)`, whose error ends
    /// it. Returns how many; 0 if nothing is ready.
    pub fn collect(
        &self,
        limit: usize,
        mut emit: impl FnMut(u32, u64) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        self.shared.refresh_timed();
        let mut left = self.shared.ready.lock().len();
        let mut count = 0;
        let mut kept = false;
        while left > 0 && count < limit {
            left -= 1;
            let Some(item) = self.shared.ready.lock().pop_front() else {
                break;
            };
            let Some((events, interest)) = item.take_ready() else {
                continue;
            };
            if let Err(error) = emit(events.bits(), interest.data) {
                item.enqueue();
                return if count > 0 { Ok(count) } else { Err(error) };
            }
            count += 1;
            if interest.has(WatchFlags::ONESHOT) {
                item.disable();
            } else if !interest.has(WatchFlags::EDGE) {
                item.enqueue();
                kept = true;
            }
        }
        if kept {
            // Another waiter may have looked while the item was out of the list.
            self.shared.queue.wake(Events::READABLE);
        }
        Ok(count)
    }

    /// How many descriptors are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.shared.items.lock().len()
    }

    fn look_at(&self, item: &Arc<Item>, file: &OpenFile) {
        file.file.watch(item.events());
        if file.file.readiness().intersects(item.events()) {
            item.enqueue();
            self.shared.queue.wake(Events::READABLE);
        }
    }
}

impl File for Epoll {
    fn readiness(&self) -> Events {
        self.shared.refresh_timed();
        let mut left = self.shared.ready.lock().len();
        while left > 0 {
            left -= 1;
            let Some(item) = self.shared.ready.lock().pop_front() else {
                break;
            };
            if item.take_ready().is_some() {
                item.enqueue();
                return Events::READABLE;
            }
        }
        Events::empty()
    }

    fn refresh(&self) -> Option<u64> {
        self.shared.refresh_timed()
    }

    fn changes_with_time(&self) -> bool {
        true
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.shared.queue)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(DetachedInode::anonymous("[eventpoll]"))
    }

    fn label(&self) -> Option<String> {
        Some("anon_inode:[eventpoll]".into())
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let ready = {
            let mut ready = self.shared.ready.lock();
            self.shared.closed.store(true, Ordering::SeqCst);
            core::mem::take(&mut *ready)
        };
        drop(ready);
        let items = core::mem::take(&mut *self.shared.items.lock());
        for item in items.into_values() {
            if let Some(file) = item.file() {
                file.unobserve(&item.observer());
                self.shared.let_go(&item, &*file.file);
            }
        }
    }
}
