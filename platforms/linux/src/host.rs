//! Host system calls, as instructions in our own text: the only text from which the filter lets
//! calls through.

use capsid_platform::Errno;
use core::arch::asm;

/// Makes a host call with six arguments and returns what the host put into `rax`.
///
/// # Safety
/// The call must not break memory that Rust relies on: the caller says so for its arguments.
#[inline]
pub unsafe fn call6(number: u32, args: [usize; 6]) -> isize {
    let result;
    // SAFETY: the instruction clobbers rax, rcx and r11 only; what the call does is the caller's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as usize => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Makes a host call with up to three arguments.
///
/// # Safety
/// As for [`call6`].
#[inline]
pub unsafe fn call3(number: u32, args: [usize; 3]) -> isize {
    let result;
    // SAFETY: as in `call6`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as usize => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Turns a host call's result into a value or an error.
#[inline]
pub fn check(result: isize) -> Result<usize, Errno> {
    match usize::try_from(result) {
        Ok(value) => Ok(value),
        Err(_) => Err(Errno::from_raw(
            result.unsigned_abs().try_into().unwrap_or(0),
        )),
    }
}

/// Ends the calling host thread.
pub fn exit(code: i32) -> ! {
    // SAFETY: ends the thread; `hlt` is never reached.
    unsafe {
        asm!("syscall", "hlt", in("rax") linux_raw_sys::general::__NR_exit as usize,
            in("rdi") code as isize, options(noreturn, nostack));
    }
}
