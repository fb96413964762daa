//! Time: clocks, interval timers, POSIX timers.

mod process_timers;
mod queue;
mod timer;

pub use process_timers::{IntervalKind, PosixTimer, ProcessTimers};
pub use queue::TimerQueue;
pub use timer::{Notify, Setting, Timer};

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;
