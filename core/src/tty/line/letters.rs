//! Letters as Linux's terminals know them: Latin-1, whatever the bytes mean (lib/ctype.c of 6.12).

/// What lies between a letter and its other case.
const CASE: u8 = b'a' - b'A';

fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, 0xc0..=0xd6 | 0xd8..=0xde)
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || matches!(byte, 0xdf..=0xf6 | 0xf8..=0xff)
}

/// The lower case of a letter; anything else stays.
pub(super) fn to_lower(byte: u8) -> u8 {
    if is_upper(byte) { byte + CASE } else { byte }
}

/// The upper case of a letter; anything else stays.
pub(super) fn to_upper(byte: u8) -> u8 {
    if is_lower(byte) { byte - CASE } else { byte }
}

/// Whether a byte belongs to a word, for `VWERASE`.
pub(super) fn is_word(byte: u8) -> bool {
    is_upper(byte) || is_lower(byte) || byte.is_ascii_digit() || byte == b'_'
}
