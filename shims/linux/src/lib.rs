//! The Linux ABI over the library OS: system calls, tasks, signals, program loading, procfs.
//!
//! Data flows one way. A platform calls [`entry::Task::enter`]; [`table`] finds the call by its
//! number; a `sys_x` function in [`syscalls`] turns raw registers into types, and a `do_x` function
//! or a core object does the work.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod boot;
pub mod call;
pub mod entry;
pub mod exec;
pub mod files;
pub mod kernel;
mod patching;
pub mod posix_queue;
pub mod procfs;
pub mod signal;
pub mod syscalls;
pub mod sysv;
pub mod table;
pub mod task;
pub mod terminal;
#[cfg(test)]
mod test_kernel;
pub mod time;
pub mod trace;

pub use boot::{boot, start};
