//! Inodes as the image has them, and where the bytes of a file lie.

use super::format::{
    BLOCK_BITS, BLOCK_SIZE, CHUNK_BITS_MASK, CHUNK_INDEXES, DataLayout, FORMAT_EXTENDED,
    FORMAT_MASK, HOLE, RawChunkIndex, RawCompactInode, RawExtendedInode, RawXattrHeader,
};
use super::superblock::{Image, block_offset};
use crate::fs::{DeviceId, FileKind, Owner};
use capsid_platform::Errno;
use zerocopy::little_endian::{U16, U32};

/// A checked inode.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// The number.
    pub nid: u64,
    /// The type.
    pub kind: FileKind,
    /// Permission bits (07777).
    pub permissions: u32,
    /// Hard links.
    pub links: u32,
    /// Owner and group.
    pub owner: Owner,
    /// Size in bytes; at most `i64::MAX`.
    pub size: u64,
    /// Which device a device node means.
    pub device: DeviceId,
    /// Last change of the contents: seconds (negative ones as two's complement) and nanoseconds.
    pub mtime: (u64, u32),
    layout: DataLayout,
    /// Start block, or chunk format.
    data: u32,
    /// Where the inline attributes start, and how many bytes they take.
    xattr_offset: u64,
    xattr_length: u64,
}

/// Where a run of a file's bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// In the image: from this offset, this many bytes. The range lies inside the image.
    Stored(u64, u64),
    /// Nowhere: this many zero bytes.
    Hole(u64),
}

impl Extent {
    /// How many bytes it covers; not 0.
    #[must_use]
    pub fn length(self) -> u64 {
        match self {
            Extent::Stored(_, length) | Extent::Hole(length) => length,
        }
    }
}

impl Node {
    /// Reads inode `nid`: `EUCLEAN` if damaged, `EOPNOTSUPP` if its layout is not supported.
    pub fn read(image: &Image<'_>, nid: u64) -> Result<Node, Errno> {
        let offset = image.inode_offset(nid)?;
        let format = image.read::<U16>(offset)?.get();
        if format & !FORMAT_MASK != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let layout = DataLayout::from_format(format).ok_or(Errno::EOPNOTSUPP)?;
        let full = if format & FORMAT_EXTENDED != 0 {
            image.read::<RawExtendedInode>(offset)?
        } else {
            expand(&image.read::<RawCompactInode>(offset)?, image.build_time())
        };
        let head = if format & FORMAT_EXTENDED != 0 {
            size_of::<RawExtendedInode>()
        } else {
            size_of::<RawCompactInode>()
        };
        let kind = FileKind::from_mode(u32::from(full.mode.get())).ok_or(Errno::EUCLEAN)?;
        let is_device = matches!(kind, FileKind::CharacterDevice | FileKind::BlockDevice);
        if full.size.get() > i64::MAX.cast_unsigned() || full.mtime_nsec.get() >= 1_000_000_000 {
            return Err(Errno::EUCLEAN);
        }
        let xattr_length = match u64::from(full.xattr_count.get()) {
            0 => 0,
            count => size_of::<RawXattrHeader>() as u64 + (count - 1) * 4,
        };
        Ok(Node {
            nid,
            kind,
            permissions: u32::from(full.mode.get()) & 0o7777,
            links: full.links.get(),
            owner: Owner {
                user: full.user.get(),
                group: full.group.get(),
            },
            size: full.size.get(),
            device: if is_device {
                DeviceId::decode(u64::from(full.data.get()))
            } else {
                DeviceId::default()
            },
            mtime: (full.mtime.get(), full.mtime_nsec.get()),
            layout,
            data: full.data.get(),
            // An offset that `read` accepted is below the length of a slice.
            xattr_offset: offset + head as u64,
            xattr_length,
        })
    }

    /// The inline attributes: header, shared ids and entries; empty if there are none.
    pub(super) fn xattr_body<'a>(&self, image: &Image<'a>) -> Result<&'a [u8], Errno> {
        image.bytes(self.xattr_offset, self.xattr_length)
    }

    /// Finds the run of bytes that starts at `offset` and covers at most `limit` bytes; `None` at
    /// or after the end of the file.
    pub fn extent(
        &self,
        image: &Image<'_>,
        offset: u64,
        limit: u64,
    ) -> Result<Option<Extent>, Errno> {
        let left = self.size.saturating_sub(offset).min(limit);
        if left == 0 {
            return Ok(None);
        }
        let extent = match self.layout {
            DataLayout::FlatPlain => self.blocks(offset, left)?,
            DataLayout::FlatInline => {
                let inline = (self.size - 1) >> BLOCK_BITS << BLOCK_BITS;
                if offset < inline {
                    self.blocks(offset, left.min(inline - offset))?
                } else {
                    let start = self.xattr_offset + self.xattr_length;
                    let room = BLOCK_SIZE as u64 - start % BLOCK_SIZE as u64;
                    // Linux maps one block for it, so a tail in two is damage.
                    if self.size - inline > room {
                        return Err(Errno::EUCLEAN);
                    }
                    Extent::Stored(start + (offset - inline), left)
                }
            }
            DataLayout::ChunkBased => self.chunks(image, offset, left)?,
        };
        if let Extent::Stored(start, length) = extent {
            image.bytes(start, length)?;
        }
        Ok(Some(extent))
    }

    /// A run of a file in consecutive blocks.
    fn blocks(&self, offset: u64, length: u64) -> Result<Extent, Errno> {
        let start = block_offset(self.data).checked_add(offset);
        Ok(Extent::Stored(start.ok_or(Errno::EUCLEAN)?, length))
    }

    /// A run of a chunk-based file: one chunk, and those after it that lie behind it.
    fn chunks(&self, image: &Image<'_>, offset: u64, length: u64) -> Result<Extent, Errno> {
        if self.data & !(CHUNK_BITS_MASK | CHUNK_INDEXES) != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let bits = u32::from(BLOCK_BITS) + (self.data & CHUNK_BITS_MASK);
        let size = 1u64 << bits;
        let mut index = offset >> bits;
        let into = offset & (size - 1);
        let first = self.chunk(image, index)?;
        let mut covered = size - into;
        while covered < length {
            index += 1;
            let next = self.chunk(image, index)?;
            let follows = match (first, next) {
                (HOLE, HOLE) => true,
                (HOLE, _) | (_, HOLE) => false,
                _ => block_offset(next) == block_offset(first) + (into + covered),
            };
            if !follows {
                break;
            }
            covered += size;
        }
        let length = covered.min(length);
        Ok(if first == HOLE {
            Extent::Hole(length)
        } else {
            Extent::Stored(block_offset(first) + into, length)
        })
    }

    /// The block at which chunk `index` starts.
    fn chunk(&self, image: &Image<'_>, index: u64) -> Result<u32, Errno> {
        let end = self.xattr_offset + self.xattr_length;
        let with_indexes = self.data & CHUNK_INDEXES != 0;
        let unit: u64 = if with_indexes { 8 } else { 4 };
        let offset = index
            .checked_mul(unit)
            .and_then(|offset| end.next_multiple_of(unit).checked_add(offset))
            .ok_or(Errno::EUCLEAN)?;
        if !with_indexes {
            return Ok(image.read::<U32>(offset)?.get());
        }
        let index = image.read::<RawChunkIndex>(offset)?;
        if index.device.get() != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(index.block.get())
    }
}

/// The full form of a compact inode.
fn expand(short: &RawCompactInode, (seconds, nanoseconds): (u64, u32)) -> RawExtendedInode {
    RawExtendedInode {
        format: short.format,
        xattr_count: short.xattr_count,
        mode: short.mode,
        reserved: U16::ZERO,
        size: u64::from(short.size.get()).into(),
        data: short.data,
        ino: short.ino,
        user: u32::from(short.user.get()).into(),
        group: u32::from(short.group.get()).into(),
        mtime: seconds.into(),
        mtime_nsec: nanoseconds.into(),
        links: u32::from(short.links.get()).into(),
        reserved2: [0; 16],
    }
}
