//! Editing the line that is being typed: erase, kill, reprint, and its end.

use super::output::{is_continuation, is_control};
use super::{End, Line, Screen, letters};
use crate::tty::termios::{InputModes, LocalModes, Special};

/// How much one of the erasing keys takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

impl Line {
    /// Acts on a key of canonical mode; `false` if it is none.
    pub(super) fn edit(&mut self, byte: u8, screen: &mut Screen) -> bool {
        let extended = self.local(LocalModes::IEXTEN);
        let echo = self.local(LocalModes::ECHO);
        let is = |special| self.termios.is(byte, special);
        if is(Special::Erase) {
            self.erase(Erase::Character, screen);
        } else if is(Special::Kill) {
            self.kill(screen);
        } else if extended && is(Special::WordErase) {
            self.erase(Erase::Word, screen);
        } else if extended && is(Special::LiteralNext) {
            self.literal = true;
            if echo {
                self.finish_erasing(screen);
                if self.local(LocalModes::ECHOCTL) {
                    self.put_output(b'^', screen);
                    self.put_output(b'\x08', screen);
                }
            }
        } else if extended && echo && is(Special::Reprint) {
            self.finish_erasing(screen);
            self.echo(byte, screen);
            self.put_output(b'\n', screen);
            for index in self.complete..self.input.len() {
                self.echo(self.input[index].byte, screen);
            }
        } else if byte == b'\n' {
            if echo || self.local(LocalModes::ECHONL) {
                self.put_output(b'\n', screen);
            }
            self.put(byte, End::Line);
        } else if is(Special::EndOfFile) {
            self.put(0, End::File);
        } else if is(Special::EndOfLine) || (extended && is(Special::EndOfLine2)) {
            if echo {
                self.begin_line();
                self.echo(byte, screen);
            }
            self.put_marked(byte, End::Line);
        } else {
            return false;
        }
        true
    }

    /// Drops the line, and shows that as the modes say.
    fn kill(&mut self, screen: &mut Screen) {
        if self.input.len() == self.complete {
            return;
        }
        let visibly = LocalModes::ECHOK | LocalModes::ECHOKE | LocalModes::ECHOE;
        if self.local(LocalModes::ECHO) && self.termios.local.contains(visibly) {
            self.erase(Erase::Line, screen);
            return;
        }
        self.input.truncate(self.complete);
        if self.local(LocalModes::ECHO) {
            self.finish_erasing(screen);
            self.echo(self.termios.special(Special::Kill), screen);
            if self.local(LocalModes::ECHOK) {
                self.put_output(b'\n', screen);
            }
        }
    }

    fn erase(&mut self, amount: Erase, screen: &mut Screen) {
        if self.input.len() == self.complete {
            return;
        }
        let mut in_word = false;
        while self.input.len() > self.complete {
            let Some((start, byte)) = self.last_character() else {
                break;
            };
            if amount == Erase::Word {
                if letters::is_word(byte) {
                    in_word = true;
                } else if in_word {
                    break;
                }
            }
            if self.local(LocalModes::ECHO) {
                self.show_erased(start, byte, amount, screen);
            }
            self.input.truncate(start);
            if amount == Erase::Character {
                break;
            }
        }
        if self.input.len() == self.complete && self.local(LocalModes::ECHO) {
            self.finish_erasing(screen);
        }
    }

    /// Where the last character of the line starts, and its first byte. In UTF-8 it can have
    /// several; what is not one whole character is left alone.
    fn last_character(&self) -> Option<(usize, u8)> {
        let utf8 = self.termios.input.contains(InputModes::IUTF8);
        (self.complete..self.input.len())
            .rev()
            .map(|index| (index, self.input[index].byte))
            .find(|(_, byte)| !(utf8 && is_continuation(*byte)))
    }

    fn show_erased(&mut self, start: usize, byte: u8, amount: Erase, screen: &mut Screen) {
        let shows_control = self.local(LocalModes::ECHOCTL);
        if self.local(LocalModes::ECHOPRT) {
            if !self.erasing {
                self.put_output(b'\\', screen);
                self.erasing = true;
            }
            self.echo(byte, screen);
            for index in start + 1..self.input.len() {
                self.put_output(self.input[index].byte, screen);
                self.column = self.column.saturating_sub(1);
            }
        } else if amount == Erase::Character && !self.local(LocalModes::ECHOE) {
            self.echo(self.termios.special(Special::Erase), screen);
        } else if byte == b'\t' {
            self.erase_tab(start, screen);
        } else {
            let columns = match (is_control(byte), shows_control) {
                (false, _) => 1,
                (true, true) => 2,
                (true, false) => 0,
            };
            for shown in b"\x08 \x08".repeat(columns) {
                self.put_output(shown, screen);
            }
        }
    }

    /// Moves the cursor back over the tab that is the cell at `tab`.
    fn erase_tab(&mut self, tab: usize, screen: &mut Screen) {
        let utf8 = self.termios.input.contains(InputModes::IUTF8);
        let mut columns = 0;
        let mut after_tab = false;
        for index in (self.complete..tab).rev() {
            let byte = self.input[index].byte;
            if byte == b'\t' {
                after_tab = true;
                break;
            } else if is_control(byte) {
                columns += if self.local(LocalModes::ECHOCTL) {
                    2
                } else {
                    0
                };
            } else if !(utf8 && is_continuation(byte)) {
                columns += 1;
            }
        }
        if !after_tab {
            columns += self.line_column;
        }
        for _ in 0..8 - (columns & 7) {
            screen.push(b'\x08');
            self.column = self.column.saturating_sub(1);
        }
    }

    pub(super) fn finish_erasing(&mut self, screen: &mut Screen) {
        if core::mem::take(&mut self.erasing) {
            self.put_output(b'/', screen);
        }
    }

    /// Remembers where on the screen the line begins, at its first character.
    pub(super) fn begin_line(&mut self) {
        if self.input.len() == self.complete {
            self.line_column = self.column;
        }
    }
}
