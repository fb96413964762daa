//! Descriptors, and where path walks start.

mod descriptor_table;
mod fs_context;

pub use descriptor_table::{Descriptor, DescriptorFlags, DescriptorTable};
pub use fs_context::FsContext;
