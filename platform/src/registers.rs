//! The general registers of a guest thread.

/// The x86-64 general registers, instruction pointer and flags of a guest thread that is in the
/// library OS. The layout is fixed: entry code in assembly stores into it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the registers of the same names")]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
    /// The thread pointer. Read by `Platform::spawn` for the new thread; elsewhere
    /// `Platform::thread_pointer` has the live value and this one is stale.
    pub fs_base: u64,
}

impl Registers {
    /// The system-call arguments, in order.
    #[must_use]
    pub fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}
