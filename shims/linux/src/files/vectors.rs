//! Scatter lists of the guest, readv(2).

use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::io::Segment;
use capsid_platform::GuestAddr;
use core::ops::Deref;

/// The most that one transfer moves, in bytes (Linux's `MAX_RW_COUNT`).
pub const MAX_TRANSFER_BYTES: usize = 0x7fff_f000;
/// The most segments (`UIO_MAXIOV`).
const SEGMENTS_MAX: usize = 1024;
/// Lists up to this length need no allocation.
const SHORT: usize = 8;
const IOVEC_BYTES: usize = 16;

const NOTHING: Segment = Segment {
    address: GuestAddr::NULL,
    length: 0,
};

/// Segments of guest memory, together at most [`MAX_TRANSFER_BYTES`].
#[derive(Debug)]
pub struct IoVectors(Segments);

#[derive(Debug)]
enum Segments {
    Short([Segment; SHORT], usize),
    Long(Vec<Segment>),
}

impl IoVectors {
    /// One buffer.
    #[must_use]
    pub fn one(address: GuestAddr, length: usize) -> IoVectors {
        let mut segments = [NOTHING; SHORT];
        segments[0] = Segment {
            address,
            length: length.min(MAX_TRANSFER_BYTES),
        };
        IoVectors(Segments::Short(segments, 1))
    }

    /// Reads a list: `EINVAL` for too many segments or a negative length, `EFAULT`.
    pub fn read(address: GuestAddr, count: usize) -> Result<IoVectors, Errno> {
        if count > SEGMENTS_MAX {
            return Err(Errno::EINVAL);
        }
        if count <= SHORT {
            let mut raw = [0; SHORT * IOVEC_BYTES];
            let raw = raw.get_mut(..count * IOVEC_BYTES).unwrap_or_default();
            let mut segments = [NOTHING; SHORT];
            address.read(raw)?;
            parse(raw, &mut segments)?;
            return Ok(IoVectors(Segments::Short(segments, count)));
        }
        let mut raw = alloc::vec![0; count * IOVEC_BYTES];
        let mut segments = alloc::vec![NOTHING; count];
        address.read(&mut raw)?;
        parse(&raw, &mut segments)?;
        Ok(IoVectors(Segments::Long(segments)))
    }
}

fn parse(raw: &[u8], segments: &mut [Segment]) -> Result<(), Errno> {
    let (entries, _) = raw.as_chunks::<IOVEC_BYTES>();
    let mut left = MAX_TRANSFER_BYTES;
    for (entry, segment) in entries.iter().zip(segments) {
        let (base, length) = entry.split_at(IOVEC_BYTES / 2);
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let length = word(length);
        if length.cast_signed() < 0 {
            return Err(Errno::EINVAL);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(left);
        left -= length;
        *segment = Segment {
            address: GuestAddr(word(base)),
            length,
        };
    }
    Ok(())
}

impl Deref for IoVectors {
    type Target = [Segment];

    fn deref(&self) -> &[Segment] {
        match &self.0 {
            Segments::Short(segments, count) => segments.get(..*count).unwrap_or_default(),
            Segments::Long(segments) => segments,
        }
    }
}
