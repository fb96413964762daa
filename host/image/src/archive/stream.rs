//! The stream of blocks: headers, extended headers, data. tar(5), pax(1).
//!
//! The framing is our own, so that no header can ask for more memory than
//! [`EXTENDED_HEADER_BYTES_MAX`], and extended headers may hold any bytes.

use super::Decoder;
use super::fields::{BLOCK_BYTES, header, is_header, unsigned};
use super::member::{Member, Sparseness};
use super::pax::Records;
use super::sparse::{Map, SEGMENTS_MAX, Segment};
use crate::error::{ImageError, Refusal, Result};
use crate::tree::refused;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use tar::{GnuExtSparseHeader, GnuSparseHeader};

/// The largest extended header, long name or long target: Linux allows 64 KiB for one attribute.
const EXTENDED_HEADER_BYTES_MAX: u64 = 1 << 20;

type Block = [u8; BLOCK_BYTES];

pub(super) struct Stream<'a> {
    reader: Decoder<'a>,
    /// Bytes of the current member that were not read yet.
    left: u64,
    /// Bytes that fill its last block.
    padding: u64,
    /// Records that hold for all members to come.
    global: Records,
    /// The last path seen, for errors.
    path: Vec<u8>,
}

/// The error for bytes that make no sense.
pub(super) fn damaged(path: &[u8], source: io::Error) -> ImageError {
    ImageError::Damaged {
        place: PathBuf::from(OsStr::from_bytes(path)),
        source,
    }
}

impl<'a> Stream<'a> {
    pub fn new(reader: Decoder<'a>) -> Stream<'a> {
        Stream {
            reader,
            left: 0,
            padding: 0,
            global: Records::default(),
            path: Vec::new(),
        }
    }

    /// The bytes of the current member.
    pub fn data(&mut self) -> impl Read + '_ {
        Data(self)
    }

    /// Goes to the next member; `None` at the end.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        self.skip_rest()?;
        let mut records = self.global.clone();
        let (mut long_path, mut long_target) = (None, None);
        let mut has_extensions = false;
        loop {
            let Some(block) = self.header_block()? else {
                if has_extensions {
                    return Err(self.damaged("an extended header without a member"));
                }
                return Ok(None);
            };
            let header = header(&block);
            match header.entry_type().as_byte() {
                b'x' | b'X' => {
                    let bytes = self.extended(&block)?;
                    records.add(&bytes).map_err(|reason| self.refused(reason))?;
                }
                b'g' => {
                    let bytes = self.extended(&block)?;
                    let added = self.global.add(&bytes);
                    added.map_err(|reason| self.refused(reason))?;
                    records = self.global.clone();
                    continue;
                }
                b'L' => long_path = Some(without_zeros(self.extended(&block)?)),
                b'K' => long_target = Some(without_zeros(self.extended(&block)?)),
                // The name of the volume.
                b'V' => continue,
                _ => {
                    // GNU's long names stand nearest to the member.
                    records.path = long_path.or(records.path);
                    records.target = long_target.or(records.target);
                    self.path = Member::path_of(header, &records);
                    let member = Member::new(header, records);
                    let member = member.map_err(|reason| self.refused(reason))?;
                    self.set_data(member.stored)?;
                    return Ok(Some(member));
                }
            }
            has_extensions = true;
        }
    }

    /// Where the bytes of the member belong. Reads the map where it stands in the stream.
    pub fn sparse_map(&mut self, member: &Member) -> Result<Map> {
        let map = match &member.sparseness {
            Sparseness::None => return Ok(Map::whole(member.stored)),
            Sparseness::Records(records) => Map::from_records(records, member.stored),
            Sparseness::Header(header) => {
                let gnu = header
                    .as_gnu()
                    .ok_or_else(|| self.refused(Refusal::BadSparseMap))?;
                let mut segments = Vec::new();
                let added = add_segments(&mut segments, &gnu.sparse);
                added.map_err(|reason| self.refused(reason))?;
                let mut more = gnu.isextended[0] != 0;
                while more {
                    let block = self.block()?.ok_or_else(|| self.cut_short())?;
                    let mut extension = GnuExtSparseHeader::new();
                    extension.as_mut_bytes().copy_from_slice(&block);
                    let added = add_segments(&mut segments, &extension.sparse);
                    added.map_err(|reason| self.refused(reason))?;
                    more = extension.isextended[0] != 0;
                }
                let size = unsigned(&gnu.realsize);
                let size = size.ok_or_else(|| self.refused(Refusal::BadSparseMap))?;
                Map::new(segments, size, member.stored)
            }
            Sparseness::Prefix(size) => {
                let segments = self.sparse_prefix()?;
                Map::new(segments, *size, self.left)
            }
        };
        map.map_err(|reason| self.refused(reason))
    }

    /// The map in front of the data: decimal numbers, one a line, padded to whole blocks. The
    /// first says how many pairs follow.
    fn sparse_prefix(&mut self) -> Result<Vec<Segment>> {
        let mut block: Block = [0; BLOCK_BYTES];
        let mut at = BLOCK_BYTES;
        let mut segments = Vec::new();
        let mut pairs: Option<u64> = None;
        let mut offset = None;
        loop {
            if pairs == Some(0) {
                return Ok(segments);
            }
            let mut number: Option<u64> = None;
            loop {
                if at == BLOCK_BYTES {
                    let read = Data(self).read_exact(&mut block);
                    read.map_err(|error| damaged(&self.path, error))?;
                    at = 0;
                }
                let byte = block[at];
                at += 1;
                number = match (byte, number) {
                    (b'\n', Some(_)) => break,
                    (b'0'..=b'9', number) => {
                        let number = number.unwrap_or(0).checked_mul(10);
                        number.and_then(|number| number.checked_add(u64::from(byte - b'0')))
                    }
                    _ => None,
                };
                if number.is_none() {
                    return Err(self.refused(Refusal::BadSparseMap));
                }
            }
            match (&mut pairs, number, offset.take()) {
                (pairs @ None, number, _) => *pairs = number,
                (Some(_), number, None) => offset = number,
                (Some(pairs), Some(length), Some(offset)) => {
                    *pairs -= 1;
                    segments.push(Segment { offset, length });
                }
                _ => {}
            }
            if segments.len() > SEGMENTS_MAX {
                return Err(self.refused(Refusal::BadSparseMap));
            }
        }
    }

    /// Reads to the end of the stream, for the checksum there.
    pub fn drain(&mut self) -> Result<()> {
        let drained = io::copy(&mut self.reader, &mut io::sink());
        drained
            .map(drop)
            .map_err(|error| damaged(&self.path, error))
    }

    /// The next header; `None` at the end of the archive.
    fn header_block(&mut self) -> Result<Option<Block>> {
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !is_header(&block) {
            return Err(self.damaged("the checksum of a header is wrong"));
        }
        Ok(Some(block))
    }

    /// The next block; `None` at the end of the stream.
    fn block(&mut self) -> Result<Option<Block>> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.cut_short()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(damaged(&self.path, error)),
            }
        }
        Ok(Some(block))
    }

    /// The bytes of an extended header.
    fn extended(&mut self, block: &Block) -> Result<Vec<u8>> {
        let size = unsigned(&header(block).as_old().size);
        let size = size.filter(|size| *size <= EXTENDED_HEADER_BYTES_MAX);
        self.set_data(size.ok_or_else(|| self.refused(Refusal::BadExtendedHeader))?)?;
        let mut bytes = Vec::new();
        let read = Data(self).read_to_end(&mut bytes);
        read.map_err(|error| damaged(&self.path, error))?;
        self.skip_rest()?;
        Ok(bytes)
    }

    fn set_data(&mut self, size: u64) -> Result<()> {
        let block = BLOCK_BYTES as u64;
        let padded = size.checked_next_multiple_of(block);
        let padded = padded.ok_or_else(|| self.refused(Refusal::BadNumber))?;
        (self.left, self.padding) = (size, padded - size);
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<()> {
        let rest = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.reader).take(rest), &mut io::sink());
        let skipped = skipped.map_err(|error| damaged(&self.path, error))?;
        // A last block that is not filled hurts nobody.
        if skipped < self.left {
            return Err(self.cut_short());
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn cut_short(&self) -> ImageError {
        damaged(&self.path, io::ErrorKind::UnexpectedEof.into())
    }

    fn damaged(&self, what: &'static str) -> ImageError {
        let error = io::Error::new(io::ErrorKind::InvalidData, what);
        damaged(&self.path, error)
    }

    fn refused(&self, reason: Refusal) -> ImageError {
        refused(&self.path, reason)
    }
}

/// Reads the bytes of the current member, and no more. An end before theirs is an error.
struct Data<'s, 'a>(&'s mut Stream<'a>);

impl Read for Data<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.0.left).unwrap_or(usize::MAX);
        let room = room.min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.0.reader.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.left -= count as u64;
        Ok(count)
    }
}

/// Long names end with a zero byte.
fn without_zeros(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}

/// Adds the segments of a header. Unused ones are blank.
fn add_segments(
    segments: &mut Vec<Segment>,
    raw: &[GnuSparseHeader],
) -> std::result::Result<(), Refusal> {
    for raw in raw {
        if raw.offset[0] == 0 || raw.numbytes[0] == 0 {
            continue;
        }
        let offset = unsigned(&raw.offset).ok_or(Refusal::BadSparseMap)?;
        let length = unsigned(&raw.numbytes).ok_or(Refusal::BadSparseMap)?;
        segments.push(Segment { offset, length });
    }
    if segments.len() > SEGMENTS_MAX {
        return Err(Refusal::BadSparseMap);
    }
    Ok(())
}
