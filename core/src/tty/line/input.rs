//! Reading what was typed.

use super::{End, Line};
use crate::io::Destination;
use crate::tty::termios::Special;
use capsid_platform::Errno;

/// Nanoseconds of a unit of `VTIME`.
const TIME_UNIT_NS: u64 = 100_000_000;

/// How much a read waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// A line, or what fits of it.
    Line,
    /// So many bytes (`VMIN`), and no longer than this between two of them, or for the first if
    /// none are needed (`VTIME`).
    Bytes {
        /// Least number of bytes.
        minimum: usize,
        /// The time in nanoseconds; 0 for none.
        time_ns: u64,
    },
}

impl ReadMode {
    /// What the attributes say.
    #[must_use]
    pub fn of(termios: &crate::tty::Termios) -> ReadMode {
        if termios.is_canonical() {
            return ReadMode::Line;
        }
        ReadMode::Bytes {
            minimum: termios.special(Special::Minimum).into(),
            time_ns: u64::from(termios.special(Special::Time)) * TIME_UNIT_NS,
        }
    }
}

impl Line {
    /// How many bytes a read could return now.
    #[must_use]
    pub fn readable_bytes(&self) -> usize {
        if self.termios.is_canonical() {
            let lines = self.input.iter().take(self.complete);
            lines.filter(|cell| cell.end != End::File).count()
        } else {
            self.input.len()
        }
    }

    /// Whether a read would find something.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        if self.termios.is_canonical() {
            self.complete > 0
        } else {
            !self.input.is_empty()
        }
    }

    /// Whether poll(2) says that there is something: a read that needs several bytes and has all
    /// the time is told only then.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match ReadMode::of(&self.termios) {
            ReadMode::Bytes {
                minimum,
                time_ns: 0,
            } => self.input.len() >= minimum.max(1),
            _ => self.is_readable(),
        }
    }

    /// Reads a line or a part of it, or in raw mode what is there: 0 at an end of file, `EAGAIN`
    /// if there is nothing.
    pub fn read(&mut self, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        if !self.is_readable() {
            return Err(Errno::EAGAIN);
        }
        let room = destination.remaining();
        if room == 0 {
            return Ok(0);
        }
        let canonical = self.termios.is_canonical();
        let mut count = 0;
        // Cells that are taken without being copied: an end of file.
        let mut ends = 0;
        if canonical {
            for cell in self.input.iter().take(self.complete.min(room)) {
                if cell.end == End::File {
                    ends = 1;
                    break;
                }
                count += 1;
                if cell.end == End::Line {
                    break;
                }
            }
            // A buffer that is full exactly: the end behind it would read as another, empty line.
            let behind = self.input.get(count).filter(|_| ends == 0 && count == room);
            if behind.is_some_and(|cell| cell.end == End::File && count < self.complete) {
                let whole = count.checked_sub(1).and_then(|last| self.input.get(last));
                ends = usize::from(whole.is_some_and(|cell| cell.end == End::No));
            }
        } else {
            count = self.input.len().min(room);
        }
        let mut bytes = alloc::vec::Vec::with_capacity(count);
        bytes.extend(self.input.iter().take(count).map(|cell| cell.byte));
        let done = match bytes.is_empty() {
            true => 0,
            false => destination.put(&bytes)?,
        };
        let taken = if done == count { done + ends } else { done };
        self.input.drain(..taken);
        if canonical {
            self.complete -= taken;
        }
        Ok(done)
    }
}
