//! A kernel on the threads platform, for the unit tests.

use crate::call::{After, Call, CallResult};
use crate::task::Thread;
use crate::{boot, table};
use alloc::sync::Arc;
use capsid_platform::{Entry, Registers, platform};
use capsid_platform_threads::install;
use capsid_wire::BootConfig;

/// Boots a kernel of the test's own; the calling std thread is its first guest thread.
pub fn start() -> Arc<Thread> {
    install();
    let config = BootConfig {
        process_limit: 64,
        ..BootConfig::default()
    };
    let thread = boot::start(&config).expect("the kernel starts");
    *thread.token.lock() = Some(platform().current_thread());
    thread
}

/// Makes a call on behalf of `thread`, with these registers.
pub fn call_with(
    thread: &Arc<Thread>,
    registers: &mut Registers,
    number: u32,
    arguments: &[u64],
) -> CallResult {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    registers.rax = number.into();
    let mut call = Call {
        thread,
        registers,
        arguments: all,
        after: After::Return,
        repeated: false,
    };
    (table::lookup(number.into()).function)(&mut call)
}

/// Makes a call on behalf of `thread`.
pub fn call(thread: &Arc<Thread>, number: u32, arguments: &[u64]) -> CallResult {
    call_with(thread, &mut Registers::default(), number, arguments)
}

/// Puts guest code at `address` that makes one call, and then goes on behind it.
pub fn code(address: u64, number: u32, argument: u64) {
    install()
        .world()
        .set_instruction(address, move |registers| {
            registers.rax = number.into();
            registers.rdi = argument;
            registers.rip += 2;
            Entry::Syscall
        });
}
