//! Writing: what output processing makes of a program's bytes, and echoes.

use super::{Line, letters};
use crate::tty::termios::{InputModes, LocalModes, OutputModes};
use alloc::collections::VecDeque;

/// How many bytes of programs wait to be shown, at most.
pub const SCREEN_BYTES: usize = 1 << 16;
/// How many more bytes of echo there can be: what programs write leaves room for it.
const ECHO_BYTES: usize = 1 << 12;
/// The byte that introduces orders in Linux's queue of echoes, and so is never processed there.
const ECHOED_AS_IS: u8 = 0xff;
/// How much of it counts as delivered already.
const DELIVERED_BYTES: usize = 1 << 12;

/// What is to be shown and was not yet: bytes for the other side of a pseudo-terminal.
#[derive(Debug, Default)]
pub struct Screen {
    bytes: VecDeque<u8>,
}

impl Screen {
    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether none wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes a program can write.
    #[must_use]
    pub fn room(&self) -> usize {
        SCREEN_BYTES.saturating_sub(self.bytes.len())
    }

    /// Adds an echoed byte; it is lost if nobody looks at the screen.
    pub(in crate::tty) fn push(&mut self, byte: u8) {
        if self.bytes.len() < SCREEN_BYTES + ECHO_BYTES {
            self.bytes.push_back(byte);
        }
    }

    /// Drops what is still on its way. Linux has handed the first bytes to the other side by then,
    /// and so they stay.
    pub fn flush(&mut self) {
        self.bytes.truncate(DELIVERED_BYTES);
    }

    /// The first bytes that wait, in one piece.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        let (first, second) = self.bytes.as_slices();
        if first.is_empty() { second } else { first }
    }

    /// Takes out the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }
}

/// Whether a byte is a control character. The kernel's table has none above 127.
pub(super) fn is_control(byte: u8) -> bool {
    byte.is_ascii_control()
}

/// Whether a byte continues a character of UTF-8.
pub(super) fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

impl Line {
    /// Writes as many of `bytes` as fit on the screen, and returns how many.
    pub fn write(&mut self, bytes: &[u8], screen: &mut Screen) -> usize {
        let mut done = 0;
        for &byte in bytes {
            // A tab takes up to eight places, and an end of line two.
            if screen.room() < 8 {
                break;
            }
            self.put_output(byte, screen);
            done += 1;
        }
        done
    }

    /// Puts one byte on the screen, processed as the output modes say.
    pub(super) fn put_output(&mut self, byte: u8, screen: &mut Screen) {
        let modes = self.termios.output;
        if !modes.contains(OutputModes::OPOST) {
            screen.push(byte);
            return;
        }
        let mut byte = byte;
        match byte {
            b'\n' => {
                if modes.contains(OutputModes::ONLRET) {
                    self.column = 0;
                }
                if modes.contains(OutputModes::ONLCR) {
                    self.column = 0;
                    screen.push(b'\r');
                }
                self.line_column = self.column;
            }
            b'\r' => {
                if modes.contains(OutputModes::ONOCR) && self.column == 0 {
                    return;
                }
                if modes.contains(OutputModes::OCRNL) {
                    byte = b'\n';
                    if modes.contains(OutputModes::ONLRET) {
                        (self.column, self.line_column) = (0, 0);
                    }
                } else {
                    (self.column, self.line_column) = (0, 0);
                }
            }
            b'\t' => {
                let spaces = 8 - (self.column & 7);
                self.column += spaces;
                if modes.contains(OutputModes::TAB3) {
                    for _ in 0..spaces {
                        screen.push(b' ');
                    }
                    return;
                }
            }
            b'\x08' => self.column = self.column.saturating_sub(1),
            _ if is_control(byte) => {}
            _ => {
                if modes.contains(OutputModes::OLCUC) {
                    byte = letters::to_upper(byte);
                }
                let utf8 = self.termios.input.contains(InputModes::IUTF8);
                if !(utf8 && is_continuation(byte)) {
                    self.column += 1;
                }
            }
        }
        screen.push(byte);
    }

    /// Shows a typed byte: control characters as `^X`, as `ECHOCTL` says.
    pub(super) fn echo(&mut self, byte: u8, screen: &mut Screen) {
        if self.local(LocalModes::ECHOCTL) && is_control(byte) && byte != b'\t' {
            screen.push(b'^');
            screen.push(byte ^ 0x40);
            self.column += 2;
        } else if byte == ECHOED_AS_IS {
            screen.push(byte);
            self.column += 1;
        } else {
            self.put_output(byte, screen);
        }
    }
}
