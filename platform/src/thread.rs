//! Guest threads as the platform sees them, and waiting.

use crate::{GuestAddr, Registers};

/// One guest thread: what a platform runs.
///
/// The platform owns the value, calls [`GuestThread::enter`] on the thread's own kernel stack, one
/// call at a time, and drops it after [`Resume::Exit`].
pub trait GuestThread: Send {
    /// Enters the library OS. `registers` are the guest's, and are loaded when the guest resumes.
    fn enter(&mut self, entry: Entry, registers: &mut Registers) -> Resume;
}

/// Why a guest thread enters the library OS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The thread's first moment. It has not run in the guest yet.
    Start,
    /// The guest made a system call: number in `rax`, `rip` after the instruction.
    Syscall,
    /// As [`Entry::Syscall`], but an unpatched instruction at this address trapped.
    TrappedSyscall(GuestAddr),
    /// The guest's instruction at `rip` faulted.
    Exception(Exception),
    /// A kick or a timer interrupted the thread; `registers` hold the exact guest state.
    Interrupt,
}

/// What to do after [`GuestThread::enter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Load the registers and go on in the guest.
    Guest,
    /// End the thread. The last thread of a guest process ends that process.
    Exit,
}

/// A processor exception that guest code raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The x86 vector: 0 divide error, 1 debug, 3 breakpoint, 4 overflow, 5 bound range, 6 invalid
    /// opcode, 13 general protection, 14 page fault, 16 x87, 17 alignment check, 19 SIMD.
    pub vector: u8,
    /// The error code the processor pushed, or 0.
    pub error_code: u32,
    /// Vector 14: the address that faulted.
    pub address: GuestAddr,
    /// Vector 14: the page is mapped, and its backing has no bytes there (SIGBUS on Linux).
    pub beyond_backing: bool,
}

/// What [`crate::Platform::spawn`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnKind {
    /// A thread of the calling guest process, with the same memory.
    Thread,
    /// The first thread of a new guest process, with a copy of the memory.
    Process,
    /// The first thread of a new guest process in which nothing is mapped.
    EmptyProcess,
}

/// Names a thread to the platform; stays valid, and harmless, after the thread ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadToken(pub u64);

/// Whether a kick ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitMode {
    /// A kick, also one that came before, ends the wait: [`WaitOutcome::Interrupted`].
    Interruptible,
    /// Kicks stay pending until the thread goes to the guest. For locks.
    Uninterruptible,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// Woken, or the word no longer had the value.
    Woken,
    /// The deadline passed.
    TimedOut,
    /// A kick is pending; it is delivered when the thread next goes to the guest.
    Interrupted,
}
