//! The image file: a writer that knows its position and leaves holes.

use crate::error::{ImageError, Result};
use capsid_core::fs::erofs::format::BLOCK_SIZE;
use std::io::{BufWriter, Seek, SeekFrom, Write};

pub(crate) const BLOCK_BYTES: u64 = BLOCK_SIZE as u64;
const BUFFER_BYTES: usize = 1 << 20;
/// Runs of zeros of this length become holes of the image file.
const HOLE_BYTES: usize = 64 << 10;
/// The largest block number stands for a hole, so that no block may have it.
const IMAGE_BYTES_MAX: u64 = (u32::MAX as u64 - 1) * BLOCK_BYTES;

/// The image being written, from the front to the back.
#[derive(Debug)]
pub(crate) struct Output<W: Write + Seek> {
    writer: BufWriter<W>,
    /// Where the next byte goes.
    position: u64,
    /// How far the writer's own position is behind.
    hole: u64,
}

impl<W: Write + Seek> Output<W> {
    /// Starts after the first block, which is the superblock's.
    pub fn new(writer: W) -> Output<W> {
        Output {
            writer: BufWriter::with_capacity(BUFFER_BYTES, writer),
            position: BLOCK_BYTES,
            hole: BLOCK_BYTES,
        }
    }

    /// Where the next byte goes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The block that the next byte starts.
    pub fn block(&self) -> u32 {
        // `advance` keeps block numbers below 2^32.
        u32::try_from(self.position / BLOCK_BYTES).unwrap_or(u32::MAX)
    }

    /// Writes zeros up to the next block.
    pub fn pad_to_block(&mut self) -> Result<()> {
        let missing = self.position.next_multiple_of(BLOCK_BYTES) - self.position;
        let missing = usize::try_from(missing).unwrap_or(0);
        self.write_all(&[0; BLOCK_SIZE][..missing])
    }

    /// Writes bytes, and leaves long runs of zeros out.
    pub fn write_sparse(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(HOLE_BYTES) {
            if piece.len() == HOLE_BYTES && is_zero(piece) {
                self.skip(piece.len() as u64)?;
            } else {
                self.write_all(piece)?;
            }
        }
        Ok(())
    }

    /// Writes bytes as they are.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.advance(bytes.len() as u64)?;
        if self.hole > 0 {
            let hole = i64::try_from(self.hole).map_err(|_| ImageError::ImageTooLarge)?;
            let sought = self.writer.seek(SeekFrom::Current(hole));
            sought.map_err(ImageError::Write)?;
            self.hole = 0;
        }
        self.writer.write_all(bytes).map_err(ImageError::Write)
    }

    /// Passes over bytes, which read as zero.
    pub fn skip(&mut self, bytes: u64) -> Result<()> {
        self.advance(bytes)?;
        self.hole += bytes;
        Ok(())
    }

    /// Writes the first block and hands the writer back. The last bytes were written, not
    /// skipped.
    pub fn finish(mut self, first: &[u8; BLOCK_SIZE]) -> Result<W> {
        let write = |writer: &mut BufWriter<W>| {
            writer.seek(SeekFrom::Start(0))?;
            writer.write_all(first)?;
            writer.flush()
        };
        write(&mut self.writer).map_err(ImageError::Write)?;
        let writer = self.writer.into_inner();
        writer.map_err(|error| ImageError::Write(error.into_error()))
    }

    fn advance(&mut self, bytes: u64) -> Result<()> {
        let position = self.position.checked_add(bytes);
        self.position = position
            .filter(|position| *position <= IMAGE_BYTES_MAX)
            .ok_or(ImageError::ImageTooLarge)?;
        Ok(())
    }
}

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|byte| *byte == 0)
}
