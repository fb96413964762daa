//! One system call in progress.

use crate::kernel::Kernel;
use crate::task::{Process, Thread};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_platform::{GuestAddr, Registers};

/// What a system call returns: the value of the result register, or an error.
pub type CallResult = Result<u64, Errno>;

/// Errors that never reach a guest: they say how a call interrupted by a signal goes on. The
/// numbers are those of Linux's own (include/linux/errno.h), outside the range of errno(3).
pub mod restart {
    use capsid_core::Errno;

    /// `ERESTARTSYS`: restart if no handler runs, or one with `SA_RESTART`; else `EINTR`.
    pub fn unless_handled() -> Errno {
        Errno::from_raw(512)
    }

    /// `ERESTARTNOINTR`: always restart.
    pub fn always() -> Errno {
        Errno::from_raw(513)
    }

    /// `ERESTARTNOHAND`: restart only if no handler runs; else `EINTR`.
    pub fn if_no_handler() -> Errno {
        Errno::from_raw(514)
    }
}

/// A system call in progress: who makes it, and the registers.
#[derive(Debug)]
pub struct Call<'a> {
    /// The calling thread.
    pub thread: &'a Arc<Thread>,
    /// The guest's registers. `rax` still holds the number.
    pub registers: &'a mut Registers,
    /// The arguments, raw.
    pub arguments: [u64; 6],
}

impl Call<'_> {
    /// The calling process.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.thread.process
    }

    /// The sandbox's kernel.
    #[must_use]
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.thread.process.kernel
    }

    /// Argument `index` as Linux's `int`: its low 32 bits.
    #[must_use]
    pub fn int(&self, index: usize) -> i32 {
        self.uint(index).cast_signed()
    }

    /// Argument `index` as Linux's `unsigned int`: its low 32 bits.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the upper half is ignored, as on Linux"
    )]
    pub fn uint(&self, index: usize) -> u32 {
        self.raw(index) as u32
    }

    /// Argument `index` as Linux's `long`.
    #[must_use]
    pub fn long(&self, index: usize) -> i64 {
        self.raw(index).cast_signed()
    }

    /// Argument `index` as it is; 0 past the sixth.
    #[must_use]
    pub fn raw(&self, index: usize) -> u64 {
        self.arguments.get(index).copied().unwrap_or(0)
    }

    /// Argument `index` as a pointer.
    #[must_use]
    pub fn pointer(&self, index: usize) -> GuestAddr {
        GuestAddr(self.raw(index))
    }

    /// Argument `index` as a size in bytes.
    #[must_use]
    pub fn size(&self, index: usize) -> usize {
        usize::try_from(self.raw(index)).unwrap_or(usize::MAX)
    }
}
