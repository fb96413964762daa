//! The fast search: every place where the two bytes of `syscall` stand, and what surrounds it.

/// The bytes of `syscall`.
pub(crate) const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// Bytes looked at in one step: long enough for vector instructions, short enough to search again.
const BLOCK: usize = 128;

/// Finds every offset at which `0f 05` stands, whether it is an instruction or not.
#[derive(Clone, Debug)]
pub(crate) struct SyscallBytes<'a> {
    text: &'a [u8],
    next: usize,
}

impl<'a> SyscallBytes<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        SyscallBytes { text, next: 0 }
    }
}

impl Iterator for SyscallBytes<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.next < self.text.len() {
            let rest = &self.text[self.next..];
            let (Some(first), Some(second)) = (rest.get(..BLOCK), rest.get(1..=BLOCK)) else {
                let found = rest.windows(2).position(|pair| pair == SYSCALL);
                let found = found.map(|at| self.next + at);
                self.next = found.map_or(self.text.len(), |at| at + 1);
                return found;
            };
            // No branch in the loop, so that it becomes vector instructions.
            let mut any = 0;
            for (a, b) in first.iter().zip(second) {
                any |= u8::from(*a == SYSCALL[0]) & u8::from(*b == SYSCALL[1]);
            }
            if any == 0 {
                self.next += BLOCK;
                continue;
            }
            let found = first
                .iter()
                .zip(second)
                .position(|(a, b)| [*a, *b] == SYSCALL);
            if let Some(at) = found {
                let offset = self.next + at;
                self.next = offset + 1;
                return Some(offset);
            }
            self.next += BLOCK;
        }
        None
    }
}

/// Whether `mov eax, number; syscall` with a small number ends at the `syscall` at `site`.
pub(crate) fn follows_number(text: &[u8], site: usize) -> bool {
    let Some(start) = site.checked_sub(5) else {
        return false;
    };
    matches!(text.get(start..site), Some([0xb8, _, high, 0, 0]) if *high < 0x10)
}

/// Whether the `syscall` at `site` is followed by the comparison of the result with the range of
/// error numbers: `cmp rax, -4096` or `-4095`, or the same on `eax`. No other code has these bytes.
pub(crate) fn precedes_error_check(text: &[u8], site: usize) -> bool {
    let Some(after) = text.get(site + 2..) else {
        return false;
    };
    matches!(
        after,
        [0x48, 0x3d, 0 | 1, 0xf0, 0xff, 0xff, ..] | [0x3d, 0 | 1, 0xf0, 0xff, 0xff, ..]
    )
}

#[cfg(test)]
mod tests {
    use super::{SyscallBytes, follows_number, precedes_error_check};
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn pairs_are_found_at_every_position() {
        for length in [2, 3, 127, 128, 129, 130, 256, 257, 300] {
            for at in 0..length - 1 {
                let mut text = vec![0x0f; length];
                text[at + 1] = 0x05;
                let found: Vec<usize> = SyscallBytes::new(&text).collect();
                assert_eq!(found, [at], "length {length}");
            }
        }
        assert_eq!(SyscallBytes::new(&[]).count(), 0);
        assert_eq!(SyscallBytes::new(&[0x0f]).count(), 0);
        assert_eq!(SyscallBytes::new(&[0x0f, 0x05].repeat(500)).count(), 500);
    }

    #[test]
    fn shapes_need_exact_bytes() {
        assert!(follows_number(&[0xb8, 0x27, 0, 0, 0, 0x0f, 0x05], 5));
        assert!(!follows_number(&[0xb8, 0x27, 0x10, 0, 0, 0x0f, 0x05], 5));
        assert!(!follows_number(&[0x27, 0, 0, 0, 0x0f, 0x05], 4));
        assert!(precedes_error_check(
            &[0x0f, 0x05, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff],
            0
        ));
        assert!(!precedes_error_check(&[0x0f, 0x05, 0x48, 0x3d, 1, 0xf0], 0));
        assert!(!precedes_error_check(&[0x0f], 0));
    }
}
