//! Finds `syscall` instructions in x86-64 code and says how to patch them.
//!
//! A patched site jumps to a trampoline, which enters the system-call gate without a trap. This
//! crate reads bytes and makes bytes: files, mappings and platforms are other people's concern. All
//! addresses are relative to the first byte of the text.
//!
//! What a patch may replace is one of the [`Window`]s, and never bytes into which a branch may
//! lead. Where anything is in doubt, the site stays as it is and traps: slower, never wrong.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod branch;
mod neighbourhood;
mod patch;
mod plan;
mod relocate;
mod scan;
mod sweep;
mod table;
mod trampoline;
mod window;

pub use patch::{CodeWrite, Hazards, Layout, Patch, Refusal, ReturnTo, Window};
pub use plan::{patch_proven_sites, patch_site, plain_sites, trampoline_bytes};
pub use sweep::{Sweep, sweep};
pub use table::SiteTable;
