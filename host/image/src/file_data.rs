//! The bytes of files, in whole blocks.
//!
//! A file's bytes stand in one run, so that any part of it can be mapped at once. Large files are
//! mapped chunk by chunk instead, and chunks of zeros take no space at all: a sparse file stays
//! small. The layout depends on the bytes only, not on how the source stored them.

use crate::error::{ImageError, Result};
use crate::output::{BLOCK_BYTES, Output, is_zero};
use capsid_core::fs::erofs::format::{BLOCK_BITS, BLOCK_SIZE, CHUNK_BITS_MASK, HOLE};
use std::io::{Seek, Write};

/// Files of at least this size are chunked.
const CHUNKED_BYTES_MIN: u64 = 64 << 20;
/// The smallest chunk is 16 blocks, and chunks grow so that a file has about this many at most.
const CHUNK_BITS_MIN: u32 = 4;
const CHUNKS_MAX: u64 = 1 << 16;

/// Where the bytes of a file went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileData {
    /// Number of bytes.
    pub size: u64,
    pub place: FilePlace,
}

/// The blocks of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FilePlace {
    /// Consecutive, from this one on.
    Run(u32),
    /// Those of each chunk.
    Chunks {
        /// Binary logarithm of the blocks of one chunk.
        bits: u32,
        /// The first block of each, or [`HOLE`].
        blocks: Box<[u32]>,
    },
}

impl FileData {
    /// How much memory it takes beside itself.
    pub fn memory_bytes(&self) -> usize {
        match &self.place {
            FilePlace::Run(_) => 0,
            FilePlace::Chunks { blocks, .. } => size_of_val::<[u32]>(blocks),
        }
    }
}

/// A file being written. It starts at a block.
#[derive(Debug)]
pub(crate) struct FileWriter {
    size: u64,
    first: u32,
    chunks: Option<Chunks>,
}

#[derive(Debug)]
struct Chunks {
    bits: u32,
    blocks: Vec<u32>,
    /// The zeros that the chunk started with, while it has nothing else.
    zeros: Option<u64>,
}

impl FileWriter {
    /// Starts a file of about `expected` bytes: how many there are in the end decides.
    pub fn new<W: Write + Seek>(output: &Output<W>, expected: u64) -> FileWriter {
        let chunked = expected >= CHUNKED_BYTES_MIN;
        let bits = (CHUNK_BITS_MIN..CHUNK_BITS_MASK)
            .find(|bits| expected >> (u32::from(BLOCK_BITS) + bits) < CHUNKS_MAX);
        FileWriter {
            size: 0,
            first: output.block(),
            chunks: chunked.then(|| Chunks {
                bits: bits.unwrap_or(CHUNK_BITS_MASK),
                blocks: Vec::new(),
                zeros: Some(0),
            }),
        }
    }

    /// Appends bytes.
    pub fn write<W: Write + Seek>(&mut self, output: &mut Output<W>, bytes: &[u8]) -> Result<()> {
        if self.chunks.is_none() {
            self.size += bytes.len() as u64;
            return output.write_sparse(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
            let all_zero = self
                .chunks
                .as_ref()
                .is_some_and(|chunks| chunks.zeros.is_some());
            // As long as a chunk has but zeros, look on in small steps.
            let step = if all_zero { room.min(BLOCK_SIZE) } else { room };
            let (piece, after) = rest.split_at(step.min(rest.len()));
            rest = after;
            if all_zero && is_zero(piece) {
                self.skip(output, piece.len() as u64)?;
            } else {
                self.begin_chunk(output)?;
                output.write_sparse(piece)?;
                self.advance(piece.len() as u64);
            }
        }
        Ok(())
    }

    /// Appends zeros.
    pub fn skip<W: Write + Seek>(&mut self, output: &mut Output<W>, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            let step = bytes.min(self.room());
            match self
                .chunks
                .as_mut()
                .and_then(|chunks| chunks.zeros.as_mut())
            {
                Some(zeros) => *zeros += step,
                None => output.skip(step)?,
            }
            self.advance(step);
            bytes -= step;
        }
        Ok(())
    }

    /// Ends the file: fills its last block, and says where it is.
    pub fn finish<W: Write + Seek>(mut self, output: &mut Output<W>) -> Result<FileData> {
        output.pad_to_block()?;
        let place = match self.chunks.take() {
            None if self.size == 0 => FilePlace::Run(0),
            None => FilePlace::Run(self.first),
            Some(mut chunks) => {
                if !self.size.is_multiple_of(chunks.bytes()) && chunks.zeros.is_some() {
                    chunks.blocks.push(HOLE);
                }
                FilePlace::Chunks {
                    bits: chunks.bits,
                    blocks: chunks.blocks.into(),
                }
            }
        };
        let size = self.size;
        // Linux has no larger files.
        if i64::try_from(size).is_err() {
            return Err(ImageError::ImageTooLarge);
        }
        Ok(FileData { size, place })
    }

    /// How many bytes the current chunk has room for.
    fn room(&self) -> u64 {
        match &self.chunks {
            Some(chunks) => chunks.bytes() - self.size % chunks.bytes(),
            None => u64::MAX - self.size,
        }
    }

    /// Gives the current chunk its place, if it has none, and its zeros.
    fn begin_chunk<W: Write + Seek>(&mut self, output: &mut Output<W>) -> Result<()> {
        if let Some(chunks) = &mut self.chunks
            && let Some(zeros) = chunks.zeros.take()
        {
            chunks.blocks.push(output.block());
            output.skip(zeros)?;
        }
        Ok(())
    }

    fn advance(&mut self, bytes: u64) {
        self.size += bytes;
        if let Some(chunks) = &mut self.chunks
            && self.size.is_multiple_of(chunks.bytes())
            && chunks.zeros.replace(0).is_some()
        {
            chunks.blocks.push(HOLE);
        }
    }
}

impl Chunks {
    fn bytes(&self) -> u64 {
        BLOCK_BYTES << self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::{FileData, FilePlace, FileWriter};
    use crate::output::Output;
    use capsid_core::fs::erofs::format::HOLE;

    const CHUNK: usize = 64 << 10;

    fn written(pieces: &[(u64, &[u8])], expected: u64) -> (FileData, u64) {
        let mut output = Output::new(std::io::empty());
        let mut file = FileWriter::new(&output, expected);
        for (zeros, bytes) in pieces {
            file.skip(&mut output, *zeros).unwrap();
            file.write(&mut output, bytes).unwrap();
        }
        (file.finish(&mut output).unwrap(), output.position())
    }

    #[test]
    fn zero_chunks_take_no_space() {
        let mut bytes = vec![0; 3 * CHUNK + 100];
        bytes[2 * CHUNK + 5000] = 1;
        let (data, end) = written(&[(0, &bytes)], 64 << 20);
        let blocks = vec![HOLE, HOLE, 1, HOLE].into();
        assert_eq!(data.place, FilePlace::Chunks { bits: 4, blocks });
        assert_eq!(data.size, bytes.len() as u64);
        assert_eq!(end, 4096 + CHUNK as u64);
        // Skipped or written, zeros are the same.
        let split = written(&[(2 * CHUNK as u64, &bytes[2 * CHUNK..])], 64 << 20);
        assert_eq!(split, (data, end));
    }

    #[test]
    fn chunks_grow_with_the_file() {
        let (data, _) = written(
            &[(1 << 40, b"x"), (1 << 62, b"")],
            (1 << 40) + (1 << 62) + 1,
        );
        let FilePlace::Chunks { bits, blocks } = data.place else {
            panic!("a file of this size is chunked");
        };
        assert_eq!(bits, 31);
        assert_eq!(blocks.len(), (1 << 19) + 1);
        assert_eq!(blocks.iter().filter(|block| **block != HOLE).count(), 1);
    }

    #[test]
    fn small_files_are_one_run() {
        let (data, end) = written(&[(100, b"abc"), (5000, b"")], 5103);
        assert_eq!(data.place, FilePlace::Run(1));
        assert_eq!((data.size, end), (5103, 4096 * 3));
        let (empty, end) = written(&[], 0);
        assert_eq!((empty.place, end), (FilePlace::Run(0), 4096));
    }
}
