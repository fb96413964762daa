//! Tells whether a sandbox can use an image.

use crate::error::{ImageError, Result};
use capsid_core::Errno;
use capsid_core::fs::erofs::Image;
use capsid_core::fs::erofs::format::{BLOCK_SIZE, MAGIC, RawSuperblock, SUPERBLOCK_OFFSET};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zerocopy::FromBytes;

/// Checks the superblock of an image and its length, so that a wrong file gives an error that
/// says why, before anything is started. What lies behind it is checked where it is used.
pub fn check_image(path: &Path) -> Result<()> {
    let fail = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    let mut block = Vec::new();
    let read = (&file).take(BLOCK_SIZE as u64).read_to_end(&mut block);
    read.map_err(fail)?;
    let unusable = |reason| ImageError::Unusable {
        path: path.to_owned(),
        reason,
    };
    let superblock = block.get(SUPERBLOCK_OFFSET..);
    let superblock = superblock.and_then(|bytes| RawSuperblock::read_from_prefix(bytes).ok());
    if superblock.is_none_or(|(raw, _)| raw.magic.get() != MAGIC) {
        return Err(unusable("it is not an EROFS image"));
    }
    let image = Image::new(&block).map_err(|error| {
        unusable(match error {
            Errno::EUCLEAN => "the image is damaged: its superblock has a wrong checksum",
            _ => {
                "the image has features that are not supported, such as compression, \
                 or blocks of another size than 4096 bytes"
            }
        })
    })?;
    if image.block_count() * BLOCK_SIZE as u64 > length {
        return Err(unusable("the image is cut short"));
    }
    Ok(())
}
