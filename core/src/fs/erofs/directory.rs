//! Directories: blocks of entries that are sorted by name, throughout the directory.

use super::format::{BLOCK_SIZE, NAME_MAX, RawDirectoryEntry};
use super::node::{Extent, Node};
use super::superblock::Image;
use crate::fs::FileKind;
use capsid_platform::Errno;
use core::cmp::Ordering;
use core::ops::ControlFlow;
use zerocopy::FromBytes;

const ENTRY_SIZE: usize = size_of::<RawDirectoryEntry>();

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The number of the inode.
    pub nid: u64,
    /// The type; `None` if the entry does not say.
    pub kind: Option<FileKind>,
}

/// A block of entries whose head was checked.
struct Block<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Block<'a> {
    fn read(image: &Image<'a>, directory: &Node, index: u64) -> Result<Block<'a>, Errno> {
        let start = index * BLOCK_SIZE as u64;
        let length = directory.size.saturating_sub(start).min(BLOCK_SIZE as u64);
        let extent = directory.extent(image, start, length)?;
        let Some(Extent::Stored(offset, stored)) = extent else {
            return Err(Errno::EUCLEAN);
        };
        if stored != length {
            return Err(Errno::EUCLEAN);
        }
        let bytes = image.bytes(offset, length)?;
        // The names start where the entries end.
        let head = usize::from(raw(bytes, 0)?.name_offset.get());
        if head < ENTRY_SIZE || !head.is_multiple_of(ENTRY_SIZE) || head >= bytes.len() {
            return Err(Errno::EUCLEAN);
        }
        let count = head / ENTRY_SIZE;
        Ok(Block { bytes, count })
    }

    fn entry(&self, index: usize) -> Result<Entry<'a>, Errno> {
        let entry = raw(self.bytes, index)?;
        let start = usize::from(entry.name_offset.get());
        let name = if index + 1 < self.count {
            let end = usize::from(raw(self.bytes, index + 1)?.name_offset.get());
            self.bytes.get(start..end).ok_or(Errno::EUCLEAN)?
        } else {
            let rest = self.bytes.get(start..).ok_or(Errno::EUCLEAN)?;
            let end = rest.iter().position(|byte| *byte == 0);
            &rest[..end.unwrap_or(rest.len())]
        };
        let bad = name.is_empty() || name.len() > NAME_MAX || name.contains(&b'/');
        if bad || start < self.count * ENTRY_SIZE {
            return Err(Errno::EUCLEAN);
        }
        Ok(Entry {
            name,
            nid: entry.nid.get(),
            kind: kind_of(entry.file_type),
        })
    }
}

fn raw(bytes: &[u8], index: usize) -> Result<RawDirectoryEntry, Errno> {
    let rest = bytes.get(index * ENTRY_SIZE..).ok_or(Errno::EUCLEAN)?;
    let entry = RawDirectoryEntry::read_from_prefix(rest);
    entry.map(|(entry, _)| entry).map_err(|_| Errno::EUCLEAN)
}

/// The types of directory entries, in the order of their numbers from 1.
const KINDS: [FileKind; 7] = [
    FileKind::Regular,
    FileKind::Directory,
    FileKind::CharacterDevice,
    FileKind::BlockDevice,
    FileKind::Fifo,
    FileKind::Socket,
    FileKind::Symlink,
];

fn kind_of(file_type: u8) -> Option<FileKind> {
    let index = usize::from(file_type).checked_sub(1)?;
    KINDS.get(index).copied()
}

/// The number that directory entries have for a type; 0 for one they have none for.
#[must_use]
pub fn file_type(kind: FileKind) -> u8 {
    let index = KINDS.iter().position(|known| *known == kind);
    index
        .and_then(|index| u8::try_from(index + 1).ok())
        .unwrap_or(0)
}

impl Node {
    /// Finds a name in this directory: `ENOENT`, `ENOTDIR`.
    pub fn find<'a>(&self, image: &Image<'a>, name: &[u8]) -> Result<Entry<'a>, Errno> {
        let mut blocks = 0..self.directory_blocks()?;
        // The block is the last one that starts at or before the name.
        let mut found = Err(Errno::ENOENT);
        while !blocks.is_empty() {
            let middle = blocks.start + (blocks.end - blocks.start) / 2;
            let block = Block::read(image, self, middle)?;
            let first = block.entry(0)?;
            match first.name.cmp(name) {
                Ordering::Equal => return Ok(first),
                Ordering::Less => {
                    found = Ok(block);
                    blocks.start = middle + 1;
                }
                Ordering::Greater => blocks.end = middle,
            }
        }
        let block = found?;
        let mut entries = 1..block.count;
        while !entries.is_empty() {
            let middle = entries.start + (entries.end - entries.start) / 2;
            let entry = block.entry(middle)?;
            match entry.name.cmp(name) {
                Ordering::Equal => return Ok(entry),
                Ordering::Less => entries.start = middle + 1,
                Ordering::Greater => entries.end = middle,
            }
        }
        Err(Errno::ENOENT)
    }

    /// Lists this directory, `.` and `..` left out, from `position` (0 at first) until `emit`
    /// breaks. `emit` gets each entry and the position after it, which is never 0.
    pub fn list<'a>(
        &self,
        image: &Image<'a>,
        position: u64,
        mut emit: impl FnMut(Entry<'a>, u64) -> Result<ControlFlow<()>, Errno>,
    ) -> Result<(), Errno> {
        let blocks = self.directory_blocks()?;
        let start = position / BLOCK_SIZE as u64;
        // A position is that of an entry in the directory's bytes. Those that a guest makes up
        // lead to some entry, or to none.
        let mut index = usize::try_from(position % BLOCK_SIZE as u64).unwrap_or(0) / ENTRY_SIZE;
        for number in start..blocks {
            let block = Block::read(image, self, number)?;
            for index in index..block.count {
                let entry = block.entry(index)?;
                if matches!(entry.name, b"." | b"..") {
                    continue;
                }
                let next = if index + 1 == block.count {
                    (number + 1) * BLOCK_SIZE as u64
                } else {
                    number * BLOCK_SIZE as u64 + ((index + 1) * ENTRY_SIZE) as u64
                };
                if emit(entry, next)?.is_break() {
                    return Ok(());
                }
            }
            index = 0;
        }
        Ok(())
    }

    /// The number of blocks of this directory.
    fn directory_blocks(&self) -> Result<u64, Errno> {
        if self.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(self.size.div_ceil(BLOCK_SIZE as u64))
    }
}
