//! Terminals behind the standard streams: attributes, window size, and restoring them at the end.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::getpgid;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios,
    tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};
use std::os::fd::BorrowedFd;

/// Length of the kernel's `struct termios`: four flag words, the line discipline, 19 characters.
const TERMIOS_BYTES: usize = 36;
const CHARACTERS: usize = 19;
/// Where the characters start.
const CHARACTERS_AT: usize = 17;

/// The attributes that terminals had before the sandbox first changed them.
#[derive(Debug, Default)]
pub struct SavedTerminals(Vec<(OwnedFd, Termios)>);

impl SavedTerminals {
    /// Gets (action 0) or sets (1 now, 2 drained, 3 flushed) the attributes, in the kernel's form.
    /// Returns them as they were.
    pub fn attributes(
        &mut self,
        terminal: BorrowedFd<'_>,
        action: u64,
        new: &[u8],
    ) -> Result<[u8; TERMIOS_BYTES], Errno> {
        let mut termios = tcgetattr(terminal)?;
        let before = encode(&termios);
        let action = match action {
            0 => return Ok(before),
            1 => OptionalActions::Now,
            // Waiting until output is drained could take for ever on a stopped terminal.
            2 => OptionalActions::Now,
            3 => OptionalActions::Flush,
            _ => return Err(Errno::INVAL),
        };
        let new: &[u8; TERMIOS_BYTES] = new.try_into().map_err(|_| Errno::INVAL)?;
        self.save(terminal, &termios)?;
        decode(new, &mut termios);
        if !termios.local_modes.contains(LocalModes::ICANON) {
            // A read must not wait for more keys: the library OS waits for them, not the broker.
            termios.special_codes[SpecialCodeIndex::VMIN] = 1;
            termios.special_codes[SpecialCodeIndex::VTIME] = 0;
        }
        tcsetattr(terminal, action, &termios)?;
        Ok(before)
    }

    fn save(&mut self, terminal: BorrowedFd<'_>, termios: &Termios) -> Result<(), Errno> {
        let device = rustix::fs::fstat(terminal)?.st_rdev;
        let known = self
            .0
            .iter()
            .any(|(file, _)| rustix::fs::fstat(file).is_ok_and(|stat| stat.st_rdev == device));
        if !known {
            let copy = rustix::io::fcntl_dupfd_cloexec(terminal, 0)?;
            self.0.push((copy, termios.clone()));
        }
        Ok(())
    }
}

impl Drop for SavedTerminals {
    fn drop(&mut self) {
        for (terminal, termios) in &self.0 {
            // Whoever is in the foreground has the attributes that it wants.
            let foreground = tcgetpgrp(terminal);
            if foreground.is_ok_and(|group| getpgid(None) != Ok(group)) {
                continue;
            }
            // The terminal may be gone.
            let _ = tcsetattr(terminal, OptionalActions::Now, termios);
        }
    }
}

/// The window size: rows | columns << 16, and its pixels above.
pub fn window_size(terminal: BorrowedFd<'_>) -> Result<u64, Errno> {
    let size = tcgetwinsize(terminal)?;
    let words = [size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel];
    Ok(words
        .into_iter()
        .rev()
        .fold(0, |all, word| all << 16 | u64::from(word)))
}

fn encode(termios: &Termios) -> [u8; TERMIOS_BYTES] {
    let mut bytes = [0; TERMIOS_BYTES];
    let words = [
        termios.input_modes.bits(),
        termios.output_modes.bits(),
        termios.control_modes.bits(),
        termios.local_modes.bits(),
    ];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes[16] = termios.line_discipline;
    for (byte, (_, index)) in bytes[CHARACTERS_AT..].iter_mut().zip(special_codes()) {
        *byte = index.map_or(0, |index| termios.special_codes[index]);
    }
    bytes
}

/// Changes the modes and characters. The speed and the line discipline stay: the line belongs to
/// the host.
fn decode(bytes: &[u8; TERMIOS_BYTES], termios: &mut Termios) {
    let word = |index: usize| {
        bytes
            .chunks_exact(4)
            .nth(index)
            .and_then(|chunk| chunk.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    };
    let speed = ControlModes::from_bits_retain(0o010_017 | 0o2_003_600_000);
    termios.input_modes = InputModes::from_bits_retain(word(0));
    termios.output_modes = OutputModes::from_bits_retain(word(1));
    termios.control_modes =
        (termios.control_modes & speed) | (ControlModes::from_bits_retain(word(2)) - speed);
    termios.local_modes = LocalModes::from_bits_retain(word(3));
    for (byte, (_, index)) in bytes[CHARACTERS_AT..].iter().zip(special_codes()) {
        if let Some(index) = index {
            termios.special_codes[index] = *byte;
        }
    }
}

/// The control characters in the kernel's order; `None` for unused places.
fn special_codes() -> [(usize, Option<SpecialCodeIndex>); CHARACTERS] {
    use SpecialCodeIndex as Index;
    let order = [
        Index::VINTR,
        Index::VQUIT,
        Index::VERASE,
        Index::VKILL,
        Index::VEOF,
        Index::VTIME,
        Index::VMIN,
        Index::VSWTC,
        Index::VSTART,
        Index::VSTOP,
        Index::VSUSP,
        Index::VEOL,
        Index::VREPRINT,
        Index::VDISCARD,
        Index::VWERASE,
        Index::VLNEXT,
        Index::VEOL2,
    ];
    std::array::from_fn(|place| (place, order.get(place).copied()))
}
