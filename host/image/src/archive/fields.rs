//! The blocks of a tar archive, and the numbers in them: tar(5).

use tar::Header;

/// The unit of an archive.
pub(super) const BLOCK_BYTES: usize = 512;
/// The checksum's place in a header.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Whether these bytes start with a header: its checksum is right.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    let Some(block) = bytes.get(..BLOCK_BYTES) else {
        return false;
    };
    let stored = number(&block[CHECKSUM]);
    // Some old programs summed signed bytes.
    let unsigned: i64 = block.iter().map(|byte| i64::from(*byte)).sum();
    let signed: i64 = block.iter().map(|byte| i64::from(byte.cast_signed())).sum();
    let field: i64 = block[CHECKSUM].iter().map(|byte| i64::from(*byte)).sum();
    let field_signed = block[CHECKSUM].iter();
    let field_signed: i64 = field_signed.map(|byte| i64::from(byte.cast_signed())).sum();
    let spaces = 8 * i64::from(b' ');
    block.iter().any(|byte| *byte != 0)
        && (stored == Some(unsigned - field + spaces)
            || stored == Some(signed - field_signed + spaces))
}

/// A number: octal digits, or (GNU) big-endian two's complement behind a set bit. Blank is 0.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The bit below the marker is the sign.
        let negative = first & 0x40 != 0;
        let start = if negative {
            i64::from(first | 0x80) - 256
        } else {
            i64::from(first & 0x7f)
        };
        return rest.iter().try_fold(start, |value, byte| {
            value.checked_mul(256)?.checked_add(i64::from(*byte))
        });
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' '));
    let digits = &digits[..end.unwrap_or(digits.len())];
    digits.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// A number that cannot be negative.
pub(super) fn unsigned(field: &[u8]) -> Option<u64> {
    number(field).and_then(|value| u64::try_from(value).ok())
}

/// The header in a block.
pub(super) fn header(block: &[u8; BLOCK_BYTES]) -> &Header {
    Header::from_byte_slice(block)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000755\0"), Some(0o755));
        assert_eq!(number(b"   755 \0"), Some(0o755));
        assert_eq!(number(b"77777777777"), Some(0o77_777_777_777));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b""), None);
        assert_eq!(number(b"0000789\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 1, 0, 2]), Some(65_538));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xfe]), Some(-2));
        let mut huge = [0xff; 12];
        huge[0] = 0x80;
        assert_eq!(number(&huge), None);
    }
}
