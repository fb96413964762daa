//! The on-disk structures of EROFS, all little-endian. Source: `fs/erofs/erofs_fs.h` of Linux 6.1
//! and Documentation/filesystems/erofs.rst.

use bitflags::bitflags;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Where the superblock lies, in bytes.
pub const SUPERBLOCK_OFFSET: usize = 1024;
/// The superblock's magic number.
pub const MAGIC: u32 = 0xE0F5_E1E2;
/// Binary logarithm of the block size that Capsid reads and writes.
pub const BLOCK_BITS: u8 = 12;
/// The block size, in bytes.
pub const BLOCK_SIZE: usize = 1 << BLOCK_BITS;
/// Inodes are numbered in units of this many bytes (`nid`).
pub const INODE_SLOT: usize = 32;
/// The block address that stands for a hole.
pub const HOLE: u32 = u32::MAX;
/// The longest name, in bytes.
pub const NAME_MAX: usize = 255;

bitflags! {
    /// What a reader may ignore.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CompatibleFeatures: u32 {
        /// The superblock has a checksum.
        const CHECKSUM = 1;
        /// The time of extended inodes is that of the last change of contents.
        const MTIME = 2;
    }

    /// What a reader must know.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct IncompatibleFeatures: u32 {
        /// Some files are mapped chunk by chunk.
        const CHUNKED_FILE = 4;
    }
}

/// The superblock.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in erofs_fs.h")]
pub struct RawSuperblock {
    pub magic: U32,
    pub checksum: U32,
    pub feature_compat: U32,
    pub block_bits: u8,
    pub extension_slots: u8,
    pub root_nid: U16,
    pub inodes: U64,
    pub build_time: U64,
    pub build_time_nsec: U32,
    pub blocks: U32,
    pub meta_block: U32,
    pub xattr_block: U32,
    pub uuid: [u8; 16],
    pub volume_name: [u8; 16],
    pub feature_incompat: U32,
    pub compression: U16,
    pub extra_devices: U16,
    pub device_slot_offset: U16,
    pub directory_block_bits: u8,
    pub reserved: [u8; 37],
}

/// How the bytes of a file are laid out (bits 1 to 3 of `format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataLayout {
    /// All in consecutive blocks.
    FlatPlain,
    /// Whole blocks are consecutive; the rest follows the inode and its attributes.
    FlatInline,
    /// Chunks of equal size, each with its own address.
    ChunkBased,
}

impl DataLayout {
    /// The layout from `format`; `None` for compressed and reserved ones.
    #[must_use]
    pub fn from_format(format: u16) -> Option<DataLayout> {
        match (format >> 1) & 7 {
            0 => Some(DataLayout::FlatPlain),
            2 => Some(DataLayout::FlatInline),
            4 => Some(DataLayout::ChunkBased),
            _ => None,
        }
    }

    /// The bits of `format`.
    #[must_use]
    pub fn format_bits(self) -> u16 {
        match self {
            DataLayout::FlatPlain => 0,
            DataLayout::FlatInline => 2 << 1,
            DataLayout::ChunkBased => 4 << 1,
        }
    }
}

/// Bit of `format`: the inode is a [`RawExtendedInode`].
pub const FORMAT_EXTENDED: u16 = 1;
/// The bits of `format` that mean something.
pub const FORMAT_MASK: u16 = 0xf;

/// An inode in its short form. Its time is the superblock's build time.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in erofs_fs.h")]
pub struct RawCompactInode {
    pub format: U16,
    pub xattr_count: U16,
    pub mode: U16,
    pub links: U16,
    pub size: U32,
    pub reserved: U32,
    /// Start block, device number or chunk format.
    pub data: U32,
    pub ino: U32,
    pub user: U16,
    pub group: U16,
    pub reserved2: U32,
}

/// An inode in its full form.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in erofs_fs.h")]
pub struct RawExtendedInode {
    pub format: U16,
    pub xattr_count: U16,
    pub mode: U16,
    pub reserved: U16,
    pub size: U64,
    /// Start block, device number or chunk format.
    pub data: U32,
    pub ino: U32,
    pub user: U32,
    pub group: U32,
    pub mtime: U64,
    pub mtime_nsec: U32,
    pub links: U32,
    pub reserved2: [u8; 16],
}

/// Binary logarithm of the blocks of one chunk: these bits of the chunk format.
pub const CHUNK_BITS_MASK: u32 = 0x1f;
/// Bit of the chunk format: addresses are [`RawChunkIndex`], else plain block numbers.
pub const CHUNK_INDEXES: u32 = 0x20;

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in erofs_fs.h")]
pub struct RawChunkIndex {
    pub advise: U16,
    pub device: U16,
    pub block: U32,
}

/// One entry of a directory block. All entries come first, then all names.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in erofs_fs.h")]
pub struct RawDirectoryEntry {
    pub nid: U64,
    pub name_offset: U16,
    pub file_type: u8,
    pub reserved: u8,
}

/// What stands before the inline attributes of an inode: then come the ids of shared attributes,
/// then attributes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in erofs_fs.h")]
pub struct RawXattrHeader {
    pub reserved: U32,
    pub shared_count: u8,
    pub reserved2: [u8; 7],
}

/// One attribute; its name and value follow, padded to 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[expect(missing_docs, reason = "named as in erofs_fs.h")]
pub struct RawXattrEntry {
    pub name_length: u8,
    pub name_index: u8,
    pub value_size: U16,
}

/// Attribute names are stored without their prefix, which an index stands for.
pub const XATTR_PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// The superblock's checksum: CRC-32C over the rest of its block, with the checksum field zero,
/// and without the usual inversion at the end.
#[must_use]
pub fn checksum(bytes: impl IntoIterator<Item = u8>) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = (value >> 1) ^ (0x82f6_3b78 & (value & 1).wrapping_neg());
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    bytes.into_iter().fold(u32::MAX, |sum, byte| {
        let index = usize::from(sum.to_le_bytes()[0] ^ byte);
        (sum >> 8) ^ TABLE[index]
    })
}

const _: () = {
    assert!(size_of::<RawSuperblock>() == 128);
    assert!(size_of::<RawCompactInode>() == 32);
    assert!(size_of::<RawExtendedInode>() == 64);
    assert!(size_of::<RawDirectoryEntry>() == 12);
    assert!(size_of::<RawXattrHeader>() == 12);
    assert!(size_of::<RawXattrEntry>() == 4);
    assert!(size_of::<RawChunkIndex>() == 8);
};
