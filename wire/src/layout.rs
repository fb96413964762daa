//! The shared memory in which requests and replies lie.
//!
//! ```text
//! 0                 Header (one page), then the slots, one page-aligned array
//! DATA_OFFSET       SLOTS data areas of DATA_BYTES
//! BOOT_OFFSET       the boot configuration (postcard), BOOT_BYTES
//! TOTAL_BYTES
//! ```
//!
//! All fields are atomics: either side may write any of them at any time.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// Number of slots.
pub const SLOTS: usize = 64;
/// Bytes of data that a request or reply can carry.
pub const DATA_BYTES: usize = 64 * 1024;
/// Where the slots start.
pub const SLOTS_OFFSET: usize = 4096;
/// Where the data areas start.
pub const DATA_OFFSET: usize = 4 * 4096;
/// Where the boot configuration lies.
pub const BOOT_OFFSET: usize = DATA_OFFSET + SLOTS * DATA_BYTES;
/// Room for the boot configuration: arguments and environment of up to 2 MiB, and mounts.
pub const BOOT_BYTES: usize = 4 * 1024 * 1024;
/// Size of the memfd.
pub const TOTAL_BYTES: usize = BOOT_OFFSET + BOOT_BYTES;

/// The slot is free. Sandbox: FREE → CLAIMED → SUBMITTED; broker: SUBMITTED → ACCEPTED → DONE;
/// sandbox: DONE → FREE. A wait on the state sets [`STATE_WAITING`] in it first.
pub const STATE_FREE: u32 = 0;
/// A sandbox thread is filling it.
pub const STATE_CLAIMED: u32 = 1;
/// The broker may take it.
pub const STATE_SUBMITTED: u32 = 2;
/// The broker has read it.
pub const STATE_ACCEPTED: u32 = 3;
/// The reply is there.
pub const STATE_DONE: u32 = 4;
/// Or-ed in by a sandbox thread that sleeps on the state; the broker wakes the word then.
pub const STATE_WAITING: u32 = 0x100;
/// Or-ed in by a sandbox thread that wants an interruptible request cancelled; the broker
/// completes it soon, with `EINTR` if it had no effect.
pub const STATE_CANCEL: u32 = 0x200;

/// The broker is awake and looking at the slots.
pub const BROKER_AWAKE: u32 = 0;
/// The broker sleeps on [`Header::broker_state`]: wake it after submitting.
pub const BROKER_ASLEEP: u32 = 1;

/// The first page.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    /// [`BROKER_AWAKE`] or [`BROKER_ASLEEP`]. A submitter swaps in AWAKE and, if it was asleep,
    /// wakes the word.
    pub broker_state: AtomicU32,
    /// Nonzero once the sandbox must end.
    pub shutdown: AtomicU32,
    /// Which slots were submitted since the broker last looked: bit i for slot i.
    pub submitted: AtomicU64,
    /// Length of the boot configuration.
    pub boot_len: AtomicU32,
}

/// One slot; 128 bytes.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Slot {
    /// `STATE_*`.
    pub state: AtomicU32,
    /// [`crate::Operation`].
    pub operation: AtomicU32,
    /// The request's arguments.
    pub args: [AtomicU64; 6],
    /// Bytes of data in the request, then in the reply.
    pub data_len: AtomicU32,
    /// Reply: the errno, or 0.
    pub error: AtomicU32,
    /// Reply: the value.
    pub value: AtomicU64,
    /// Reply: 1 if a descriptor was sent along, tagged with the slot's index.
    pub donated: AtomicU32,
}

const _: () = assert!(size_of::<Slot>() == 128);
const _: () = assert!(SLOTS_OFFSET + SLOTS * size_of::<Slot>() <= DATA_OFFSET);
const _: () = assert!(size_of::<Header>() <= SLOTS_OFFSET);
