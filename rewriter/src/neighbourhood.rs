//! Instruction boundaries around one place of the text.
//!
//! x86 code cannot be read backwards. It can be read from every one of 15 consecutive offsets some
//! way back: an instruction is at most 15 bytes long, so one of them is a true boundary, and the
//! starts that all these readings visit together hold the true ones. Readings fall into step after
//! a few instructions; where they have not, a boundary is uncertain and nothing is built on it.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};

/// The longest instruction, in bytes.
pub(crate) const LONGEST: usize = 15;
/// How far around a site the instructions that could move lie, the 16 bytes that filling spans, and
/// in front 24 bytes more, in which the readings fall into step.
const NEAR: [usize; 2] = [40 + LONGEST + 24, 40];
/// As [`NEAR`], and how far a short branch reaches.
const FAR: [usize; 2] = [NEAR[0] + SHORT_REACH, NEAR[1] + SHORT_REACH];
/// The reach of a short branch in either direction from its first byte, with prefixes.
const SHORT_REACH: usize = 132;

/// What an instruction means to a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Control goes on behind it; it may be executed elsewhere.
    #[default]
    Ordinary,
    /// Control never goes on behind it.
    Terminator,
    /// A `nop` or `int3`: filling between functions if nothing falls into it.
    Filling,
    /// A call, whose return address must stay; a system call or interrupt; `endbr64`, to which an
    /// indirect branch leads.
    Pinned,
}

#[derive(Clone, Copy, Debug, Default)]
struct Start {
    /// Length of the instruction; 0 if no reading found one here.
    length: u8,
    kind: Kind,
}

/// The possible instructions around a place.
#[derive(Debug)]
pub(crate) struct Neighbourhood<'a> {
    text: &'a [u8],
    base: usize,
    starts: Vec<Start>,
    /// Targets of the short branches among them, as text offsets.
    targets: Vec<u64>,
}

impl<'a> Neighbourhood<'a> {
    /// Reads what could be part of a window around `place`. The first byte of a text is taken for
    /// a boundary.
    pub(crate) fn around(text: &'a [u8], place: usize) -> Self {
        Self::read(text, place, NEAR)
    }

    /// Reads as far as short branches to `place` reach, and further.
    pub(crate) fn wide(text: &'a [u8], place: usize) -> Self {
        Self::read(text, place, FAR)
    }

    fn read(text: &'a [u8], place: usize, [before, behind]: [usize; 2]) -> Self {
        let base = place.saturating_sub(before);
        let end = text.len().min(place.saturating_add(behind));
        let mut this = Neighbourhood {
            text,
            base,
            starts: vec![Start::default(); end.saturating_sub(base)],
            targets: Vec::new(),
        };
        let readings = if base == 0 { 1 } else { LONGEST };
        this.read_from(base..base + readings);
        this
    }

    /// Also reads from `place`, which is known to be a boundary.
    pub(crate) fn read_site(&mut self, place: usize) {
        self.read_from(place..place + 1);
    }

    fn read_from(&mut self, places: Range<usize>) {
        let end = self.base + self.starts.len();
        let readable = &self.text[..self.text.len().min(end + LONGEST)];
        let Some(bytes) = readable.get(self.base..) else {
            return;
        };
        // Making a decoder costs as much as several instructions.
        let mut decoder = Decoder::new(64, bytes, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        for place in places {
            let mut at = place;
            while self.is_unread(at) && decoder.set_position(at - self.base).is_ok() {
                decoder.set_ip(at as u64);
                decoder.decode_out(&mut instruction);
                if instruction.is_invalid() {
                    break;
                }
                let length = instruction.len();
                self.starts[at - self.base] = Start {
                    // At most 15.
                    length: u8::try_from(length).unwrap_or(0),
                    kind: kind_of(&instruction),
                };
                self.targets.extend(short_branch_target(&instruction));
                at += length;
            }
        }
    }

    fn is_unread(&self, at: usize) -> bool {
        let start = at
            .checked_sub(self.base)
            .and_then(|index| self.starts.get(index));
        start.is_some_and(|start| start.length == 0)
    }

    /// The instruction that may start at `at`: its end and kind.
    pub(crate) fn instruction(&self, at: usize) -> Option<(usize, Kind)> {
        let start = self.starts.get(at.checked_sub(self.base)?)?;
        (start.length != 0).then(|| (at + usize::from(start.length), start.kind))
    }

    /// Whether every reading passes through `at`.
    pub(crate) fn is_certain(&self, at: usize) -> bool {
        let in_step = self.base == 0 || at >= self.base + LONGEST;
        in_step && !self.is_straddled(at) && self.instruction(at).is_some()
    }

    fn is_straddled(&self, at: usize) -> bool {
        (at.saturating_sub(LONGEST - 1)..at)
            .filter_map(|start| self.instruction(start))
            .any(|(end, _)| end > at)
    }

    /// Whether some reading takes `bytes` for the end of a longer instruction.
    pub(crate) fn is_tail(&self, bytes: Range<usize>) -> bool {
        (bytes.start.saturating_sub(LONGEST - 1)..bytes.start)
            .filter_map(|start| self.instruction(start))
            .any(|(end, _)| end == bytes.end)
    }

    /// The start of the instruction that ends at `at`, a boundary, if the readings agree on it.
    pub(crate) fn previous(&self, at: usize) -> Option<usize> {
        if self.is_straddled(at) {
            return None;
        }
        let mut ending = (at.saturating_sub(LONGEST)..at)
            .filter(|start| self.instruction(*start).is_some_and(|(end, _)| end == at));
        let start = ending.next()?;
        (ending.next().is_none() && (self.base == 0 || start >= self.base + LONGEST))
            .then_some(start)
    }

    /// Whether a short branch that may start around here leads into `window`. Bytes that no reading
    /// made part of an instruction count as branches wherever they look like one.
    fn leads_into(&self, window: &Range<usize>) -> bool {
        let inside = window.start as u64..window.end as u64;
        if self.targets.iter().any(|target| inside.contains(target)) {
            return true;
        }
        let mut read_until = self.base;
        let in_step = self.base + if self.base == 0 { 0 } else { LONGEST };
        for at in self.base..self.base + self.starts.len() {
            if let Some((end, _)) = self.instruction(at) {
                read_until = read_until.max(end);
            }
            if at >= read_until.max(in_step)
                && short_target(self.text, at).is_some_and(|target| window.contains(&target))
            {
                return true;
            }
        }
        false
    }

    /// Runs of filling of at least five bytes that nothing falls into, nearest first. Each lies
    /// between two 16-byte boundaries, since a function may start at the next one.
    pub(crate) fn fillings(&self, place: usize) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = self.base;
        while at < self.base + self.starts.len() {
            let terminated = match self.instruction(at) {
                Some((end, Kind::Terminator)) if self.is_certain(at) => end,
                _ => {
                    at += 1;
                    continue;
                }
            };
            let end = self.filling_end(terminated);
            if end - terminated >= 5 {
                found.push(terminated..end);
            }
            at = terminated.max(at + 1);
        }
        found.sort_unstable_by_key(|run| run.start.abs_diff(place));
        found
    }

    /// The end of the filling at `start`, behind a terminator; at most the next 16-byte boundary.
    pub(crate) fn filling_end(&self, start: usize) -> usize {
        let limit = start.next_multiple_of(16);
        let mut end = start;
        while end < limit
            && let Some((next, Kind::Filling)) = self.instruction(end)
        {
            end = next;
        }
        end.min(limit)
    }
}

fn kind_of(instruction: &Instruction) -> Kind {
    match instruction.mnemonic() {
        Mnemonic::Nop | Mnemonic::Int3 => return Kind::Filling,
        Mnemonic::Endbr64 | Mnemonic::Endbr32 => return Kind::Pinned,
        Mnemonic::Hlt => return Kind::Terminator,
        _ => {}
    }
    match instruction.flow_control() {
        FlowControl::Next | FlowControl::ConditionalBranch => Kind::Ordinary,
        FlowControl::UnconditionalBranch
        | FlowControl::IndirectBranch
        | FlowControl::Return
        | FlowControl::Exception => Kind::Terminator,
        // Calls, interrupts, transactions, and what later versions of the decoder add.
        _ => Kind::Pinned,
    }
}

fn short_branch_target(instruction: &Instruction) -> Option<u64> {
    let short = instruction.is_jcc_short()
        || instruction.is_jmp_short()
        || instruction.is_jcx_short()
        || instruction.is_loop()
        || instruction.is_loopcc();
    short.then(|| instruction.near_branch_target())
}

/// Whether a short branch may lead into `window` of `text`.
pub(crate) fn is_reached(text: &[u8], window: &Range<usize>) -> bool {
    // Most windows have nothing around them that looks like a branch into them, even by chance.
    let around = window.start.saturating_sub(SHORT_REACH)..window.end.saturating_add(SHORT_REACH);
    let mut lookalikes = around.filter_map(|at| short_target(text, at));
    !window.is_empty()
        && lookalikes.any(|target| window.contains(&target))
        && Neighbourhood::wide(text, window.start).leads_into(window)
}

/// Where the bytes at `at` lead when read as a two-byte branch.
fn short_target(text: &[u8], at: usize) -> Option<usize> {
    let [opcode, displacement] = *text.get(at..at + 2)? else {
        return None;
    };
    if !matches!(opcode, 0x70..=0x7f | 0xe0..=0xe3 | 0xeb) {
        return None;
    }
    (at + 2).checked_add_signed(isize::from(displacement.cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::{Kind, Neighbourhood, is_reached};
    use alloc::vec;

    #[test]
    fn readings_fall_into_step() {
        // 40 × `mov rax, [rip+0x9090050f]`: the operand holds `0f 05 90 90`.
        let mut text = [0x48, 0x8b, 0x05, 0x0f, 0x05, 0x90, 0x90].repeat(60);
        let site = text.len();
        text.extend([0x0f, 0x05]);
        text.extend([0x90; 200]);
        let near = Neighbourhood::around(&text, site);
        assert!(near.is_certain(site));
        assert!(!near.is_certain(site - 4), "inside an operand");
        assert_eq!(near.previous(site), Some(site - 7));
        assert_eq!(near.instruction(site), Some((site + 2, Kind::Pinned)));
    }

    #[test]
    fn undecodable_bytes_may_be_branches() {
        // 06 is no instruction in 64-bit mode.
        let mut text = vec![0x06; 600];
        text[280..282].copy_from_slice(&[0xeb, 0x12]);
        assert!(is_reached(&text, &(300..304)));
        assert!(!is_reached(&text, &(301..304)));
        assert!(!Neighbourhood::around(&text, 300).is_certain(300));
    }

    #[test]
    fn filling_ends_where_a_function_may_start() {
        let mut text = vec![0x90; 600];
        text[308] = 0xc3;
        text[309..].fill(0xcc);
        let near = Neighbourhood::wide(&text, 300);
        assert_eq!(near.fillings(300).first(), Some(&(309..320)));
        assert_eq!(
            near.filling_end(320),
            320,
            "already aligned: no filling is needed"
        );
    }
}
