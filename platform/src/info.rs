//! Facts about the host that do not change while a sandbox lives.

use crate::{GuestAddr, GuestRange};
use capsid_wire::BootConfig;

/// What a platform tells the library OS once.
#[derive(Debug)]
pub struct PlatformInfo {
    /// The addresses that guests may map.
    pub guest_range: GuestRange,
    /// Number of pages in the pool.
    pub pool_pages: u32,
    /// Processors that can run guest threads.
    pub processors: u32,
    /// The machine code of the jump into the system-call gate, from anywhere: a patched site puts
    /// its return address into `rcx` and the number into `rax`, then executes these bytes. Empty
    /// if the platform has no gate and every call traps.
    pub gate_jump: &'static [u8],
    /// The host's vDSO, readable and executable in every guest process; null if there is none.
    pub vdso: GuestAddr,
    /// Size of the extended state in XSAVE standard format, in bytes.
    pub extended_state_bytes: usize,
    /// The processor's enabled extended-state components (XCR0).
    pub extended_state_mask: u64,
    /// Value for the guest's `AT_HWCAP`.
    pub hwcap: u64,
    /// Value for the guest's `AT_HWCAP2`. Bit 1 says that `WRFSBASE` works in guests.
    pub hwcap2: u64,
    /// What the broker wants run, and how.
    pub boot: BootConfig,
}
