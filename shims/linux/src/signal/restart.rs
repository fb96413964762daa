//! Calls that go on after a handler.
//!
//! Linux lets an interrupted call start again by sending the guest back to its `syscall`
//! instruction. A patched site may have none, so such a call is noted here instead, with the frame
//! whose return starts it again.

use alloc::vec::Vec;

/// Handlers that may never return (by longjmp) leave notes behind; this many are kept.
const NOTES_MAX: usize = 64;

/// One call to start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    frame: u64,
    number: u64,
    rip: u64,
}

/// A thread's calls to start again, innermost handler last.
#[derive(Clone, Debug, Default)]
pub struct Restarts(Vec<Note>);

impl Restarts {
    /// Notes that the return from the handler with this frame starts call `number` again, if the
    /// guest still goes on at `rip`.
    pub fn note(&mut self, frame: u64, number: u64, rip: u64) {
        if self.0.len() == NOTES_MAX {
            self.0.remove(0);
        }
        self.0.push(Note { frame, number, rip });
    }

    /// The call to start again when the handler with this frame returns to `rip` with `rax`.
    pub fn take(&mut self, frame: u64, rip: u64, rax: u64) -> bool {
        let Some(index) = self.0.iter().rposition(|note| note.frame == frame) else {
            return false;
        };
        let note = self.0[index];
        self.0.truncate(index);
        note.rip == rip && note.number == rax
    }

    /// Forgets everything, as exec does.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::Restarts;

    #[test]
    fn only_the_frame_that_was_noted_starts_again() {
        let mut restarts = Restarts::default();
        restarts.note(0x1000, 0, 0x40);
        restarts.note(0x800, 7, 0x50);
        assert!(!restarts.take(0x900, 0x50, 7));
        assert!(restarts.take(0x800, 0x50, 7));
        assert!(!restarts.take(0x1000, 0x41, 0));
        assert!(!restarts.take(0x1000, 0x40, 0));
    }
}
