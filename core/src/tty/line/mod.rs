//! The line discipline, `N_TTY`: what lies between a terminal's keys and screen and the programs
//! that read and write it, termios(3).
//!
//! Everything here is bytes in, bytes out: [`Line::receive`] takes what is typed, [`Line::read`]
//! gives what programs read, [`Line::write`] takes what they write, and the terminal's screen is
//! the [`Screen`] that both end at.

mod edit;
mod input;
mod letters;
mod output;
#[cfg(test)]
mod tests;

use crate::tty::TerminalSignal;
use crate::tty::termios::{InputModes, LocalModes, Special, Termios};
use alloc::collections::VecDeque;

pub use input::ReadMode;
pub use output::Screen;

/// How much typed input waits to be read (`N_TTY_BUF_SIZE`), in bytes. A longer line loses its
/// end.
pub const INPUT_BYTES: usize = 4096;

/// One typed byte that waits to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    byte: u8,
    end: End,
}

/// Whether a line ends behind a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    No,
    /// The byte is the line's last.
    Line,
    /// The line ends here, and the byte is not part of it (`VEOF`).
    File,
}

/// The state of a line discipline.
#[derive(Debug, Default)]
pub struct Line {
    termios: Termios,
    input: VecDeque<Cell>,
    /// How many cells belong to complete lines; in canonical mode only those can be read.
    complete: usize,
    /// The next byte is taken as it is (`VLNEXT`).
    literal: bool,
    /// Erased characters are being shown between `\` and `/` (`ECHOPRT`).
    erasing: bool,
    /// The column of the cursor, and that where the line that is typed began.
    column: usize,
    line_column: usize,
    /// Output is held: by `VSTOP`, or by tcflow(3).
    stopped: Option<Stopped>,
}

/// Who stopped output: what a program stopped, no key starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    Key,
    Program,
}

/// What a typed byte did beside what is in the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// A signal for the foreground process group.
    pub signal: Option<TerminalSignal>,
    /// What was written and not shown yet is to be dropped; input was.
    pub flush: bool,
    /// Output was stopped or started.
    pub flow: Option<Flow>,
}

/// Output stops or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It stops.
    Stop,
    /// It goes on.
    Start,
}

impl Line {
    /// The attributes.
    #[must_use]
    pub fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Replaces the attributes. Input that waits becomes readable as the new ones have it.
    pub fn set_termios(&mut self, new: Termios) {
        if self.termios.is_canonical() != new.is_canonical() {
            if new.is_canonical() {
                // What waits becomes a line.
                if let Some(last) = self.input.back_mut() {
                    last.end = End::Line;
                }
                self.complete = self.input.len();
            } else {
                for cell in &mut self.input {
                    if cell.end == End::File {
                        cell.byte = 0;
                    }
                    cell.end = End::No;
                }
                self.complete = 0;
            }
            self.literal = false;
            self.erasing = false;
        }
        self.termios = new;
        let key_stops = new.input.contains(InputModes::IXON);
        if self.stopped == Some(Stopped::Key) && !key_stops {
            self.stopped = None;
        }
    }

    fn local(&self, modes: LocalModes) -> bool {
        self.termios.local.intersects(modes)
    }

    /// Whether output is held.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Holds output or lets it go, tcflow(3). Returns whether that changed something.
    pub fn set_flow(&mut self, flow: Flow) -> bool {
        let before = self.stopped;
        self.stopped = match flow {
            Flow::Stop => Some(Stopped::Program),
            Flow::Start => None,
        };
        before.is_some() != self.stopped.is_some()
    }

    /// Drops all input.
    pub fn flush_input(&mut self) {
        self.input.clear();
        self.complete = 0;
        self.literal = false;
        self.erasing = false;
    }

    /// Whether another byte can be received now. A line too long is cut, so there is room for
    /// its end as long as nothing else can be read.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.input.len() < INPUT_BYTES - 1 || (self.termios.is_canonical() && self.complete == 0)
    }

    /// Takes one typed byte; what it shows goes to `screen`.
    pub fn receive(&mut self, byte: u8, screen: &mut Screen) -> Received {
        let modes = self.termios.input;
        let mut byte = byte;
        if modes.contains(InputModes::ISTRIP) {
            byte &= 0x7f;
        }
        if modes.contains(InputModes::IUCLC) && self.local(LocalModes::IEXTEN) {
            byte = letters::to_lower(byte);
        }
        if self.local(LocalModes::EXTPROC) {
            self.put(byte, End::No);
            return Received::default();
        }
        if core::mem::take(&mut self.literal) {
            self.receive_plain(byte, screen);
            return Received::default();
        }
        if modes.contains(InputModes::IXON) {
            if self.termios.is(byte, Special::Start) {
                return self.key_flow(Flow::Start);
            }
            if self.termios.is(byte, Special::Stop) {
                return self.key_flow(Flow::Stop);
            }
        }
        if self.local(LocalModes::ISIG)
            && let Some(signal) = self.signal_of(byte)
        {
            return self.receive_signal(signal, byte, screen);
        }
        let mut received = Received::default();
        if modes.contains(InputModes::IXON | InputModes::IXANY)
            && self.stopped == Some(Stopped::Key)
        {
            received = self.key_flow(Flow::Start);
        }
        let mut ends_line = false;
        match byte {
            b'\r' if modes.contains(InputModes::IGNCR) => return received,
            b'\r' if modes.contains(InputModes::ICRNL) => {
                byte = b'\n';
                ends_line = true;
            }
            b'\n' if modes.contains(InputModes::INLCR) => byte = b'\r',
            _ => {}
        }
        if self.termios.is_canonical() {
            if !self.edit(byte, screen) {
                self.receive_plain(byte, screen);
            }
        } else if ends_line && self.local(LocalModes::ECHO) {
            // A new line that was made of another key moves the cursor; one that was typed is a
            // control character like others.
            self.put_output(byte, screen);
            self.put(byte, End::No);
        } else {
            self.receive_plain(byte, screen);
        }
        received
    }

    fn key_flow(&mut self, flow: Flow) -> Received {
        let before = self.stopped;
        match (flow, before) {
            (Flow::Stop, None) => self.stopped = Some(Stopped::Key),
            (Flow::Start, Some(Stopped::Key)) => self.stopped = None,
            _ => {}
        }
        Received {
            flow: (self.stopped != before).then_some(flow),
            ..Received::default()
        }
    }

    fn signal_of(&self, byte: u8) -> Option<TerminalSignal> {
        [
            (Special::Interrupt, TerminalSignal::Interrupt),
            (Special::Quit, TerminalSignal::Quit),
            (Special::Suspend, TerminalSignal::Suspend),
        ]
        .into_iter()
        .find(|(special, _)| self.termios.is(byte, *special))
        .map(|(_, signal)| signal)
    }

    fn receive_signal(
        &mut self,
        signal: TerminalSignal,
        byte: u8,
        screen: &mut Screen,
    ) -> Received {
        let flush = !self.local(LocalModes::NOFLSH);
        if flush {
            self.flush_input();
            screen.flush();
        }
        let mut received = Received::default();
        if self.termios.input.contains(InputModes::IXON) {
            received = self.key_flow(Flow::Start);
        }
        if self.local(LocalModes::ECHO) {
            self.echo(byte, screen);
        }
        Received {
            signal: Some(signal),
            flush,
            ..received
        }
    }

    /// Takes a byte that edits nothing.
    fn receive_plain(&mut self, byte: u8, screen: &mut Screen) {
        if self.local(LocalModes::ECHO) {
            self.finish_erasing(screen);
            self.begin_line();
            self.echo(byte, screen);
        }
        self.put_marked(byte, End::No);
    }

    /// Puts a byte into the line, doubled where a single one would mark a parity error.
    fn put_marked(&mut self, byte: u8, end: End) {
        if byte == 0xff && self.termios.input.contains(InputModes::PARMRK) {
            self.put(byte, End::No);
        }
        self.put(byte, end);
    }

    fn put(&mut self, byte: u8, end: End) {
        if self.termios.is_canonical() && self.input.len() >= INPUT_BYTES - 1 {
            // The last byte of a line that is too long makes way for its end.
            if self.complete == self.input.len() {
                return;
            }
            self.input.pop_back();
        }
        self.input.push_back(Cell { byte, end });
        if end != End::No {
            self.complete = self.input.len();
        }
    }
}
