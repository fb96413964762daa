//! The library OS: everything that is neither one ABI's nor one host's.
//!
//! It knows the host through [`capsid_platform::Platform`] only, and guests through the shims that
//! call it. All of its state lives in memory that every guest process of the sandbox shares.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod credentials;
pub mod fs;
pub mod futex;
pub mod host_events;
pub mod io;
pub mod ipc;
pub mod memory;
pub mod net;
pub mod random;
#[cfg(test)]
mod test_platform;
pub mod tty;
pub mod wait;

pub use capsid_platform::Errno;
pub use capsid_platform::sync;
