//! The superblock of an image, and checked access to its bytes.

use super::format::{
    BLOCK_BITS, BLOCK_SIZE, CompatibleFeatures, INODE_SLOT, IncompatibleFeatures, MAGIC,
    RawSuperblock, SUPERBLOCK_OFFSET, checksum,
};
use capsid_platform::Errno;
use core::fmt;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// An image whose superblock was checked. Nothing else in it was: each look checks what it reads.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    bytes: &'a [u8],
    superblock: RawSuperblock,
}

impl fmt::Debug for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("length", &self.bytes.len())
            .field("superblock", &self.superblock)
            .finish()
    }
}

impl<'a> Image<'a> {
    /// Checks the superblock of an image.
    ///
    /// # Errors
    /// `EINVAL`: not an EROFS image, of another block size than 4 KiB, or with features that are
    /// not supported, such as compression. `EUCLEAN`: damaged.
    pub fn new(bytes: &'a [u8]) -> Result<Image<'a>, Errno> {
        let block = bytes
            .get(SUPERBLOCK_OFFSET..BLOCK_SIZE)
            .ok_or(Errno::EINVAL)?;
        let (superblock, _) = RawSuperblock::read_from_prefix(block).map_err(|_| Errno::EINVAL)?;
        if superblock.magic.get() != MAGIC || superblock.block_bits != BLOCK_BITS {
            return Err(Errno::EINVAL);
        }
        let known = IncompatibleFeatures::all().bits();
        if superblock.feature_incompat.get() & !known != 0 || superblock.directory_block_bits != 0 {
            return Err(Errno::EINVAL);
        }
        let features = CompatibleFeatures::from_bits_retain(superblock.feature_compat.get());
        if features.contains(CompatibleFeatures::CHECKSUM) {
            let zeroed = block.iter().enumerate();
            let zeroed = zeroed.map(|(at, byte)| if (4..8).contains(&at) { 0 } else { *byte });
            if checksum(zeroed) != superblock.checksum.get() {
                return Err(Errno::EUCLEAN);
            }
        }
        Ok(Image { bytes, superblock })
    }

    /// The number of the root directory.
    #[must_use]
    pub fn root(&self) -> u64 {
        u64::from(self.superblock.root_nid.get())
    }

    /// The number of blocks that the image says it has.
    #[must_use]
    pub fn block_count(&self) -> u64 {
        u64::from(self.superblock.blocks.get())
    }

    /// The number of inodes that the image says it has.
    #[must_use]
    pub fn inode_count(&self) -> u64 {
        self.superblock.inodes.get()
    }

    /// The time of inodes that have none of their own: seconds and nanoseconds.
    pub(super) fn build_time(&self) -> (u64, u32) {
        (
            self.superblock.build_time.get(),
            self.superblock.build_time_nsec.get(),
        )
    }

    /// Where inode `nid` lies, in bytes.
    pub(super) fn inode_offset(&self, nid: u64) -> Result<u64, Errno> {
        let start = block_offset(self.superblock.meta_block.get());
        nid.checked_mul(INODE_SLOT as u64)
            .and_then(|offset| start.checked_add(offset))
            .ok_or(Errno::EUCLEAN)
    }

    /// Where shared attribute `id` lies, in bytes.
    pub(super) fn shared_xattr_offset(&self, id: u32) -> u64 {
        block_offset(self.superblock.xattr_block.get()) + u64::from(id) * 4
    }

    /// The bytes at `offset`: `EUCLEAN` if any of them lies past the end.
    pub fn bytes(&self, offset: u64, length: u64) -> Result<&'a [u8], Errno> {
        let end = offset.checked_add(length).ok_or(Errno::EUCLEAN)?;
        let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        range
            .and_then(|(offset, end)| self.bytes.get(offset..end))
            .ok_or(Errno::EUCLEAN)
    }

    /// The structure at `offset`.
    pub(super) fn read<T>(&self, offset: u64) -> Result<T, Errno>
    where
        T: FromBytes + Immutable + KnownLayout + Unaligned,
    {
        let bytes = self.bytes(offset, size_of::<T>() as u64)?;
        T::read_from_bytes(bytes).map_err(|_| Errno::EUCLEAN)
    }
}

/// Where a block starts, in bytes. Cannot overflow: block numbers have 32 bits.
pub(super) fn block_offset(block: u32) -> u64 {
    u64::from(block) << BLOCK_BITS
}
