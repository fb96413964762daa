//! Instances and their watches: inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2).

use super::marks::{self, Key, key_of};
use super::queue::{Event, EventQueue};
use super::{FileEvents, USER_INSTANCES_MAX, USER_WATCHES_MAX, WatchOptions};
use crate::fs::{Dentry, DetachedInode, File, FileKind, Inode, Path};
use crate::io::Destination;
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::Errno;

/// An instance.
#[derive(Debug)]
pub struct Inotify {
    this: Weak<Inotify>,
    /// Whose limits it counts for.
    user: u32,
    queue: Mutex<EventQueue>,
    waiters: WaitQueue,
    watches: Mutex<Watches>,
}

#[derive(Debug, Default)]
struct Watches {
    by_number: BTreeMap<i32, Arc<Watch>>,
    /// The number given out last: one is used again only after all others were.
    last: i32,
}

/// One watch.
#[derive(Debug)]
pub(super) struct Watch {
    number: i32,
    key: Key,
    instance: Weak<Inotify>,
    state: Mutex<WatchState>,
}

#[derive(Debug)]
struct WatchState {
    /// Nothing is told any more once it is gone.
    alive: bool,
    events: FileEvents,
    options: WatchOptions,
    /// The name it was made by, while that exists.
    pinned: Option<Arc<Dentry>>,
}

/// A watch as `/proc/pid/fdinfo` shows it.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// Its number.
    pub number: i32,
    /// The inode's number.
    pub inode: u64,
    /// The inode's file system.
    pub device: u64,
    /// What it asks for.
    pub mask: u32,
}

/// What one user has.
#[derive(Clone, Copy, Default)]
struct Counts {
    instances: usize,
    watches: usize,
}

static USERS: Mutex<BTreeMap<u32, Counts>> = Mutex::new(BTreeMap::new());

/// Takes one more of what `count` picks, unless that passes `limit`.
fn charge(user: u32, limit: usize, count: impl Fn(&mut Counts) -> &mut usize) -> bool {
    let mut users = USERS.lock();
    let count = count(users.entry(user).or_default());
    if *count >= limit {
        return false;
    }
    *count += 1;
    true
}

fn release(user: u32, count: impl Fn(&mut Counts) -> &mut usize) {
    if let Some(counts) = USERS.lock().get_mut(&user) {
        let count = count(counts);
        *count = count.saturating_sub(1);
    }
}

impl Inotify {
    /// Makes an instance: `EMFILE` if the user has too many.
    pub fn new(user: u32) -> Result<Arc<Inotify>, Errno> {
        if !charge(user, USER_INSTANCES_MAX, |counts| &mut counts.instances) {
            return Err(Errno::EMFILE);
        }
        Ok(Arc::new_cyclic(|this| Inotify {
            this: this.clone(),
            user,
            queue: Mutex::default(),
            waiters: WaitQueue::new(),
            watches: Mutex::default(),
        }))
    }

    /// Watches `path`, or changes its watch, and returns the watch's number: `EEXIST`, `ENOSPC`.
    pub fn add_watch(
        &self,
        path: &Path,
        events: FileEvents,
        options: WatchOptions,
    ) -> Result<i32, Errno> {
        let inode = path.inode();
        let key = key_of(inode);
        let mut watches = self.watches.lock();
        let mine = |watch: &&Arc<Watch>| Weak::ptr_eq(&watch.instance, &self.this);
        if let Some(watch) = marks::of(key).iter().find(mine) {
            let mut state = watch.state.lock();
            if state.alive {
                if options.contains(WatchOptions::MASK_CREATE) {
                    return Err(Errno::EEXIST);
                }
                if options.contains(WatchOptions::MASK_ADD) {
                    state.events |= events;
                    state.options |= options;
                } else {
                    state.events = events;
                    state.options = options;
                }
                return Ok(watch.number);
            }
        }
        if !charge(self.user, USER_WATCHES_MAX, |counts| &mut counts.watches) {
            return Err(Errno::ENOSPC);
        }
        let number = watches.new_number();
        let dentry = path.dentry();
        let watch = Arc::new(Watch {
            number,
            key,
            instance: self.this.clone(),
            state: Mutex::new(WatchState {
                alive: true,
                events,
                options,
                pinned: (!dentry.is_unlinked()).then(|| dentry.clone()),
            }),
        });
        watches.by_number.insert(number, watch.clone());
        marks::add(inode, watch.clone());
        drop(watches);
        if dentry.is_unlinked() {
            // Removed meanwhile, by somebody who did not see the watch.
            watch.unpin(dentry);
        }
        Ok(number)
    }

    /// Ends a watch: `EINVAL` if there is none of that number.
    pub fn remove_watch(&self, number: i32) -> Result<(), Errno> {
        let watch = self.watches.lock().by_number.get(&number).cloned();
        watch.ok_or(Errno::EINVAL)?.end(None);
        Ok(())
    }

    /// The watches, in the order of their numbers.
    #[must_use]
    pub fn watched(&self) -> Vec<Watched> {
        let watches: Vec<_> = self.watches.lock().by_number.values().cloned().collect();
        watches
            .iter()
            .filter_map(|watch| {
                let state = watch.state.lock();
                let mask = state.events.bits() | state.options.bits();
                let pinned = state.pinned.clone()?;
                drop(state);
                let metadata = pinned.inode().metadata().ok()?;
                Some(Watched {
                    number: watch.number,
                    inode: metadata.inode,
                    device: metadata.device,
                    mask,
                })
            })
            .collect()
    }

    fn queue(&self, event: Event) {
        self.queue.lock().push(event);
        self.waiters.wake(Events::READABLE);
    }
}

impl Watches {
    /// A number that no watch has, counting up from 1.
    fn new_number(&mut self) -> i32 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.by_number.contains_key(&self.last) {
                return self.last;
            }
        }
    }
}

impl Watch {
    /// Tells of `events`, if they were asked for. `unlinked` says that they came by a description
    /// of a name that was removed.
    pub(super) fn tell(&self, events: FileEvents, cookie: u32, name: &[u8], unlinked: bool) {
        let state = self.state.lock();
        let excluded = unlinked && state.options.contains(WatchOptions::EXCLUDE_UNLINKED);
        if !state.alive || excluded || !state.events.intersects(events & FileEvents::ALL) {
            return;
        }
        let Some(instance) = self.instance.upgrade() else {
            return;
        };
        instance.queue(self.event(events, cookie, name));
        let ends = state.options.contains(WatchOptions::ONE_SHOT);
        drop(state);
        if ends {
            self.end(None);
        }
    }

    fn event(&self, events: FileEvents, cookie: u32, name: &[u8]) -> Event {
        // Linux says of a directory itself neither that it is one.
        let of_self = events.intersects(FileEvents::DELETE_SELF | FileEvents::MOVE_SELF);
        let hidden = if of_self {
            FileEvents::DIRECTORY
        } else {
            FileEvents::empty()
        };
        Event {
            watch: self.number,
            events: events - hidden,
            cookie,
            name: Box::from(name),
        }
    }

    /// Ends the watch, telling of `last` first, asked for or not.
    pub(super) fn end(&self, last: Option<FileEvents>) {
        let instance = self.instance.upgrade();
        if let Some(instance) = &instance {
            instance.watches.lock().by_number.remove(&self.number);
        }
        let mut state = self.state.lock();
        if !core::mem::replace(&mut state.alive, false) {
            return;
        }
        let pinned = state.pinned.take();
        if let Some(instance) = &instance {
            for events in last.into_iter().chain([FileEvents::IGNORED]) {
                instance.queue(self.event(events, 0, b""));
            }
            release(instance.user, |counts| &mut counts.watches);
        }
        drop(state);
        marks::remove(self.key, self);
        drop(pinned);
    }

    /// Lets go of `dentry`, whose name was removed.
    pub(super) fn unpin(&self, dentry: &Arc<Dentry>) {
        let gone = {
            let mut state = self.state.lock();
            state.pinned.take_if(|pinned| Arc::ptr_eq(pinned, dentry))
        };
        drop(gone);
    }

    /// Whether what it watches hangs below `root`.
    pub(super) fn is_below(&self, root: &Arc<Dentry>) -> bool {
        let pinned = self.state.lock().pinned.clone();
        pinned.is_some_and(|pinned| root.is_ancestor_of(&pinned))
    }
}

impl File for Inotify {
    fn read(&self, _offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        self.queue.lock().read(destination)
    }

    fn readiness(&self) -> Events {
        if self.queue.lock().is_empty() {
            Events::empty()
        } else {
            Events::READABLE
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.waiters)
    }

    fn bytes_ready(&self) -> Result<usize, Errno> {
        Ok(self.queue.lock().bytes())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(DetachedInode::anonymous("inotify"))
    }

    fn label(&self) -> Option<String> {
        Some("anon_inode:inotify".into())
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let watches = core::mem::take(&mut self.watches.get_mut().by_number);
        for watch in watches.into_values() {
            release(self.user, |counts| &mut counts.watches);
            watch.end(None);
        }
        release(self.user, |counts| &mut counts.instances);
    }
}

impl WatchOptions {
    /// `ENOTDIR` if only a directory may be watched and `kind` is none.
    pub fn check_kind(self, kind: FileKind) -> Result<(), Errno> {
        if self.contains(WatchOptions::ONLY_DIRECTORY) && kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(())
    }
}
