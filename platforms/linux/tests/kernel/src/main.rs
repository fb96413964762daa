//! A sandbox program for tests of the platform: small guests in assembly over a library OS that has
//! just the calls that they need.
//!
//! The first argument of the boot configuration names the scenario. What it finds goes to the log,
//! one `name=value` line each; the tests compare.
#![no_std]
#![no_main]
#![allow(
    clippy::cast_possible_truncation,
    reason = "a test of raw numbers, on x86-64 only"
)]

extern crate alloc;

mod checks;
mod guests;
mod kernel;

capsid_runtime_linux::sandbox!(kernel::boot);
