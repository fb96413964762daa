//! One system call in progress.

use crate::exec::Prepared;
use crate::kernel::Kernel;
use crate::task::{ExitStatus, Process, Thread};
use alloc::boxed::Box;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_platform::{Clock, GuestAddr, Registers, platform};
use core::sync::atomic::Ordering;

/// What a system call returns: the value of the result register, or an error.
pub type CallResult = Result<u64, Errno>;

/// Errors that never reach a guest: they say how a call interrupted by a signal goes on. The
/// numbers are those of Linux's own (include/linux/errno.h), outside the range of errno(3).
pub mod restart {
    use capsid_core::Errno;

    const UNLESS_HANDLED: u16 = 512;
    const ALWAYS: u16 = 513;
    const IF_NO_HANDLER: u16 = 514;
    const WITH_DEADLINE: u16 = 516;

    /// `ERESTARTSYS`: restart if no handler runs, or one with `SA_RESTART`; else `EINTR`.
    #[must_use]
    pub fn unless_handled() -> Errno {
        Errno::from_raw(UNLESS_HANDLED.into())
    }

    /// `ERESTARTNOINTR`: always restart.
    #[must_use]
    pub fn always() -> Errno {
        Errno::from_raw(ALWAYS.into())
    }

    /// `ERESTARTNOHAND`: restart only if no handler runs; else `EINTR`.
    #[must_use]
    pub fn if_no_handler() -> Errno {
        Errno::from_raw(IF_NO_HANDLER.into())
    }

    /// `ERESTART_RESTARTBLOCK`: as [`if_no_handler`], for a call with a timeout, which
    /// [`super::Call::deadline`] keeps over the restart.
    #[must_use]
    pub fn with_deadline() -> Errno {
        Errno::from_raw(WITH_DEADLINE.into())
    }

    /// Whether the error is one of these.
    #[must_use]
    pub fn is_restart(error: Errno) -> bool {
        error.number() >= UNLESS_HANDLED
    }

    /// Whether a call starts again after a handler ran; `asked` says that its action has
    /// `SA_RESTART`.
    #[must_use]
    pub fn after_handler(error: Errno, asked: bool) -> bool {
        match error.number() {
            ALWAYS => true,
            UNLESS_HANDLED => asked,
            _ => false,
        }
    }
}

/// What happens after a call, other than going back to the guest. A call that sets one also sets
/// [`Thread::attention`], so that the fast way out is not taken.
#[derive(Debug, Default)]
pub enum After {
    /// Nothing special.
    #[default]
    Return,
    /// The thread ends, with this code.
    End(ExitStatus),
    /// A child takes the thread's place until it executes or ends, vfork(2).
    BecomeChild(Arc<Thread>, Box<Registers>),
    /// The program is replaced.
    Execute(Box<Prepared>),
    /// The registers now hold a call to make.
    CallAgain,
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
    /// What happens afterwards.
    pub after: After,
    /// It goes on after an interruption.
    pub repeated: bool,
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

    /// When a timeout of `timeout_ns` passes, in monotonic nanoseconds: counted from now, or from
    /// the call's first start if it goes on after an interruption. For calls that return
    /// [`restart::with_deadline`] when interrupted.
    #[must_use]
    pub fn deadline(&self, timeout_ns: u64) -> u64 {
        let storage = &self.thread.restart_deadline_ns;
        if self.repeated {
            return storage.load(Ordering::Relaxed);
        }
        let deadline = platform().now(Clock::Monotonic).saturating_add(timeout_ns);
        storage.store(deadline, Ordering::Relaxed);
        deadline
    }

    /// Asks for something after the call.
    pub fn then(&mut self, after: After) {
        self.after = after;
        self.thread.attention.store(true, Ordering::SeqCst);
    }
}
