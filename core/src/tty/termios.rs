//! Attributes of terminals, termios(3), and their forms in memory.

use bitflags::bitflags;

bitflags! {
    /// What happens to input, `c_iflag`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InputModes: u32 {
        /// Ignore breaks.
        const IGNBRK = 0o1;
        /// A break is an interrupt.
        const BRKINT = 0o2;
        /// Ignore parity errors.
        const IGNPAR = 0o4;
        /// Mark parity errors.
        const PARMRK = 0o10;
        /// Check parity.
        const INPCK = 0o20;
        /// Strip the eighth bit.
        const ISTRIP = 0o40;
        /// New line becomes carriage return.
        const INLCR = 0o100;
        /// Ignore carriage return.
        const IGNCR = 0o200;
        /// Carriage return becomes new line.
        const ICRNL = 0o400;
        /// Upper case becomes lower case.
        const IUCLC = 0o1000;
        /// Keys stop and start output.
        const IXON = 0o2000;
        /// Any key starts output.
        const IXANY = 0o4000;
        /// Input is stopped when there is too much.
        const IXOFF = 0o10000;
        /// Ring when there is too much input.
        const IMAXBEL = 0o20000;
        /// Input is UTF-8, which erasing knows.
        const IUTF8 = 0o40000;
    }
}

bitflags! {
    /// What happens to output, `c_oflag`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OutputModes: u32 {
        /// Process output at all.
        const OPOST = 0o1;
        /// Lower case becomes upper case.
        const OLCUC = 0o2;
        /// New line becomes carriage return, new line.
        const ONLCR = 0o4;
        /// Carriage return becomes new line.
        const OCRNL = 0o10;
        /// No carriage return in the first column.
        const ONOCR = 0o20;
        /// New line returns the carriage.
        const ONLRET = 0o40;
        /// Tabs become spaces, as `XTABS`.
        const TAB3 = 0o14000;
    }
}

bitflags! {
    /// What the terminal does by itself, `c_lflag`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct LocalModes: u32 {
        /// Keys cause signals.
        const ISIG = 0o1;
        /// Lines are edited, and read as a whole.
        const ICANON = 0o2;
        /// Show what is typed.
        const ECHO = 0o10;
        /// Show erasing by erasing.
        const ECHOE = 0o20;
        /// A new line behind a killed line.
        const ECHOK = 0o40;
        /// Show new lines, even without `ECHO`.
        const ECHONL = 0o100;
        /// Signals flush nothing.
        const NOFLSH = 0o200;
        /// Background jobs must not write.
        const TOSTOP = 0o400;
        /// Show control characters as `^X`.
        const ECHOCTL = 0o1000;
        /// Show erased characters, as on paper.
        const ECHOPRT = 0o2000;
        /// Show killing by erasing.
        const ECHOKE = 0o4000;
        /// Output is being dropped.
        const FLUSHO = 0o10000;
        /// Input is to be shown again.
        const PENDIN = 0o40000;
        /// The keys that are extensions work.
        const IEXTEN = 0o100000;
        /// Lines are edited elsewhere.
        const EXTPROC = 0o200000;
    }
}

/// A special character, by its place in `c_cc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "termios(3) describes each")]
pub enum Special {
    Interrupt = 0,
    Quit = 1,
    Erase = 2,
    Kill = 3,
    EndOfFile = 4,
    Time = 5,
    Minimum = 6,
    Start = 8,
    Stop = 9,
    Suspend = 10,
    EndOfLine = 11,
    Reprint = 12,
    WordErase = 14,
    LiteralNext = 15,
    EndOfLine2 = 16,
}

/// Length of `c_cc` of the kernel.
pub const SPECIALS: usize = 19;
/// Length of the kernel's `struct termios`, in bytes.
pub const TERMIOS_BYTES: usize = 36;
/// Length of `struct termios2`, which adds the speeds.
pub const TERMIOS2_BYTES: usize = 44;
/// Length of the old `struct termio`.
pub const TERMIO_BYTES: usize = 18;
/// How many special characters `struct termio` has.
const TERMIO_SPECIALS: usize = 8;

/// Where the flag words end, and the line discipline's number lies.
const LINE_AT: usize = 16;
const SPECIALS_AT: usize = LINE_AT + 1;

/// `CREAD`: characters can be received.
const RECEIVES: u32 = 0o200;
/// `CS8`, and the mask of it.
const EIGHT_BITS: u32 = 0o60;
/// `CSIZE` and `PARENB`, which a pseudo-terminal keeps at eight bits without parity.
const FRAME: u32 = 0o60 | 0o400;
/// `CBAUD`: the speed, coded.
const SPEED: u32 = 0o10_017;
/// `B38400`.
const SPEED_38400: u32 = 0o17;
/// `BOTHER`: the speed is in a field of its own.
const SPEED_OTHER: u32 = 0o10_000;
/// The speeds of `CBAUD` 0 to 15, and from `CBAUDEX` + 1 on.
const SPEEDS: [u32; 16] = [
    0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400,
];
const EXTENDED_SPEEDS: [u32; 15] = [
    57_600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000,
    2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

/// The attributes of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termios {
    /// Input modes.
    pub input: InputModes,
    /// Output modes.
    pub output: OutputModes,
    /// Control modes: there is no line, so they are kept and mean nothing.
    pub control: u32,
    /// Local modes.
    pub local: LocalModes,
    /// The number of the line discipline: always `N_TTY`, but kept.
    pub line: u8,
    /// The special characters.
    pub specials: [u8; SPECIALS],
    /// Input and output speed, in bits per second.
    pub speeds: [u32; 2],
}

/// A special character that is switched off.
pub const DISABLED: u8 = 0;

impl Default for Termios {
    /// What a new pseudo-terminal has.
    fn default() -> Termios {
        let mut specials = [DISABLED; SPECIALS];
        specials[..17]
            .copy_from_slice(&[3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0]);
        Termios {
            input: InputModes::ICRNL | InputModes::IXON,
            output: OutputModes::OPOST | OutputModes::ONLCR,
            control: SPEED_38400 | EIGHT_BITS | RECEIVES,
            local: LocalModes::ISIG
                | LocalModes::ICANON
                | LocalModes::ECHO
                | LocalModes::ECHOE
                | LocalModes::ECHOK
                | LocalModes::ECHOCTL
                | LocalModes::ECHOKE
                | LocalModes::IEXTEN,
            line: 0,
            specials,
            speeds: [38400; 2],
        }
    }
}

fn words_of<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*chunk);
    }
    words
}

impl Termios {
    /// The special character, or [`DISABLED`].
    #[must_use]
    pub fn special(&self, which: Special) -> u8 {
        self.specials[which as usize]
    }

    /// Whether `byte` is the special character, and that is not switched off.
    #[must_use]
    pub fn is(&self, byte: u8, which: Special) -> bool {
        byte != DISABLED && byte == self.special(which)
    }

    /// Whether lines are edited and read as a whole.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        self.local.contains(LocalModes::ICANON)
    }

    /// What a pseudo-terminal makes of new attributes: eight bits, no parity, a receiver.
    #[must_use]
    pub fn for_pseudo_terminal(mut self) -> Termios {
        self.control = self.control & !FRAME | EIGHT_BITS | RECEIVES;
        self
    }

    /// Encodes as the kernel's `struct termios`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; TERMIOS_BYTES] {
        let mut bytes = [0; TERMIOS_BYTES];
        let words = [
            self.input.bits(),
            self.output.bits(),
            self.control,
            self.local.bits(),
        ];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes[LINE_AT] = self.line;
        bytes[SPECIALS_AT..].copy_from_slice(&self.specials);
        bytes
    }

    /// Encodes as `struct termios2`.
    #[must_use]
    pub fn to_bytes2(&self) -> [u8; TERMIOS2_BYTES] {
        let mut bytes = [0; TERMIOS2_BYTES];
        bytes[..TERMIOS_BYTES].copy_from_slice(&self.to_bytes());
        for (chunk, speed) in bytes[TERMIOS_BYTES..].chunks_exact_mut(4).zip(self.speeds) {
            chunk.copy_from_slice(&speed.to_le_bytes());
        }
        bytes
    }

    /// Encodes as `struct termio`: the low halves of the flags and the first characters.
    #[must_use]
    pub fn to_old_bytes(&self) -> [u8; TERMIO_BYTES] {
        let mut bytes = [0; TERMIO_BYTES];
        for (half, word) in bytes[..8]
            .chunks_exact_mut(2)
            .zip(self.to_bytes().as_chunks::<4>().0)
        {
            half.copy_from_slice(&word[..2]);
        }
        bytes[8] = self.line;
        bytes[9..9 + TERMIO_SPECIALS].copy_from_slice(&self.specials[..TERMIO_SPECIALS]);
        bytes
    }

    /// Decodes a `struct termios`. Unknown bits are kept, as Linux does.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; TERMIOS_BYTES]) -> Termios {
        let [input, output, control, local] = words_of(bytes);
        let mut specials = [0; SPECIALS];
        specials.copy_from_slice(&bytes[SPECIALS_AT..]);
        let speed = coded_speed(control).unwrap_or(38400);
        Termios {
            input: InputModes::from_bits_retain(input),
            output: OutputModes::from_bits_retain(output),
            control,
            local: LocalModes::from_bits_retain(local),
            line: bytes[LINE_AT],
            specials,
            speeds: [speed; 2],
        }
    }

    /// Decodes a `struct termios2`.
    #[must_use]
    pub fn from_bytes2(bytes: &[u8; TERMIOS2_BYTES]) -> Termios {
        let (first, speeds) = bytes.split_at(TERMIOS_BYTES);
        let mut head = [0; TERMIOS_BYTES];
        head.copy_from_slice(first);
        let mut termios = Termios::from_bytes(&head);
        if coded_speed(termios.control).is_none() {
            termios.speeds = words_of(speeds);
        }
        termios
    }

    /// These attributes with what a `struct termio` says.
    #[must_use]
    pub fn with_old_bytes(&self, bytes: &[u8; TERMIO_BYTES]) -> Termios {
        let mut new = self.to_bytes();
        for (word, half) in new[..16]
            .chunks_exact_mut(4)
            .zip(bytes[..8].chunks_exact(2))
        {
            word[..2].copy_from_slice(half);
        }
        new[LINE_AT] = bytes[8];
        let specials = &bytes[9..9 + TERMIO_SPECIALS];
        new[SPECIALS_AT..SPECIALS_AT + TERMIO_SPECIALS].copy_from_slice(specials);
        Termios::from_bytes(&new)
    }
}

/// The speed that the control modes name; `None` if it has a field of its own.
fn coded_speed(control: u32) -> Option<u32> {
    let code = control & SPEED;
    if code == SPEED_OTHER {
        return None;
    }
    let place = (code & 0o17) as usize;
    if code & SPEED_OTHER == 0 {
        SPEEDS.get(place).copied()
    } else {
        EXTENDED_SPEEDS.get(place - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{LocalModes, Special, Termios};

    #[test]
    fn the_layout_is_that_of_linux() {
        let termios = Termios::default();
        let bytes = termios.to_bytes();
        // What `stty -g` shows of a new terminal: 500:5:bf:8a3b.
        assert_eq!(bytes[..2], [0x00, 0x05]);
        assert_eq!(bytes[4], 5);
        assert_eq!(bytes[8], 0xbf);
        assert_eq!(bytes[12..14], [0x3b, 0x8a]);
        assert_eq!(bytes[17..22], [3, 28, 127, 21, 4]);
        assert_eq!(Termios::from_bytes(&bytes), termios);
        assert_eq!(Termios::from_bytes2(&termios.to_bytes2()), termios);
        let mut other = termios;
        other.specials[Special::EndOfLine2 as usize] = 9;
        other.local -= LocalModes::ECHO;
        // The old form lacks the later characters.
        let old = other.to_old_bytes();
        assert_eq!(old[..2], [0x00, 0x05]);
        assert_eq!(old[9..14], [3, 28, 127, 21, 4]);
        assert_eq!(termios.with_old_bytes(&old).local, other.local);
        assert_eq!(termios.with_old_bytes(&old).special(Special::EndOfLine2), 0);
    }

    #[test]
    fn speeds_are_coded_or_plain() {
        let mut termios = Termios::default();
        for (code, speed) in [
            (0, 0),
            (0o15, 9600),
            (0o10_002, 115_200),
            (0o10_017, 4_000_000),
        ] {
            termios.control = termios.control & !0o10_017 | code;
            assert_eq!(Termios::from_bytes(&termios.to_bytes()).speeds, [speed; 2]);
        }
        termios.control = termios.control & !0o10_017 | 0o10_000;
        termios.speeds = [1234, 5678];
        let read = Termios::from_bytes2(&termios.to_bytes2());
        assert_eq!(read.speeds, [1234, 5678]);
    }
}
