//! The alternate signal stack, sigaltstack(2).

use bitflags::bitflags;

bitflags! {
    /// Flags of a `stack_t`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct StackFlags: u32 {
        /// The thread runs on it now.
        const ON_STACK = 1;
        /// There is none.
        const DISABLE = 2;
        /// Forget it when a handler starts on it.
        const AUTO_DISARM = 1 << 31;
    }
}

/// A thread's alternate signal stack; none when the size is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlternateStack {
    /// The lowest byte.
    pub base: u64,
    /// Its length, in bytes.
    pub size: u64,
    /// As set: only [`StackFlags::AUTO_DISARM`].
    pub flags: StackFlags,
}

/// `MINSIGSTKSZ` on x86-64: the least size that sigaltstack(2) takes.
pub const MIN_STACK_BYTES: u64 = 2048;

impl AlternateStack {
    /// Whether a stack pointer lies on it. A stack that disarms itself is never in use.
    #[must_use]
    pub fn in_use(&self, stack_pointer: u64) -> bool {
        !self.flags.contains(StackFlags::AUTO_DISARM) && self.holds(stack_pointer)
    }

    /// Whether a stack pointer lies in its bytes, the top included.
    #[must_use]
    pub fn holds(&self, stack_pointer: u64) -> bool {
        stack_pointer > self.base && stack_pointer - self.base <= self.size
    }

    /// The flags that sigaltstack(2) and `uc_stack` report.
    #[must_use]
    pub fn reported_flags(&self, stack_pointer: u64) -> StackFlags {
        let state = if self.size == 0 {
            StackFlags::DISABLE
        } else if self.in_use(stack_pointer) {
            StackFlags::ON_STACK
        } else {
            StackFlags::empty()
        };
        state | self.flags
    }
}
