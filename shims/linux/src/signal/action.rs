//! What a process does with each signal, sigaction(2).

use crate::signal::{DefaultAction, Signal, SignalSet};
use bitflags::bitflags;
use capsid_core::sync::Mutex;

bitflags! {
    /// Flags of an action, with Linux's bits.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ActionFlags: u64 {
        /// `SIGCHLD`: not for children that stop or continue.
        const NO_CHILD_STOP = 1;
        /// `SIGCHLD`: children leave no zombies.
        const NO_CHILD_WAIT = 2;
        /// The handler takes a `siginfo_t` and a context.
        const INFO = 4;
        /// The kernel names a restorer.
        const RESTORER = 0x0400_0000;
        /// Run on the alternate stack.
        const ON_STACK = 0x0800_0000;
        /// Restart the call that was interrupted.
        const RESTART = 0x1000_0000;
        /// Do not block the signal in its handler.
        const NO_DEFER = 0x4000_0000;
        /// Back to the default when taken.
        const RESET_HANDLER = 0x8000_0000;
    }
}

/// `SIG_DFL`.
pub const DEFAULT: u64 = 0;
/// `SIG_IGN`.
pub const IGNORE: u64 = 1;

/// One signal's action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// The handler's address, [`DEFAULT`] or [`IGNORE`].
    pub handler: u64,
    /// Flags; unknown bits are kept, as Linux does.
    pub flags: ActionFlags,
    /// The address the handler returns to.
    pub restorer: u64,
    /// Signals blocked while it runs.
    pub mask: SignalSet,
}

impl Action {
    /// Whether a signal with this action has no effect and is not even kept.
    #[must_use]
    pub fn ignores(&self, signal: Signal) -> bool {
        match self.handler {
            IGNORE => true,
            DEFAULT => signal.default_action() == DefaultAction::Ignore,
            _ => false,
        }
    }

    /// Whether it is the default action.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.handler == DEFAULT
    }

    /// Whether a handler runs.
    #[must_use]
    pub fn has_handler(&self) -> bool {
        self.handler > IGNORE
    }
}

/// The actions of a process, shared by `CLONE_SIGHAND`.
#[derive(Debug)]
pub struct Actions(Mutex<[Action; 64]>);

impl Actions {
    /// The action of one signal.
    #[must_use]
    pub fn get(&self, signal: Signal) -> Action {
        self.0.lock()[signal.index()]
    }

    /// Replaces the action of one signal and returns the old one.
    pub fn set(&self, signal: Signal, action: Action) -> Action {
        core::mem::replace(&mut self.0.lock()[signal.index()], action)
    }

    /// A copy for a new process.
    #[must_use]
    pub fn copy(&self) -> Actions {
        Actions(Mutex::new(*self.0.lock()))
    }

    /// A copy for a new program: handlers go back to the default, ignored signals stay ignored.
    #[must_use]
    pub fn without_handlers(&self) -> Actions {
        let mut actions = *self.0.lock();
        for action in &mut actions {
            *action = Action {
                handler: if action.handler == IGNORE {
                    IGNORE
                } else {
                    DEFAULT
                },
                ..Action::default()
            };
        }
        Actions(Mutex::new(actions))
    }

    /// The ignored signals and those with a handler, as `/proc/PID/status` shows them.
    #[must_use]
    pub fn ignored_and_caught(&self) -> (SignalSet, SignalSet) {
        let mut ignored = SignalSet::EMPTY;
        let mut caught = SignalSet::EMPTY;
        for (index, action) in self.0.lock().iter().enumerate() {
            match action.handler {
                DEFAULT => {}
                IGNORE => ignored.0 |= 1 << index,
                _ => caught.0 |= 1 << index,
            }
        }
        (ignored, caught)
    }
}

impl Default for Actions {
    fn default() -> Actions {
        Actions(Mutex::new([Action::default(); 64]))
    }
}
