//! The standard streams that this program was started with.

use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};

/// Which of the streams were open when the program started (bits 0, 1 and 2), and a bit that says
/// that this is known.
static OPEN: AtomicU8 = AtomicU8::new(0);
const KNOWN: u8 = 0x80;

/// Runs before Rust's runtime, which opens `/dev/null` in place of closed streams. A program that
/// writes to a closed stream must be told, not have its output swallowed.
extern "C" fn look() {
    let mut open = KNOWN;
    for number in 0..3 {
        // SAFETY: asks for flags; takes no memory.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } != -1 {
            open |= 1 << number;
        }
    }
    OPEN.store(open, Ordering::Relaxed);
}

/// The dynamic loader calls what this section lists.
// SAFETY: the section holds pointers to functions that take no arguments they need and do not
// unwind.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK_EARLY: extern "C" fn() = look;

/// Duplicates of standard input, output and error; `None` for one that was closed when the program
/// started.
pub fn inherited_streams() -> Result<[Option<OwnedFd>; 3], Errno> {
    let open = OPEN.load(Ordering::Relaxed);
    let duplicate = |number: u8, file: &dyn AsFd| {
        if open & KNOWN != 0 && open & (1 << number) == 0 {
            return Ok(None);
        }
        rustix::io::fcntl_dupfd_cloexec(file.as_fd(), 3).map(Some)
    };
    Ok([
        duplicate(0, &std::io::stdin())?,
        duplicate(1, &std::io::stdout())?,
        duplicate(2, &std::io::stderr())?,
    ])
}
