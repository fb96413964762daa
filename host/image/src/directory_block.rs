//! The bytes of a directory: blocks of entries sorted by name.

use capsid_core::fs::FileKind;
use capsid_core::fs::erofs::file_type;
use capsid_core::fs::erofs::format::{BLOCK_SIZE, RawDirectoryEntry};
use std::ops::Range;
use zerocopy::IntoBytes;

const ENTRY_BYTES: usize = size_of::<RawDirectoryEntry>();

/// An entry to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub name: &'a [u8],
    pub nid: u64,
    pub kind: FileKind,
}

/// Which entries share a block: as many as fit.
fn blocks<'a>(names: &'a [&'a [u8]]) -> impl Iterator<Item = (Range<usize>, usize)> + 'a {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut end = start;
        let mut used = 0;
        while let Some(name) = names.get(end) {
            let needed = ENTRY_BYTES + name.len();
            if used + needed > BLOCK_SIZE {
                break;
            }
            used += needed;
            end += 1;
        }
        let range = start..end;
        start = end;
        (!range.is_empty()).then_some((range, used))
    })
}

/// The size of a directory with these names, in bytes.
pub(crate) fn size(names: &[&[u8]]) -> usize {
    let last = blocks(names).enumerate().last();
    last.map_or(0, |(index, (_, used))| index * BLOCK_SIZE + used)
}

/// The directory's bytes: all blocks but the last are full.
pub(crate) fn encode(entries: &[Entry<'_>]) -> Vec<u8> {
    let names: Vec<&[u8]> = entries.iter().map(|entry| entry.name).collect();
    let mut bytes = Vec::with_capacity(size(&names));
    for (range, _) in blocks(&names) {
        bytes.resize(bytes.len().next_multiple_of(BLOCK_SIZE), 0);
        let entries = &entries[range];
        let mut name_offset = entries.len() * ENTRY_BYTES;
        for entry in entries {
            let raw = RawDirectoryEntry {
                nid: entry.nid.into(),
                // Offsets in a block have twelve bits.
                name_offset: u16::try_from(name_offset).unwrap_or(0).into(),
                file_type: file_type(entry.kind),
                reserved: 0,
            };
            bytes.extend_from_slice(raw.as_bytes());
            name_offset += entry.name.len();
        }
        for entry in entries {
            bytes.extend_from_slice(entry.name);
        }
    }
    bytes
}
