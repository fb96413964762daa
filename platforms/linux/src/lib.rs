//! The library OS on a Linux host, x86-64.
//!
//! Two programs use this crate: the sandbox, for all of it, and the broker, for [`boot`] and the
//! list of host calls.
#![no_std]

extern crate alloc;

pub mod boot;
