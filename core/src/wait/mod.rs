//! Waiting: parking one thread, queues of those who wait for an object, and readiness events.

mod events;
#[cfg(test)]
mod model;
mod parker;
mod queue;

pub use events::Events;
pub use parker::{Parker, Waiter, Word};
pub use queue::{Registration, WaitQueue, Wake};
