//! Replacing the program, execve(2): finding and checking it, then loading it.

mod commit;
mod credentials;
mod elf;
mod image;
mod load;
mod prepare;
mod script;
mod stack;
mod strings;
#[cfg(test)]
mod tests;

pub use commit::commit;
pub use credentials::NewCredentials;
pub use prepare::{Prepared, Request, prepare};
pub use strings::{Strings, budget, read_strings};
