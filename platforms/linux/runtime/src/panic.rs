//! The end of a program that panics, and the symbols that the prebuilt `alloc` refers to.

use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    capsid_platform_linux::signal::broken(format_args!("panic in the library OS: {info}"))
}

/// The prebuilt `alloc` refers to it. Nothing unwinds: panics abort.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As [`rust_eh_personality`].
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    capsid_platform_linux::signal::broken(format_args!("unwinding in the library OS"))
}
