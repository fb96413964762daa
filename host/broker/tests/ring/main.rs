//! The broker behind a live ring, without a sandbox.

mod client;
mod exports;
mod hostile_ring;
mod streams;
mod terminals;
