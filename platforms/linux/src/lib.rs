//! The library OS on a Linux host, x86-64.
//!
//! Two programs use this crate: the sandbox, for all of it, and the broker, for [`boot`] and
//! [`surface`].
//!
//! Inside the sandbox, processes of the host share the library OS's memory at fixed addresses
//! ([`boot`]). [`gate`] and [`signal`] bring threads from guest code to [`entry`] and back;
//! [`thread`] makes and ends them; [`filter`] is the wall around it all.
#![no_std]
#![allow(
    clippy::cast_possible_truncation,
    reason = "x86-64 only: usize and u64 are the same, and halves of words are taken on purpose"
)]

extern crate alloc;

pub mod area;
pub mod areas;
pub mod boot;
pub mod broker;
pub mod copy;
pub mod entry;
pub mod files;
pub mod filter;
pub mod frame;
pub mod gate;
pub mod heap;
pub mod host;
pub mod loader;
pub mod lock;
pub mod memory;
pub mod platform;
pub mod program;
pub mod signal;
pub mod spare;
pub mod start;
pub mod statistics;
pub mod surface;
pub mod thread;
pub mod time;
pub mod vdso;
pub mod wait;
pub mod xstate;
