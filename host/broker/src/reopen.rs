//! Turning an `O_PATH` descriptor, which was checked, into one that does things.

use crate::attributes::{check_regular, stat};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The broker's own `/proc/self/fd`.
///
/// Opening a path twice, once to look and once to use, would be a race that a sandbox with a
/// writable export can win. The object behind a descriptor cannot be exchanged.
#[derive(Debug)]
pub struct Reopener(OwnedFd);

impl Reopener {
    /// Opens `/proc/self/fd`.
    pub fn new() -> Result<Reopener, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(c"/proc/self/fd", flags, Mode::empty()).map(Reopener)
    }

    /// Opens a regular file with `flags`: `EISDIR` for a directory, `ELOOP` for a symlink, and
    /// `ENXIO` for anything else, which is never opened: opening alone has effects on devices.
    pub fn regular(&self, file: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
        check_regular(&stat(file)?)?;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        rustix::fs::openat(&self.0, Number::of(file).as_bytes(), flags, Mode::empty())
    }

    /// Sets the permission bits of anything but a symlink.
    pub fn set_mode(&self, file: BorrowedFd<'_>, mode: Mode) -> Result<(), Errno> {
        rustix::fs::chmodat(&self.0, Number::of(file).as_bytes(), mode, AtFlags::empty())
    }
}

/// A descriptor's number in decimal, without an allocation.
struct Number {
    digits: [u8; 12],
    start: usize,
}

impl Number {
    fn of(file: impl AsFd) -> Number {
        let mut number = Number {
            digits: [0; 12],
            start: 12,
        };
        let mut rest = file.as_fd().as_raw_fd().unsigned_abs();
        loop {
            number.start -= 1;
            number.digits[number.start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                return number;
            }
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}
