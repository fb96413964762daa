//! Descriptors, where path walks start, and what calls on files have in common.

mod blocking;
mod caller;
mod descriptor_table;
mod fs_context;
mod path_argument;
mod pid_file;
pub(crate) mod signal_file;
mod slots;
mod transfer;
mod vectors;

pub use blocking::{Patience, block_on, wait_for};
pub use descriptor_table::{Descriptor, DescriptorFlags, DescriptorTable};
pub use fs_context::{FsContext, Places};
pub use path_argument::PathArgument;
pub use pid_file::{PidFile, open_pidfd, process_of_pidfd, process_to_signal};
pub use signal_file::SignalFile;
pub use transfer::{At, do_read, do_write};
pub use vectors::{IoVectors, MAX_TRANSFER_BYTES};
