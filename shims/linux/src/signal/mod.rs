//! Signals, signal(7): what is pending, what is done with it, and how handlers run.

pub mod action;
mod alternate_stack;
mod deliver;
mod exception;
mod frame;
pub mod info;
mod number;
mod pending;
mod restart;
mod send;
#[cfg(test)]
mod tests;

pub use action::{Action, ActionFlags, Actions};
pub use alternate_stack::{AlternateStack, MIN_STACK_BYTES, StackFlags};
pub use deliver::{Delivered, Interrupted, deliver, take_pending};
pub use exception::{TrapState, raise_exception};
pub use frame::{Restored, build_frame, restore_frame};
pub use info::SignalInfo;
pub use number::{DefaultAction, Signal, SignalSet};
pub use pending::Pending;
pub use restart::Restarts;
pub use send::{Target, force, send_to_process, send_to_thread};
