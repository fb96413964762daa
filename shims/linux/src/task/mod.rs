//! Guest processes and threads: how they are made, end, and wait for each other.

pub mod attached;
mod barrier;
mod clone;
mod end;
mod job_control;
mod limits;
mod memory;
mod process;
mod robust;
mod scheduling;
mod takeover;
#[cfg(test)]
mod tests;
mod thread;
mod tree;
mod wait;

pub use barrier::{Barriers, await_barrier};
pub use clone::{CloneFlags, CloneRequest, do_clone};
pub use end::{TICK_NS, begin_group_exit, end_thread};
pub use job_control::{continue_process, stop_process};
pub use limits::{Limit, Limits, RESOURCES, Resource, UNLIMITED};
pub use memory::{ProcessMemory, Program};
pub use process::{CpuTimes, ExitStatus, Process, ProcessState, Usage};
pub use robust::release_guest_words;
pub use scheduling::{ProcessorSet, Scheduling};
pub use takeover::take_over_process;
pub use thread::{NAME_BYTES, OwnState, Thread, ThreadSeed};
pub use tree::{ID_LIMIT, Node, Report, Tree};
pub use wait::{Awaited, Event, WaitFor, WaitOptions, do_wait};
