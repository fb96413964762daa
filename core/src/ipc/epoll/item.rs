//! One watched description.

use super::{Interest, Key, Shared, WatchFlags};
use crate::fs::{DescriptionObserver, File, OpenFile};
use crate::wait::{Events, Wake};
use alloc::sync::{Arc, Weak};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Bits of the interest that are not events.
const FLAGS: u32 = WatchFlags::all().bits();

/// A description, watched under one descriptor number.
pub(super) struct Item {
    me: Weak<Item>,
    key: Key,
    file: Weak<OpenFile>,
    events: AtomicU32,
    data: AtomicU64,
    /// It is in the ready list.
    queued: AtomicBool,
    /// It is watched no more.
    dead: AtomicBool,
    shared: Arc<Shared>,
}

impl Item {
    pub(super) fn new(
        key: Key,
        file: &Arc<OpenFile>,
        interest: Interest,
        shared: Arc<Shared>,
    ) -> Arc<Item> {
        Arc::new_cyclic(|me| Item {
            me: me.clone(),
            key,
            file: Arc::downgrade(file),
            events: AtomicU32::new(interest.events),
            data: AtomicU64::new(interest.data),
            queued: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            shared,
        })
    }

    pub(super) fn file(&self) -> Option<Arc<OpenFile>> {
        self.file.upgrade()
    }

    pub(super) fn interest(&self) -> Interest {
        Interest {
            events: self.events.load(Ordering::SeqCst),
            data: self.data.load(Ordering::SeqCst),
        }
    }

    pub(super) fn set_interest(&self, interest: Interest) {
        self.data.store(interest.data, Ordering::SeqCst);
        self.events.store(interest.events, Ordering::SeqCst);
    }

    /// The events that count: none while a one-shot item is spent.
    pub(super) fn events(&self) -> Events {
        Item::counting(self.events.load(Ordering::SeqCst))
    }

    fn counting(events: u32) -> Events {
        if events & !FLAGS == 0 {
            return Events::empty();
        }
        Events::from_bits_truncate(events) | Events::ALWAYS
    }

    /// Spends a one-shot item.
    pub(super) fn disable(&self) {
        self.events.fetch_and(FLAGS, Ordering::SeqCst);
    }

    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    pub(super) fn observer(&self) -> Weak<dyn DescriptionObserver> {
        self.me.clone()
    }

    /// Puts the item into the ready list, once.
    pub(super) fn enqueue(&self) {
        if !self.queued.swap(true, Ordering::SeqCst)
            && let Some(me) = self.me.upgrade()
        {
            self.shared.push(me);
        }
    }

    /// Takes note that the item left the ready list; returns what it is ready for, if anything.
    pub(super) fn take_ready(&self) -> Option<(Events, Interest)> {
        // First the mark, then the look: a change after the look puts the item back.
        self.queued.store(false, Ordering::SeqCst);
        if self.is_dead() {
            return None;
        }
        let interest = self.interest();
        let file = self.file()?;
        let events = file.file.readiness() & Item::counting(interest.events);
        (!events.is_empty()).then_some((events, interest))
    }
}

impl Wake for Item {
    fn wake(&self, events: Events) {
        if events.intersects(self.events()) && !self.is_dead() {
            self.enqueue();
            self.shared.queue.wake(Events::READABLE);
        }
    }
}

impl DescriptionObserver for Item {
    fn description_closed(&self, file: &dyn File) {
        let item = self.shared.items.lock().remove(&self.key);
        if let Some(item) = item {
            self.shared.let_go(&item, file);
        }
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("interest", &self.interest())
            .finish_non_exhaustive()
    }
}
