//! Guest addresses: numbers that a guest alleges to be pointers.
//!
//! A guest address is never dereferenced. The only ways to the bytes behind one are the copies of
//! [`crate::Platform`], which can fail; the functions here are those copies with `EFAULT` in place
//! of a count.

use crate::{Errno, PAGE_SIZE, platform};
use core::ops::Range;

/// An address that a guest named. Any value is possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestAddr(pub u64);

/// A range of guest addresses; `start <= end` always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GuestRange {
    start: u64,
    end: u64,
}

impl GuestAddr {
    /// The null pointer, which most calls take for "not given".
    pub const NULL: GuestAddr = GuestAddr(0);

    /// Whether this is the null pointer.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address `bytes` further on; `EFAULT` if it wraps.
    pub fn offset(self, bytes: u64) -> Result<GuestAddr, Errno> {
        self.0
            .checked_add(bytes)
            .map(GuestAddr)
            .ok_or(Errno::EFAULT)
    }

    /// Whether the address is a multiple of the page size.
    #[must_use]
    pub fn is_page_aligned(self) -> bool {
        self.0.is_multiple_of(PAGE_SIZE as u64)
    }

    /// Fills `destination` from guest memory; `EFAULT` if any byte is not readable.
    pub fn read(self, destination: &mut [u8]) -> Result<(), Errno> {
        let wanted = destination.len();
        if platform().copy_from_guest(destination, self) == wanted {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Copies `source` to guest memory; `EFAULT` if any byte is not writable (bytes before it are
    /// written).
    pub fn write(self, source: &[u8]) -> Result<(), Errno> {
        if platform().copy_to_guest(self, source) == source.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Reads `N` bytes.
    pub fn read_array<const N: usize>(self) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a little-endian `u32`.
    pub fn read_u32(self) -> Result<u32, Errno> {
        self.read_array().map(u32::from_le_bytes)
    }

    /// Reads a little-endian `u64`.
    pub fn read_u64(self) -> Result<u64, Errno> {
        self.read_array().map(u64::from_le_bytes)
    }

    /// Writes a little-endian `u32`.
    pub fn write_u32(self, value: u32) -> Result<(), Errno> {
        self.write(&value.to_le_bytes())
    }

    /// Writes a little-endian `u64`.
    pub fn write_u64(self, value: u64) -> Result<(), Errno> {
        self.write(&value.to_le_bytes())
    }
}

impl GuestRange {
    /// The range of `length` bytes from `start`; `None` if it wraps.
    #[must_use]
    pub fn new(start: GuestAddr, length: u64) -> Option<GuestRange> {
        let end = start.0.checked_add(length)?;
        Some(GuestRange {
            start: start.0,
            end,
        })
    }

    /// The range between two addresses; `None` if `end` lies before `start`.
    #[must_use]
    pub fn between(start: u64, end: u64) -> Option<GuestRange> {
        (start <= end).then_some(GuestRange { start, end })
    }

    /// The first address.
    #[must_use]
    pub fn start(self) -> u64 {
        self.start
    }

    /// The address after the last.
    #[must_use]
    pub fn end(self) -> u64 {
        self.end
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether the range has no bytes.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether `address` lies inside.
    #[must_use]
    pub fn contains(self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    /// Whether all of `other` lies inside.
    #[must_use]
    pub fn encloses(self, other: GuestRange) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two share an address.
    #[must_use]
    pub fn overlaps(self, other: GuestRange) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The same range as a standard one.
    #[must_use]
    pub fn as_range(self) -> Range<u64> {
        self.start..self.end
    }
}
