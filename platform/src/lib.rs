//! The one trait through which the library OS reaches its host.
//!
//! Everything above this crate is host-agnostic; everything below it implements [`Platform`]. The
//! plain data that crosses the line (addresses, registers, errors) is defined here too, so that
//! both sides speak of the same things.
//!
//! The direction of calls: the platform calls [`GuestThread::enter`] when a guest thread starts,
//! makes a system call, faults or is interrupted; the library OS calls [`Platform`] functions from
//! inside that. Nothing here knows Linux's system-call table, and nothing above knows the host's.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod errno;
pub mod guest;
pub mod info;
pub mod memory;
pub mod registers;
pub mod sync;
pub mod thread;

pub use errno::Errno;
pub use guest::{GuestAddr, GuestRange};
pub use info::PlatformInfo;
pub use memory::{
    Advice, Backing, IoSource, IoTarget, PAGE_SIZE, PoolMemory, PoolPage, Protection, Sharing,
};
pub use registers::Registers;
pub use thread::{
    Entry, Exception, GuestThread, Resume, SpawnKind, ThreadToken, WaitMode, WaitOutcome,
};

use alloc::boxed::Box;
use capsid_wire::{Reply, Request};
use core::sync::atomic::AtomicU32;

/// A descriptor that the broker donated: a capability to the bytes of one host file.
///
/// The number means something to the platform only. A hostile host can return any bytes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostFile(pub u32);

/// A clock that the host keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Nanoseconds since the Unix epoch; the host may step it.
    Realtime,
    /// Nanoseconds since an unspecified start; never goes back.
    Monotonic,
    /// Like [`Clock::Monotonic`], and counts time in suspend.
    Boottime,
    /// CPU nanoseconds used by the calling guest process.
    ProcessCpu,
    /// CPU nanoseconds used by the calling guest thread.
    ThreadCpu,
}

/// A one-shot timer of the calling guest process, kept by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostTimer {
    /// Counts wall time.
    Real,
    /// Counts CPU time in the process, not in the host's kernel.
    Virtual,
    /// Counts CPU time in the process and in the host's kernel.
    Profiling,
}

/// An atomic operation on a 32-bit guest word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomicOp {
    /// Read.
    Load,
    /// Replace by the value.
    Swap(u32),
    /// Add the value, wrapping.
    Add(u32),
    /// Bitwise or with the value.
    Or(u32),
    /// Bitwise and with the value.
    And(u32),
    /// Bitwise exclusive or with the value.
    Xor(u32),
    /// Store `new` if the word equals `expected`.
    CompareExchange {
        /// The value the word must have.
        expected: u32,
        /// The value stored then.
        new: u32,
    },
}

/// What the library OS asks of its host.
///
/// All functions may be called from any guest thread, and act on the guest process of the calling
/// thread where they act on a process. A hostile host can fail any of them; what else it can do is
/// said on each.
pub trait Platform: Sync {
    /// Facts that do not change while the sandbox lives. A hostile host can lie in all of them;
    /// the library OS uses them for sizes and defaults, never as proof.
    fn info(&self) -> &PlatformInfo;

    // --- Address space of the calling guest process -------------------------------------------

    /// Maps `range` (page-aligned, inside [`PlatformInfo::guest_range`]) to `backing`, replacing
    /// what was there. `ENOMEM` when the host refuses. A hostile host can show any bytes there.
    fn map(
        &self,
        range: GuestRange,
        protection: Protection,
        backing: Backing,
        sharing: Sharing,
    ) -> Result<(), Errno>;

    /// Removes every mapping in `range` (page-aligned). Holes are no error. Must leave the
    /// platform's own mappings alone: `range` lies inside the guest range.
    fn unmap(&self, range: GuestRange) -> Result<(), Errno>;

    /// Sets the protection of `range`, all of which is mapped. `ENOMEM` if it is not.
    fn protect(&self, range: GuestRange, protection: Protection) -> Result<(), Errno>;

    /// Moves the pages of `old` to `new` (both page-aligned, not overlapping), replacing what was
    /// there; a longer `new` is filled with pages of the same backing, a shorter one drops the
    /// rest. `old` lies in one mapping.
    fn remap(&self, old: GuestRange, new: GuestRange) -> Result<(), Errno>;

    /// Gives advice about `range`. [`Advice::DontNeed`] must make private anonymous pages read as
    /// zero afterwards; the others may do nothing.
    fn advise(&self, range: GuestRange, advice: Advice) -> Result<(), Errno>;

    // --- Guest memory -------------------------------------------------------------------------

    /// Copies guest memory into `destination` and returns how many bytes were copied; fewer than
    /// asked means that the next byte is not readable. Any address is allowed: outside the guest
    /// range nothing is copied.
    fn copy_from_guest(&self, destination: &mut [u8], source: GuestAddr) -> usize;

    /// Copies `source` into guest memory and returns how many bytes were copied, as
    /// [`Platform::copy_from_guest`] does.
    fn copy_to_guest(&self, destination: GuestAddr, source: &[u8]) -> usize;

    /// Performs an atomic operation on the aligned word at `address` and returns its old value.
    /// `EFAULT` if the word is not accessible, `EINVAL` if not aligned to 4.
    fn guest_atomic(&self, address: GuestAddr, operation: AtomicOp) -> Result<u32, Errno>;

    // --- The page pool ------------------------------------------------------------------------
    //
    // Memory that every guest process of the sandbox can map and the library OS can read and write:
    // the pages of tmpfs, of shared anonymous mappings and of patched text. Pages start zeroed.

    /// Copies `target.len()` bytes out of the pool, from byte `offset` after the start of `page`;
    /// returns how many, fewer than asked if the target faulted. The range may run over several
    /// consecutive pages; past the end of the pool nothing is copied.
    fn pool_read(&self, page: PoolPage, offset: usize, target: IoTarget<'_>) -> usize;

    /// Copies into the pool, as [`Platform::pool_read`] copies out. 8 or 16 bytes from memory of the
    /// library OS to a multiple of their number become visible at once, also to threads that
    /// execute them.
    fn pool_write(&self, page: PoolPage, offset: usize, source: IoSource<'_>) -> usize;

    /// Sets `length` bytes of the pool to zero, from byte `offset` after the start of `page`. With
    /// [`PoolMemory::GivenBack`], for whole pages, the host gets their memory back, if it takes it.
    fn pool_zero(&self, page: PoolPage, offset: usize, length: usize, memory: PoolMemory);

    // --- Threads ------------------------------------------------------------------------------

    /// Starts a guest thread, in this guest process or in a copy of it. The new thread first calls
    /// `thread.enter(Entry::Start, …)` with a copy of `registers`, then goes to the guest. It
    /// inherits the calling guest thread's extended (vector) state.
    ///
    /// [`SpawnKind::Process`] gives the child a copy of the guest's memory, private mappings
    /// copy-on-write; library-OS memory stays shared. `EAGAIN` or `ENOMEM` when the host refuses.
    fn spawn(
        &self,
        kind: SpawnKind,
        thread: Box<dyn GuestThread>,
        registers: &Registers,
    ) -> Result<ThreadToken, Errno>;

    /// The token of the calling thread.
    fn current_thread(&self) -> ThreadToken;

    /// Makes `thread` call `enter(Entry::Interrupt, …)` soon, if it is running guest code or
    /// waiting in [`WaitMode::Interruptible`]. A token of an ended thread does nothing.
    fn kick(&self, thread: ThreadToken);

    /// Sleeps while `*word == expected`, until woken, or until the monotonic clock passes
    /// `deadline_ns`. `word` lies in library-OS memory and may be woken from any process of the
    /// sandbox. May return [`WaitOutcome::Woken`] for no reason.
    fn wait(
        &self,
        word: &AtomicU32,
        expected: u32,
        deadline_ns: Option<u64>,
        mode: WaitMode,
    ) -> WaitOutcome;

    /// Wakes up to `count` threads that wait on `word`.
    fn wake(&self, word: &AtomicU32, count: u32);

    /// Lets another thread run.
    fn yield_now(&self);

    // --- Registers beyond `Registers` ---------------------------------------------------------

    /// The calling guest thread's thread pointer (x86-64: FS base).
    fn thread_pointer(&self) -> u64;

    /// Sets the calling guest thread's thread pointer. `EPERM` if it is not a user address.
    fn set_thread_pointer(&self, value: u64) -> Result<(), Errno>;

    /// Writes the calling guest thread's extended state in the processor's XSAVE standard format
    /// to `buffer`, at least [`PlatformInfo::extended_state_bytes`] long.
    fn save_extended_state(&self, buffer: &mut [u8]);

    /// Loads the calling guest thread's extended state from `buffer` (the format of
    /// [`Platform::save_extended_state`]; components the processor lacks and reserved bits are
    /// ignored, not trusted). An empty buffer loads the initial state, as after `execve`.
    fn restore_extended_state(&self, buffer: &[u8]);

    // --- Time ---------------------------------------------------------------------------------

    /// Reads `clock`, in nanoseconds. A hostile host can return anything.
    fn now(&self, clock: Clock) -> u64;

    /// Arms `timer` of the calling guest process to interrupt one of its threads, as
    /// [`Platform::kick`] does, once, `delay_ns` from now; `None` disarms it.
    fn set_timer(&self, timer: HostTimer, delay_ns: Option<u64>);

    // --- The broker ---------------------------------------------------------------------------

    /// Sends a request and waits for its reply. `data` is sent along and receives what comes back:
    /// the reply says how many bytes of it are valid. The wait is not interruptible unless the
    /// request says so; `EINTR` then means that it was cancelled and had no effect. `EIO` when the
    /// broker is gone. A hostile broker can reply anything.
    fn broker_call(&self, request: &Request, data: &mut [u8]) -> Result<Reply, Errno>;

    /// Reads from a donated file at `offset` and returns how many bytes were read; 0 at its end.
    fn host_read(&self, file: HostFile, offset: u64, target: IoTarget<'_>) -> Result<usize, Errno>;

    /// Writes to a donated file at `offset` and returns how many bytes were written.
    fn host_write(&self, file: HostFile, offset: u64, source: IoSource<'_>)
    -> Result<usize, Errno>;

    /// Closes a donated file. Mappings of it stay.
    fn host_close(&self, file: HostFile);

    /// The root image (EROFS), mapped read-only, or an empty slice. A hostile host can change it
    /// while it is read.
    fn image(&self) -> &'static [u8];

    /// Calls `each` for every site that trapped, with its address and count, and returns how many
    /// system calls came through the gate.
    fn trap_counts(&self, each: &mut dyn FnMut(GuestAddr, u64)) -> u64;
}

static PLATFORM: spin::Once<&'static dyn Platform> = spin::Once::new();

/// Installs the platform. The first call wins; a program has one.
pub fn install(platform: &'static dyn Platform) {
    PLATFORM.call_once(|| platform);
}

/// Returns the installed platform.
///
/// # Panics
/// If [`install`] was not called: a mistake of the program's start, not of a guest.
pub fn platform() -> &'static dyn Platform {
    match PLATFORM.get() {
        Some(platform) => *platform,
        None => panic!("no platform is installed"),
    }
}
