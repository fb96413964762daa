//! The trusted side of a sandbox: policy, host files, limits, reaping.
//!
//! [`sandbox::run`] starts a sandbox and serves it until it ends. Threads: the caller's supervises
//! ([`supervise`]); one serves the ring ([`ring`], [`service`]); one reaps ([`processes`]); two more
//! are started when they are first needed, one that watches standard streams ([`streams`]) and one
//! that flushes files ([`flush`]).
//!
//! Everything that comes over the ring is hostile. It is read once, checked, and then used; what
//! was checked is an open descriptor wherever it names something of the host.

pub mod attributes;
pub mod control_group;
pub mod directory;
pub mod error;
pub mod events;
pub mod export;
pub mod flush;
pub mod handles;
pub mod inherited;
pub mod launch;
pub mod limits;
pub mod log;
pub mod lookup;
pub mod outcome;
pub mod own_memory;
pub mod paths;
pub mod processes;
pub mod program;
pub mod raw_process;
pub mod reopen;
pub mod ring;
pub mod sandbox;
pub mod service;
pub mod shared_memory;
pub mod signals;
pub mod streams;
pub mod supervise;
pub mod terminal;

pub use error::Error;
pub use export::{Readers, Scope};
pub use limits::Limits;
pub use log::Log;
pub use sandbox::{Configuration, ExportSource, RunEnd, run};
pub use signals::SignalInbox;
pub use streams::TerminalInput;
