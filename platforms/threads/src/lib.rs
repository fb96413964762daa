//! The library OS over std threads, for tests: a platform without a host interface.
//!
//! Guest memory is sparse pages, looked up at each copy; a guest process is a copy of them; a
//! guest thread is a std thread. There is no guest code but closures that a test puts at
//! addresses ([`World::set_instruction`]). Each test (each std thread that the platform did not
//! start) has a process and a [`World`] of its own; the page pool is one for all.
#![forbid(unsafe_code)]

mod memory;
mod page;
mod platform;
mod thread;
mod timer;
mod world;

pub use page::POOL_PAGES;
pub use platform::ThreadsPlatform;
pub use world::{FileBytes, World};

use std::sync::OnceLock;

/// Installs the platform, once, and returns it.
pub fn install() -> &'static ThreadsPlatform {
    static PLATFORM: OnceLock<ThreadsPlatform> = OnceLock::new();
    let platform = PLATFORM.get_or_init(ThreadsPlatform::new);
    capsid_platform::install(platform);
    platform
}
