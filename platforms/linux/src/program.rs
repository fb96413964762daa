//! The sandbox program's own layout, read from its program headers at the start.

use core::sync::atomic::{AtomicU64, Ordering};

/// Where our own text lies: the only place from which the host takes calls.
#[derive(Debug)]
pub struct Program {
    text_start: AtomicU64,
    text_end: AtomicU64,
}

static PROGRAM: Program = Program {
    text_start: AtomicU64::new(0),
    text_end: AtomicU64::new(0),
};

impl Program {
    /// The running program.
    pub fn get() -> &'static Program {
        &PROGRAM
    }

    /// Stores the bounds; called once.
    pub fn set_text(&self, start: u64, end: u64) {
        self.text_start.store(start, Ordering::Relaxed);
        self.text_end.store(end, Ordering::Relaxed);
    }

    /// The first address of the text, and the one after its last.
    pub fn text(&self) -> (u64, u64) {
        (
            self.text_start.load(Ordering::Relaxed),
            self.text_end.load(Ordering::Relaxed),
        )
    }

    /// Whether `rip` lies in our own text.
    pub fn text_contains(&self, rip: u64) -> bool {
        let (start, end) = self.text();
        (start..end).contains(&rip)
    }
}
