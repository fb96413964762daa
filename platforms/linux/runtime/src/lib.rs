//! What a sandbox program needs that has neither std nor a libc: memory functions, the panic handler,
//! the entry point.
//!
//! It is a crate of its own because programs with std (the broker) use `capsid-platform-linux` too,
//! and have all of this already.
#![no_std]

#[cfg(feature = "program")]
mod memory;
#[cfg(feature = "program")]
mod panic;

pub use capsid_platform_linux::heap::Heap;
pub use capsid_platform_linux::start::start;

/// Makes the program a sandbox: `$boot` makes its first guest thread.
#[macro_export]
macro_rules! sandbox {
    ($boot:path) => {
        #[global_allocator]
        static HEAP: $crate::Heap = $crate::Heap;

        /// Where the host's exec starts the program: `rsp` points to the argument count.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn _start() -> ! {
            core::arch::naked_asm!(
                "xor ebp, ebp",
                "mov rdi, rsp",
                "and rsp, -16",
                "call {}",
                sym start_program,
            )
        }

        unsafe extern "C" fn start_program(stack: *const u64) -> ! {
            // SAFETY: `_start` runs once and first, and passes the host's stack pointer.
            unsafe { $crate::start(stack, $boot) }
        }
    };
}
