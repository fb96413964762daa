//! Host directories: a file system over an export of the broker.
//!
//! Paths go to the broker, which opens files and donates descriptors; bytes then flow on those,
//! with no broker between. A walk asks for all that is left of a path at once, and the answer is
//! kept for the steps that follow. What is known of a *stable* export is kept for ever; of another
//! one, for [`LIFETIME_NS`] and until the sandbox itself changes something.

mod children;
mod descriptors;
mod file;
mod file_system;
mod inode;
mod listing;
mod names;
mod protocol;

pub use file_system::HostFileSystem;

/// How long what the broker said of a changing export is believed: long enough for one system call
/// or a handful, short enough that nobody sees an old state who looks twice.
const LIFETIME_NS: u64 = 1_000_000;
