//! What the broker announces to a sandbox on its own: signals, and streams that became ready.

use crate::ring::{Answer, Ring};
use rustix::io::Errno;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pending announcements, and the request that waits for them.
#[derive(Debug)]
pub struct Events {
    ring: Arc<Ring>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pending: u64,
    /// The slot whose [`capsid_wire::Operation::WaitEvents`] is open.
    waiting: Option<usize>,
    /// A listener has asked at least once.
    listened: bool,
}

impl Events {
    /// Makes the announcements of a ring.
    pub fn new(ring: Arc<Ring>) -> Arc<Events> {
        Arc::new(Events {
            ring,
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces events (bits as in the reply of `WaitEvents`).
    pub fn announce(&self, bits: u64) {
        let mut state = self.lock();
        state.pending |= bits;
        self.deliver(&mut state);
    }

    fn deliver(&self, state: &mut State) {
        if state.pending == 0 {
            return;
        }
        if let Some(slot) = state.waiting.take() {
            let value = std::mem::take(&mut state.pending);
            let answer = Answer {
                value,
                donated: None,
            };
            self.ring.complete(slot, Ok(answer), &[]);
        }
    }

    /// Somebody will wait soon.
    pub fn expect_listener(&self) {
        self.lock().listened = true;
    }

    /// Puts a request off until there is something: `EBUSY` if another one waits.
    pub fn wait(&self, slot: usize) -> Result<(), Errno> {
        let mut state = self.lock();
        state.listened = true;
        if state.waiting.is_some_and(|other| other != slot) {
            return Err(Errno::BUSY);
        }
        state.waiting = Some(slot);
        self.deliver(&mut state);
        Ok(())
    }

    /// Ends a request without effect.
    pub fn cancel(&self, slot: usize) {
        let mut state = self.lock();
        if state.waiting == Some(slot) {
            state.waiting = None;
            self.ring.complete(slot, Err(Errno::INTR), &[]);
        }
    }

    /// Whether the sandbox listens at all.
    pub fn is_heard(&self) -> bool {
        self.lock().listened
    }

    /// Whether something waits to be taken.
    pub fn is_pending(&self) -> bool {
        self.lock().pending != 0
    }
}
