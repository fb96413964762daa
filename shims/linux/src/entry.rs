//! Where the platform enters the library OS.

use crate::call::Call;
use crate::table;
use crate::task::Thread;
use alloc::boxed::Box;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_platform::{Entry, GuestThread, Registers, Resume};

/// A guest thread as the platform runs it.
#[derive(Debug)]
pub struct Task {
    thread: Arc<Thread>,
}

/// Makes the sandbox's first guest thread from the boot configuration.
pub fn boot() -> Result<Box<dyn GuestThread>, Errno> {
    Err(Errno::ENOSYS)
}

impl GuestThread for Task {
    fn enter(&mut self, entry: Entry, registers: &mut Registers) -> Resume {
        match entry {
            Entry::Syscall | Entry::TrappedSyscall(_) => self.system_call(registers),
            Entry::Start | Entry::Exception(_) | Entry::Interrupt => {}
        }
        Resume::Guest
    }
}

impl Task {
    fn system_call(&mut self, registers: &mut Registers) {
        let entry = table::lookup(registers.rax);
        let arguments = registers.arguments();
        let mut call = Call {
            thread: &self.thread,
            registers,
            arguments,
        };
        let result = (entry.function)(&mut call);
        registers.rax = result.unwrap_or_else(Errno::as_return_value);
    }
}
