//! Terminals and the processes on them: devices, controlling terminals, job control.

mod background;
mod controlling;
mod devices;
mod read;
mod signals;

pub use background::{check_change, check_read, check_write};
pub use controlling::{acquire_at_open, leave_session, release, take_control};
pub use devices::{open_terminal_of, register_drivers};
pub use read::read_terminal;
pub use signals::{deliver, signal_group};
