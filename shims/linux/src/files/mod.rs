//! Descriptors, where path walks start, and what calls on files have in common.

mod async_signals;
mod blocking;
mod caller;
mod descriptor_table;
mod fs_context;
mod leases;
mod path_argument;
mod pid_file;
pub(crate) mod signal_file;
mod slots;
mod transfer;
mod vectors;

pub use async_signals::{AsyncSignals, SignalOwner, change_async};
pub use blocking::{Patience, block_on, wait_for};
pub use descriptor_table::{Descriptor, DescriptorFlags, DescriptorTable};
pub use fs_context::{FsContext, Places};
pub use leases::despite_leases;
pub use path_argument::PathArgument;
pub use pid_file::{PidFile, open_pidfd, process_of_pidfd, process_to_signal};
pub use signal_file::SignalFile;
pub use transfer::{At, do_read, do_write, read_quietly, write_quietly};
pub use vectors::{IoVectors, MAX_TRANSFER_BYTES};
