//! Descriptors, and where path walks start.

mod descriptor_table;
mod fs_context;
mod pid_file;
mod slots;

pub use descriptor_table::{Descriptor, DescriptorFlags, DescriptorTable};
pub use fs_context::{FsContext, Places};
pub use pid_file::{PidFile, open_pidfd, process_of_pidfd};
