//! One module for each subcommand: its arguments, and what it does.

pub mod image;
pub mod run;
pub mod surface;
