//! The search for far branches into a window.
//!
//! Any four bytes of the text behind the opcode of a relative call, jump, conditional jump,
//! `xbegin` or RIP-relative `lea` (which makes a code pointer) count as one, whether an instruction
//! starts there or not: the true branches are a subset. Short branches are too common as stray
//! bytes for that; the decoded neighbourhood of a window answers for them.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of text to one bit of the coarse filter.
const FILTER_SHIFT: u32 = 6;
const BLOCK: usize = 64;

/// For each of `windows` (ranges of text offsets), whether a far branch may lead into it.
pub(crate) fn reached(text: &[u8], windows: &[Range<usize>]) -> Vec<bool> {
    let mut hit = vec![false; windows.len()];
    if windows.iter().all(Range::is_empty) {
        return hit;
    }
    let mut order: Vec<usize> = (0..windows.len()).collect();
    order.sort_unstable_by_key(|index| windows[*index].start);
    let longest = windows.iter().map(Range::len).max().unwrap_or(0);
    let filter = Filter::new(text.len(), windows);

    far_operands(text, |operand| {
        let Some(target) = far_target(text, operand).filter(|target| filter.contains(*target))
        else {
            return;
        };
        let from = order.partition_point(|index| windows[*index].start + longest <= target);
        for index in &order[from..] {
            let window = &windows[*index];
            if window.start > target {
                break;
            }
            hit[*index] |= window.contains(&target);
        }
    });
    hit
}

/// Where a relative operand of four bytes at `operand` leads, if into the text.
fn far_target(text: &[u8], operand: usize) -> Option<usize> {
    let bytes = text.get(operand..operand + 4)?;
    let displacement = i32::from_le_bytes(bytes.try_into().ok()?);
    let target = (operand + 4).checked_add_signed(isize::try_from(displacement).ok()?)?;
    (target < text.len()).then_some(target)
}

/// Calls `each` with every offset that may hold a far branch's operand.
fn far_operands(text: &[u8], mut each: impl FnMut(usize)) {
    let mut at = 0;
    while let (Some(first), Some(second)) =
        (text.get(at..at + BLOCK), text.get(at + 1..=at + BLOCK))
    {
        // Branch-free, so that it becomes vector instructions; one byte of marks for each of text.
        let mut marks = [0; BLOCK];
        for (mark, (a, b)) in marks.iter_mut().zip(first.iter().zip(second)) {
            *mark = far_opcode(*a, *b);
        }
        let mut found = 0_u64;
        for (word, marks) in marks.as_chunks::<8>().0.iter().enumerate() {
            let marks = u64::from_le_bytes(*marks);
            let marks = (marks | marks >> 1) & 0x0101_0101_0101_0101;
            // Gathers the lowest bit of each byte, the first in the lowest place.
            found |= (marks.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * word);
        }
        while found != 0 {
            let index = found.trailing_zeros() as usize;
            each(at + index + usize::from(marks[index]));
            found &= found - 1;
        }
        at += BLOCK;
    }
    for (index, pair) in text[at..].windows(2).enumerate() {
        let length = far_opcode(pair[0], pair[1]);
        if length != 0 {
            each(at + index + usize::from(length));
        }
    }
}

/// Length of the opcode in front of a four-byte relative operand; 0 if these bytes are none.
#[inline]
fn far_opcode(a: u8, b: u8) -> u8 {
    // E8 call, E9 jmp.
    let one = u8::from(a & 0xfe == 0xe8);
    // 0F 8x jcc; 8D with a RIP-relative operand: lea; C7 F8 xbegin.
    let two = (u8::from(a == 0x0f) & u8::from(b & 0xf0 == 0x80))
        | (u8::from(a == 0x8d) & u8::from(b & 0xc7 == 0x05))
        | (u8::from(a == 0xc7) & u8::from(b == 0xf8));
    one | (two << 1)
}

/// One bit for each 64 bytes of text that hold a byte of a window, so that most branches are
/// dismissed by one load.
struct Filter {
    bits: Vec<u64>,
}

impl Filter {
    fn new(text_len: usize, windows: &[Range<usize>]) -> Filter {
        let mut bits = vec![0; (text_len >> FILTER_SHIFT) / 64 + 1];
        for window in windows.iter().filter(|window| !window.is_empty()) {
            for block in window.start >> FILTER_SHIFT..=(window.end - 1) >> FILTER_SHIFT {
                if let Some(word) = bits.get_mut(block / 64) {
                    *word |= 1 << (block % 64);
                }
            }
        }
        Filter { bits }
    }

    fn contains(&self, offset: usize) -> bool {
        let block = offset >> FILTER_SHIFT;
        self.bits[block / 64] >> (block % 64) & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::reached;
    use alloc::vec;

    #[expect(clippy::single_range_in_vec_init, reason = "one window is meant")]
    fn is_reached(opcode: &[u8], opcode_at: usize, target: usize) -> bool {
        let mut text = vec![0x90; 1000];
        let operand = opcode_at + opcode.len();
        let displacement = i32::try_from(target).unwrap() - i32::try_from(operand + 4).unwrap();
        text[opcode_at..operand].copy_from_slice(opcode);
        text[operand..operand + 4].copy_from_slice(&displacement.to_le_bytes());
        reached(&text, &[500..504])[0]
    }

    #[test]
    fn every_far_branch_counts_at_every_position() {
        let opcodes: [&[u8]; 7] = [
            &[0xe8],
            &[0xe9],
            &[0x0f, 0x80],
            &[0x0f, 0x8f],
            &[0x8d, 0x05],
            &[0x8d, 0x3d],
            &[0xc7, 0xf8],
        ];
        for opcode in opcodes {
            for at in (0..490).chain(510..990) {
                for target in 500..504 {
                    assert!(is_reached(opcode, at, target), "{opcode:x?} at {at}");
                }
                assert!(!is_reached(opcode, at, 499));
                assert!(!is_reached(opcode, at, 504));
            }
        }
        assert!(!is_reached(&[0x0f, 0x90], 10, 500));
    }

    #[test]
    fn each_window_gets_its_own_answer() {
        let mut text = vec![0x90; 4096];
        text[0] = 0xe9;
        text[1..5].copy_from_slice(&(2000 - 5i32).to_le_bytes());
        let windows = [3000..3004, 1999..2003, 0..0, 1997..2000, 2000..2001];
        assert_eq!(reached(&text, &windows), [false, true, false, false, true]);
    }
}
