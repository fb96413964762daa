//! The system calls, one file per family. `sys_x` decodes registers; `do_x` does the work.

pub mod identity;
pub mod process;
