//! The messages between a sandbox and its broker.
//!
//! One memfd holds a [`layout`]: a header, an array of slots, and a data area for each slot. A
//! sandbox thread claims a slot, stores a [`Request`] and its data, and rings the doorbell; the
//! broker reads the request once, validates it, stores a [`Reply`], and wakes the slot. Everything
//! is fixed-size. Neither side trusts a byte that the other can write.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod boot;
pub mod layout;
pub mod message;

pub use boot::{BootConfig, Export, ExportAccess, RootKind, RootSymlink};
pub use message::{HostStat, LookupReply, Operation, Reply, Request};
