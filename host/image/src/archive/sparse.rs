//! The maps of sparse files: where the bytes of a member belong.

use super::pax::SparseRecords;
use crate::error::Refusal;

/// The most segments of one file: as many bytes of memory as the largest extended header.
pub(super) const SEGMENTS_MAX: usize = 1 << 20;

/// A run of bytes that the archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it belongs in the file.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// Where the bytes of a file belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Map {
    /// The runs, in order, without overlap, within the size.
    pub segments: Vec<Segment>,
    /// The size of the file, holes included.
    pub size: u64,
}

impl Map {
    /// A file without holes.
    pub fn whole(size: u64) -> Map {
        Map {
            segments: vec![Segment {
                offset: 0,
                length: size,
            }],
            size,
        }
    }

    /// Checks a map against the file's size and the bytes that the archive holds.
    pub fn new(segments: Vec<Segment>, size: u64, stored: u64) -> Result<Map, Refusal> {
        let mut position = 0u64;
        let mut sum = 0u64;
        for segment in &segments {
            let end = segment.offset.checked_add(segment.length);
            let end = end.filter(|end| segment.offset >= position && *end <= size);
            position = end.ok_or(Refusal::BadSparseMap)?;
            // Segments do not overlap: the sum is at most the size.
            sum += segment.length;
        }
        if sum != stored || segments.len() > SEGMENTS_MAX {
            return Err(Refusal::BadSparseMap);
        }
        Ok(Map { segments, size })
    }

    /// The map in an extended header: GNU's formats 0.0 and 0.1.
    pub fn from_records(records: &SparseRecords, stored: u64) -> Result<Map, Refusal> {
        let map = records.map.as_deref().unwrap_or_default();
        let size = records.size.ok_or(Refusal::BadSparseMap)?;
        let (pairs, rest) = map.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Refusal::BadSparseMap);
        }
        let segments = pairs.iter().map(|[offset, length]| Segment {
            offset: *offset,
            length: *length,
        });
        Map::new(segments.collect(), size, stored)
    }
}

#[cfg(test)]
mod tests {
    use super::{Map, Segment};

    #[test]
    fn maps_are_checked() {
        let segments = |pairs: &[(u64, u64)]| {
            let pairs = pairs.iter();
            let segments = pairs.map(|(offset, length)| Segment {
                offset: *offset,
                length: *length,
            });
            segments.collect::<Vec<_>>()
        };
        assert!(Map::new(segments(&[(0, 5), (10, 5), (20, 0)]), 20, 10).is_ok());
        assert!(Map::new(segments(&[(0, 5), (4, 5)]), 20, 10).is_err());
        assert!(Map::new(segments(&[(0, 5)]), 20, 6).is_err());
        assert!(Map::new(segments(&[(16, 5)]), 20, 5).is_err());
        assert!(Map::new(segments(&[(u64::MAX, 5)]), u64::MAX, 5).is_err());
        assert!(Map::new(segments(&[]), u64::MAX, 0).is_ok());
    }
}
