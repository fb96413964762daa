//! Tells formats apart by their first bytes.

use super::fields;
use capsid_core::fs::erofs::format::{MAGIC, SUPERBLOCK_OFFSET};
use std::io::{self, BufRead, Chain, Cursor, Read};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A tar archive.
    Tar,
    /// Something compressed by gzip; a tar archive, one hopes.
    Gzip,
    /// Something compressed by zstd.
    Zstd,
    /// Something compressed by xz.
    Xz,
    /// An EROFS image.
    Erofs,
    /// Something compressed by bzip2, which is not supported.
    Bzip2,
    /// Nothing at all.
    Empty,
    /// Anything else.
    Unknown,
}

/// How many bytes [`detect`] looks at.
const HEAD_BYTES: usize = SUPERBLOCK_OFFSET + 4;

/// Tells what starts with these bytes: 1,028 of them, or all there are.
#[must_use]
pub fn detect(head: &[u8]) -> SourceKind {
    let magic = head.get(SUPERBLOCK_OFFSET..SUPERBLOCK_OFFSET + 4);
    if head.is_empty() {
        SourceKind::Empty
    } else if head.starts_with(&[0x1f, 0x8b]) {
        SourceKind::Gzip
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable_frame(head) {
        SourceKind::Zstd
    } else if head.starts_with(b"\xfd7zXZ\0") {
        SourceKind::Xz
    } else if head.starts_with(b"BZh") {
        SourceKind::Bzip2
    } else if magic == Some(&MAGIC.to_le_bytes()) {
        SourceKind::Erofs
    } else if fields::is_header(head) || is_end_of_archive(head) {
        SourceKind::Tar
    } else {
        SourceKind::Unknown
    }
}

/// zstd allows frames of other data, of sixteen magic numbers.
fn is_skippable_frame(head: &[u8]) -> bool {
    head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18]
}

/// An archive without members is blocks of zeros.
fn is_end_of_archive(head: &[u8]) -> bool {
    head.len() >= 2 * fields::BLOCK_BYTES && head.iter().all(|byte| *byte == 0)
}

/// A stream whose first bytes were read already.
pub(super) type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// Looks at the first bytes of a stream, and gives the whole stream back.
pub(super) fn peek<R: BufRead>(mut stream: R) -> io::Result<(SourceKind, Peeked<R>)> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let mut start = stream.by_ref().take(HEAD_BYTES as u64);
    start.read_to_end(&mut head)?;
    let kind = detect(&head);
    Ok((kind, Cursor::new(head).chain(stream)))
}
