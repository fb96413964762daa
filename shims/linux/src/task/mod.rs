//! Guest processes and threads.

mod process;
mod thread;

pub use process::Process;
pub use thread::Thread;
