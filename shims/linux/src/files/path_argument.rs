//! Path strings of the guest.

use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::PATH_MAX;
use capsid_platform::{GuestAddr, PAGE_SIZE, platform};
use core::ops::Deref;

/// Paths up to this length are kept on the stack, and mostly copied at once.
const SHORT_BYTES: usize = 256;
/// The first copy, in bytes: most paths are shorter.
const FIRST_BYTES: usize = 64;

/// A path that was copied from the guest, without its terminator.
#[derive(Debug)]
pub struct PathArgument(Bytes);

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "short paths are the usual ones, and shall need no allocation"
)]
enum Bytes {
    Short([u8; SHORT_BYTES], usize),
    Long(Vec<u8>),
}

impl PathArgument {
    /// Copies a string: `EFAULT`, and `ENAMETOOLONG` if no terminator comes within `PATH_MAX`.
    pub fn read(address: GuestAddr) -> Result<PathArgument, Errno> {
        let mut short = [0; SHORT_BYTES];
        let mut filled = 0;
        while filled < SHORT_BYTES {
            let wanted = if filled == 0 {
                FIRST_BYTES
            } else {
                SHORT_BYTES - filled
            };
            let chunk = short.get_mut(filled..filled + wanted).unwrap_or_default();
            let copied = copy_within_page(chunk, address.offset(filled as u64)?)?;
            if let Some(end) = terminator(chunk.get(..copied).unwrap_or_default()) {
                return Ok(PathArgument(Bytes::Short(short, filled + end)));
            }
            filled += copied;
        }
        PathArgument::read_long(address)
    }

    #[cold]
    fn read_long(address: GuestAddr) -> Result<PathArgument, Errno> {
        let mut long = alloc::vec![0; PATH_MAX];
        let mut filled = 0;
        while filled < PATH_MAX {
            let chunk = long.get_mut(filled..).unwrap_or_default();
            let copied = copy_within_page(chunk, address.offset(filled as u64)?)?;
            if let Some(end) = terminator(chunk.get(..copied).unwrap_or_default()) {
                long.truncate(filled + end);
                return Ok(PathArgument(Bytes::Long(long)));
            }
            filled += copied;
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// Copies a string, or takes the null pointer for an empty one.
    pub fn read_optional(address: GuestAddr) -> Result<PathArgument, Errno> {
        if address.is_null() {
            return Ok(PathArgument(Bytes::Short([0; SHORT_BYTES], 0)));
        }
        PathArgument::read(address)
    }
}

/// Copies up to the end of the page: the next one need not be there. `EFAULT` if nothing could be
/// copied.
fn copy_within_page(chunk: &mut [u8], address: GuestAddr) -> Result<usize, Errno> {
    let in_page = usize::try_from(address.0 % PAGE_SIZE as u64).map_err(|_| Errno::EFAULT)?;
    let length = chunk.len().min(PAGE_SIZE - in_page);
    let chunk = chunk.get_mut(..length).unwrap_or_default();
    match platform().copy_from_guest(chunk, address) {
        0 => Err(Errno::EFAULT),
        copied => Ok(copied),
    }
}

fn terminator(bytes: &[u8]) -> Option<usize> {
    // Word by word, as the standard library's search is.
    core::ffi::CStr::from_bytes_until_nul(bytes)
        .ok()
        .map(core::ffi::CStr::count_bytes)
}

impl Deref for PathArgument {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short(bytes, length) => bytes.get(..*length).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
        }
    }
}
