//! Decoders. All of them are safe Rust, and hold no more than a bounded window.

use super::Decoder;
use super::detect::SourceKind;
use super::zstd_frames::ZstdFrames;
use crate::error::{ImageError, Result};
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use std::io::{BufRead, BufReader};

/// The most that an xz archive may ask for: twice the dictionary of its highest level.
const XZ_MEMORY_KIB: u32 = 192 << 10;
const BUFFER_BYTES: usize = 128 << 10;

/// The bytes of the archive inside `stream`.
pub(super) fn decoder<'a>(kind: SourceKind, stream: impl BufRead + 'a) -> Result<Decoder<'a>> {
    let refuse = |reason| Err(ImageError::Format(reason));
    let decoder: Decoder<'a> = match kind {
        SourceKind::Tar => Box::new(stream),
        SourceKind::Gzip => Box::new(MultiGzDecoder::new(stream)),
        SourceKind::Zstd => Box::new(ZstdFrames::new(stream)),
        SourceKind::Xz => Box::new(XzReader::new_mem_limit(stream, true, XZ_MEMORY_KIB)),
        SourceKind::Erofs => return refuse("the source is an EROFS image already"),
        SourceKind::Bzip2 => {
            return refuse("bzip2 archives are not supported: unpack it, or use gzip, zstd or xz");
        }
        SourceKind::Empty => return refuse("the archive is empty"),
        SourceKind::Unknown => {
            return refuse("the source is no tar archive, plain or compressed by gzip, zstd or xz");
        }
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder)))
}
