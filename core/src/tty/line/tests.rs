//! The line discipline against what Linux does.

use super::{INPUT_BYTES, Line, Screen};
use crate::io::Destination;
use crate::tty::TerminalSignal;
use crate::tty::termios::{InputModes, LocalModes, OutputModes, Special};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::Errno;

/// A line discipline and its screen.
#[derive(Default)]
struct Tty {
    line: Line,
    screen: Screen,
}

impl Tty {
    fn with(change: impl FnOnce(&mut crate::tty::Termios)) -> Tty {
        let mut tty = Tty::default();
        tty.change(change);
        tty
    }

    fn change(&mut self, change: impl FnOnce(&mut crate::tty::Termios)) {
        let mut termios = *self.line.termios();
        change(&mut termios);
        self.line.set_termios(termios);
    }

    fn type_in(&mut self, bytes: &[u8]) -> Vec<TerminalSignal> {
        bytes
            .iter()
            .filter_map(|&byte| self.line.receive(byte, &mut self.screen).signal)
            .collect()
    }

    fn shown(&mut self) -> String {
        let mut bytes = Vec::new();
        while !self.screen.is_empty() {
            let piece = self.screen.front().to_vec();
            self.screen.consume(piece.len());
            bytes.extend(piece);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn read(&mut self, length: usize) -> Result<String, Errno> {
        let mut bytes = vec![0; length];
        let count = self.line.read(&mut Destination::kernel(&mut bytes))?;
        Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    fn write(&mut self, bytes: &[u8]) -> String {
        assert_eq!(self.line.write(bytes, &mut self.screen), bytes.len());
        self.shown()
    }
}

fn ok(text: &str) -> Result<String, Errno> {
    Ok(text.into())
}

#[test]
fn lines_are_read_one_by_one_once_complete() {
    let mut tty = Tty::default();
    tty.type_in(b"one");
    assert_eq!(tty.read(10), Err(Errno::EAGAIN));
    tty.type_in(b"\rtwo\nthree");
    assert_eq!(tty.line.readable_bytes(), 8);
    assert_eq!(tty.read(2), ok("on"));
    assert_eq!(tty.read(10), ok("e\n"));
    assert_eq!(tty.read(10), ok("two\n"));
    assert_eq!(tty.read(10), Err(Errno::EAGAIN));
    assert_eq!(tty.shown(), "one\r\ntwo\r\nthree");
}

#[test]
fn an_end_of_file_ends_a_line_or_is_one() {
    let mut tty = Tty::default();
    tty.type_in(b"abc\x04\x04de\n");
    // A buffer that the line fills exactly takes the end along.
    assert_eq!(tty.read(3), ok("abc"));
    assert_eq!(tty.read(3), ok(""));
    assert_eq!(tty.read(9), ok("de\n"));
    tty.type_in(b"x\n\x04");
    assert_eq!(tty.read(2), ok("x\n"));
    assert_eq!(tty.read(2), ok(""));
    tty.type_in(b"xyz\x04");
    assert_eq!(tty.read(9), ok("xyz"));
    assert_eq!(tty.read(9), Err(Errno::EAGAIN));
}

#[test]
fn erasing_takes_characters_words_and_lines() {
    let mut tty = Tty::default();
    tty.type_in(b"ab\x7fc\n");
    assert_eq!(tty.read(9), ok("ac\n"));
    assert_eq!(tty.shown(), "ab\x08 \x08c\r\n");
    tty.type_in(b"one two  \x17x\n");
    assert_eq!(tty.read(20), ok("one x\n"));
    tty.shown();
    tty.type_in(b"gone\x15on\n");
    assert_eq!(tty.read(9), ok("on\n"));
    assert_eq!(
        tty.shown(),
        "gone\x08 \x08\x08 \x08\x08 \x08\x08 \x08on\r\n"
    );
    // A control character takes two columns, and a complete line is out of reach.
    tty.type_in(b"\n\x01\x7f\x7f\n");
    assert_eq!(tty.shown(), "\r\n^A\x08 \x08\x08 \x08\r\n");
    assert_eq!(tty.read(9), ok("\n"));
}

#[test]
fn a_tab_is_erased_back_to_where_it_began() {
    let mut tty = Tty::default();
    tty.write(b"$ ");
    tty.type_in(b"a\t\x7f");
    // The prompt and the letter end in column 3; the tab goes to 8.
    assert_eq!(tty.shown(), "a\t\x08\x08\x08\x08\x08");
    tty.type_in(b"\x7f\x7fa\tb\t\x7f");
    assert_eq!(tty.shown(), "\x08 \x08a\tb\t\x08\x08\x08\x08\x08\x08\x08");
}

#[test]
fn erasing_knows_utf8() {
    let mut tty = Tty::with(|termios| termios.input |= InputModes::IUTF8);
    tty.type_in("aä€".as_bytes());
    tty.shown();
    tty.type_in(b"\x7f\x7f\n");
    assert_eq!(tty.shown(), "\x08 \x08\x08 \x08\r\n");
    assert_eq!(tty.read(9), ok("a\n"));
    // Without it, each byte is a character.
    tty.change(|termios| termios.input -= InputModes::IUTF8);
    tty.type_in("ä\x7f\x7f\n".as_bytes());
    assert_eq!(tty.read(9), ok("\n"));
}

#[test]
fn killing_without_erasing_shows_the_key() {
    let mut tty = Tty::with(|termios| termios.local -= LocalModes::ECHOKE);
    tty.type_in(b"ab\x15");
    assert_eq!(tty.shown(), "ab^U\r\n");
    tty.change(|termios| termios.local -= LocalModes::ECHOE);
    tty.type_in(b"ab\x7f");
    assert_eq!(tty.shown(), "ab^?");
    tty.change(|termios| termios.local |= LocalModes::ECHOPRT);
    tty.type_in(b"c\x7f\x7fd\n");
    assert_eq!(tty.shown(), "c\\ca/d\r\n");
    assert_eq!(tty.read(9), ok("d\n"));
}

#[test]
fn a_literal_next_key_means_nothing() {
    let mut tty = Tty::default();
    assert!(tty.type_in(b"a\x16\x03\x16\x7f\x16\n\n").is_empty());
    assert_eq!(tty.read(9), ok("a\x03\x7f\n\n"));
    assert_eq!(tty.shown(), "a^\x08^C^\x08^?^\x08^J\r\n");
    tty.type_in(b"ab\x12");
    assert_eq!(tty.shown(), "ab^R\r\nab");
}

#[test]
fn signals_come_from_keys_and_flush() {
    let mut tty = Tty::default();
    tty.type_in(b"gone\nand more");
    tty.shown();
    use TerminalSignal::*;
    assert_eq!(tty.type_in(b"\x03\x1c\x1a"), [Interrupt, Quit, Suspend]);
    assert_eq!(tty.shown(), "^C^\\^Z");
    assert_eq!(tty.read(9), Err(Errno::EAGAIN));
    tty.change(|termios| termios.local |= LocalModes::NOFLSH);
    assert_eq!(tty.type_in(b"kept\x03\n"), [Interrupt]);
    assert_eq!(tty.read(9), ok("kept\n"));
    tty.change(|termios| termios.local -= LocalModes::ISIG);
    assert!(tty.type_in(b"\x03\n").is_empty());
    assert_eq!(tty.read(9), ok("\x03\n"));
    tty.change(|termios| {
        termios.local |= LocalModes::ISIG;
        termios.specials[Special::Interrupt as usize] = 0;
    });
    assert!(tty.type_in(b"\x03\x00\n").is_empty());
}

#[test]
fn keys_stop_and_start_output() {
    let mut tty = Tty::default();
    tty.type_in(b"\x13");
    assert!(tty.line.is_stopped());
    tty.type_in(b"x");
    assert!(tty.line.is_stopped());
    tty.type_in(b"\x11");
    assert!(!tty.line.is_stopped());
    tty.change(|termios| termios.input |= InputModes::IXANY);
    tty.type_in(b"\x13y");
    assert!(!tty.line.is_stopped());
    // What a program stopped, no key starts.
    tty.line.set_flow(super::Flow::Stop);
    tty.type_in(b"\x11z");
    assert!(tty.line.is_stopped());
    tty.line.set_flow(super::Flow::Start);
    tty.change(|termios| termios.input -= InputModes::IXON);
    tty.type_in(b"\x13\n");
    assert!(!tty.line.is_stopped());
    assert_eq!(tty.read(9), ok("xyz\x13\n"));
}

#[test]
fn raw_mode_gives_all_there_is() {
    let mut tty = Tty::with(|termios| {
        termios.local -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        termios.input -= InputModes::ICRNL;
    });
    tty.type_in(b"a\r\x7f\x04");
    assert_eq!(tty.read(2), ok("a\r"));
    assert_eq!(tty.read(9), ok("\x7f\x04"));
    assert_eq!(tty.shown(), "");
    tty.change(|termios| termios.specials[Special::Minimum as usize] = 3);
    tty.type_in(b"ab");
    assert!(!tty.line.is_ready() && tty.line.is_readable());
    tty.type_in(b"c");
    assert!(tty.line.is_ready());
}

#[test]
fn what_waits_is_kept_when_the_mode_changes() {
    let mut tty = Tty::default();
    tty.type_in(b"a\nb\x04c");
    tty.change(|termios| termios.local -= LocalModes::ICANON);
    assert_eq!(tty.read(9), ok("a\nb\0c"));
    tty.type_in(b"typed ahead");
    tty.change(|termios| termios.local |= LocalModes::ICANON);
    assert_eq!(tty.read(30), ok("typed ahead"));
}

#[test]
fn a_line_that_is_too_long_is_cut() {
    let mut tty = Tty::default();
    for _ in 0..INPUT_BYTES + 500 {
        assert!(tty.line.has_room());
        tty.type_in(b"x");
    }
    tty.type_in(b"\n");
    assert!(!tty.line.has_room());
    let line = tty.read(2 * INPUT_BYTES).unwrap();
    assert_eq!(line.len(), INPUT_BYTES - 1);
    assert!(line.ends_with("x\n"));
}

#[test]
fn input_is_translated() {
    let mut tty = Tty::with(|termios| {
        termios.input = InputModes::INLCR | InputModes::IGNCR | InputModes::ISTRIP;
        termios.specials[Special::EndOfLine as usize] = b'\r';
    });
    tty.type_in(b"a\r\xe2\n");
    assert_eq!(tty.read(9), ok("ab\r"));
    tty.change(|termios| {
        termios.input = InputModes::PARMRK;
        termios.specials[Special::EndOfLine2 as usize] = b';';
    });
    tty.type_in(b"\xff;");
    let mut bytes = [0; 9];
    let count = tty.line.read(&mut Destination::kernel(&mut bytes)).unwrap();
    assert_eq!(bytes[..count], [0xff, 0xff, b';']);
}

#[test]
fn output_is_processed() {
    let mut tty = Tty::default();
    assert_eq!(tty.write(b"a\nb\tc\r"), "a\r\nb\tc\r");
    tty.change(|termios| {
        termios.output |= OutputModes::TAB3 | OutputModes::OLCUC | OutputModes::ONOCR;
    });
    assert_eq!(tty.write(b"\rab\tc\x08\td\n"), "AB      C\x08        D\r\n");
    tty.change(|termios| {
        termios.output = OutputModes::OPOST | OutputModes::OCRNL | OutputModes::ONLRET;
    });
    assert_eq!(tty.write(b"a\rb\n"), "a\nb\n");
    tty.change(|termios| termios.output = OutputModes::empty());
    assert_eq!(tty.write(b"a\n\t"), "a\n\t");
}

#[test]
fn output_stops_where_nobody_looks() {
    let mut tty = Tty::default();
    let block = [b'\n'; 1000];
    let mut written = 0;
    loop {
        let count = tty.line.write(&block, &mut tty.screen);
        written += count;
        if count < block.len() {
            break;
        }
    }
    assert!(tty.screen.len() <= 1 << 16);
    assert_eq!(tty.shown().len(), 2 * written);
}

mod properties {
    use super::Tty;
    use crate::test_platform::proptest_config;
    use crate::tty::Termios;
    use crate::tty::termios::TERMIOS_BYTES;
    use alloc::vec::Vec;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// One thing that somebody does.
    #[derive(Clone, Debug)]
    enum Act {
        Type(Vec<u8>),
        Write(Vec<u8>),
        Read(usize),
        Change([u8; TERMIOS_BYTES]),
        Show,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => vec(any::<u8>(), 0..200).prop_map(Act::Type),
            1 => vec(any::<u8>(), 0..200).prop_map(Act::Write),
            2 => (0usize..50).prop_map(Act::Read),
            1 => any::<[u8; TERMIOS_BYTES]>().prop_map(Act::Change),
            1 => Just(Act::Show),
        ]
    }

    proptest! {
        #![proptest_config(proptest_config(300))]

        /// Whatever is typed under whatever attributes, the counts agree.
        #[test]
        fn nothing_goes_wrong(acts in vec(act(), 0..200)) {
            let mut tty = Tty::default();
            for act in acts {
                match act {
                    Act::Type(bytes) => {
                        for byte in bytes {
                            if tty.line.has_room() {
                                tty.type_in(&[byte]);
                            }
                        }
                    }
                    Act::Write(bytes) => {
                        tty.line.write(&bytes, &mut tty.screen);
                    }
                    Act::Read(length) => {
                        let _ = tty.read(length);
                    }
                    Act::Change(bytes) => tty.line.set_termios(Termios::from_bytes(&bytes)),
                    Act::Show => drop(tty.shown()),
                }
                prop_assert!(tty.line.complete <= tty.line.input.len());
                prop_assert!(tty.line.input.len() <= super::INPUT_BYTES);
                prop_assert!(tty.line.readable_bytes() <= tty.line.input.len());
            }
        }
    }
}
