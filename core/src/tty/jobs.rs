//! The session that a terminal controls, and its foreground process group, credentials(7).

use super::{Addressee, TerminalSignal, signal};
use crate::sync::Mutex;

/// Session and foreground group of a terminal, by their numbers; 0 for none.
#[derive(Debug, Default)]
pub struct Jobs(Mutex<(u32, u32)>);

impl Jobs {
    /// The session.
    #[must_use]
    pub fn session(&self) -> u32 {
        self.0.lock().0
    }

    /// The foreground process group.
    #[must_use]
    pub fn foreground(&self) -> u32 {
        self.0.lock().1
    }

    /// Makes this the controlling terminal of a session whose foreground group is `group`, unless
    /// it has one. Returns whether it is the session's now.
    pub fn take(&self, session: u32, group: u32) -> bool {
        let mut jobs = self.0.lock();
        if jobs.0 == 0 {
            *jobs = (session, group);
        }
        jobs.0 == session
    }

    /// Takes the terminal away from whatever session has it, and gives it to another.
    pub fn steal(&self, session: u32, group: u32) {
        *self.0.lock() = (session, group);
    }

    /// Puts another group into the foreground.
    pub fn set_foreground(&self, group: u32) {
        self.0.lock().1 = group;
    }

    /// Ends the tie to a session, if it is this one, and returns what the foreground group was.
    pub fn release(&self, session: u32) -> Option<u32> {
        let mut jobs = self.0.lock();
        if session == 0 || jobs.0 != session {
            return None;
        }
        let group = jobs.1;
        *jobs = (0, 0);
        Some(group)
    }

    /// Sends the foreground group a signal.
    pub(super) fn signal_foreground(&self, what: TerminalSignal) {
        let group = self.foreground();
        if group != 0 {
            signal(Addressee::Group(group), what);
        }
    }

    /// Tells the session's leader that the terminal is gone.
    pub(super) fn hang_up(&self) {
        let session = self.session();
        if session != 0 {
            signal(Addressee::Leader(session), TerminalSignal::HangUp);
            signal(Addressee::Leader(session), TerminalSignal::Continue);
        }
    }
}
