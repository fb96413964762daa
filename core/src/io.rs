//! Scatter and gather: where the bytes of one read or write go.
//!
//! A file system is handed a [`Destination`] or a [`Source`] and moves bytes straight between its
//! storage and guest memory, with no buffer between. Both remember how far they got. A fault
//! after some bytes were moved ends the transfer short, as Linux does; a fault on the first byte
//! is `EFAULT`.

use capsid_platform::{Errno, GuestAddr, HostFile, IoSource, IoTarget, PoolPage, platform};

/// One piece of guest memory, as in an iovec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first byte.
    pub address: GuestAddr,
    /// Number of bytes.
    pub length: usize,
}

/// The pieces of a transfer and how far it has come.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    segments: &'a [Segment],
    /// Bytes used of the first segment.
    used: usize,
    remaining: usize,
}

impl<'a> Cursor<'a> {
    fn new(segments: &'a [Segment]) -> Cursor<'a> {
        // Callers limit the sum to MAX_RW_COUNT; saturation keeps a wrong one harmless.
        let remaining = segments
            .iter()
            .fold(0, |sum: usize, s| sum.saturating_add(s.length));
        Cursor {
            segments,
            used: 0,
            remaining,
        }
    }

    /// The next piece, at most `limit` bytes.
    fn piece(&mut self, limit: usize) -> Option<(GuestAddr, usize)> {
        loop {
            let first = self.segments.first()?;
            let left = first.length - self.used;
            if left == 0 {
                self.segments = self.segments.get(1..)?;
                self.used = 0;
                continue;
            }
            let length = left.min(limit).min(self.remaining);
            let address = GuestAddr(first.address.0.wrapping_add(self.used as u64));
            return (length > 0).then_some((address, length));
        }
    }

    fn truncate(&mut self, bytes: usize) {
        self.remaining = self.remaining.min(bytes);
    }

    fn advance(&mut self, bytes: usize) {
        self.used += bytes;
        self.remaining -= bytes;
    }

    /// Moves up to `limit` bytes, piece by piece: `step(address, offset, length)` moves one piece
    /// and says how much of it. Stops at the first short piece.
    fn transfer(
        &mut self,
        limit: usize,
        mut step: impl FnMut(GuestAddr, usize, usize) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        while done < limit {
            let Some((address, length)) = self.piece(limit - done) else {
                break;
            };
            match step(address, done, length) {
                Ok(moved) => {
                    self.advance(moved);
                    done += moved;
                    if moved < length {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// Where the bytes of a read go.
#[derive(Debug)]
pub struct Destination<'a>(Side<'a, &'a mut [u8]>);

/// Where the bytes of a write come from.
#[derive(Debug)]
pub struct Source<'a>(Side<'a, &'a [u8]>);

#[derive(Debug)]
enum Side<'a, K> {
    Guest(Cursor<'a>),
    Kernel(K),
}

/// Turns "nothing could be copied" into `EFAULT`.
fn faulting(copied: usize, wanted: usize) -> Result<usize, Errno> {
    if copied == 0 && wanted > 0 {
        Err(Errno::EFAULT)
    } else {
        Ok(copied)
    }
}

impl<'a> Destination<'a> {
    /// Guest memory, filled segment by segment.
    #[must_use]
    pub fn guest(segments: &'a [Segment]) -> Destination<'a> {
        Destination(Side::Guest(Cursor::new(segments)))
    }

    /// Memory of the library OS.
    #[must_use]
    pub fn kernel(bytes: &'a mut [u8]) -> Destination<'a> {
        Destination(Side::Kernel(bytes))
    }

    /// How many bytes still fit.
    #[must_use]
    pub fn remaining(&self) -> usize {
        match &self.0 {
            Side::Guest(cursor) => cursor.remaining,
            Side::Kernel(bytes) => bytes.len(),
        }
    }

    /// Lets at most `bytes` more in.
    pub fn truncate(&mut self, bytes: usize) {
        match &mut self.0 {
            Side::Guest(cursor) => cursor.truncate(bytes),
            Side::Kernel(target) => {
                let length = target.len().min(bytes);
                *target = &mut core::mem::take(target)[..length];
            }
        }
    }

    /// Copies as much of `bytes` as fits and returns how much.
    pub fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        self.fill(bytes.len(), |offset, target| {
            let wanted = target.len();
            let piece = bytes.get(offset..offset + wanted).ok_or(Errno::EINVAL)?;
            match target {
                IoTarget::Guest(address, _) => {
                    faulting(platform().copy_to_guest(address, piece), wanted)
                }
                IoTarget::Kernel(target) => {
                    target.copy_from_slice(piece);
                    Ok(wanted)
                }
            }
        })
    }

    /// Writes up to `count` zero bytes.
    pub fn put_zeros(&mut self, count: usize) -> Result<usize, Errno> {
        static ZEROS: [u8; 4096] = [0; 4096];
        let mut done = 0;
        while done < count {
            let wanted = (count - done).min(ZEROS.len());
            match self.put(&ZEROS[..wanted]) {
                Ok(moved) => {
                    done += moved;
                    if moved < wanted {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Copies up to `count` bytes from the page pool.
    pub fn put_pool(
        &mut self,
        page: PoolPage,
        offset: usize,
        count: usize,
    ) -> Result<usize, Errno> {
        self.fill(count, |done, target| {
            let wanted = target.len();
            faulting(platform().pool_read(page, offset + done, target), wanted)
        })
    }

    /// Reads up to `count` bytes of a donated host file at `offset`.
    pub fn put_host(&mut self, file: HostFile, offset: u64, count: usize) -> Result<usize, Errno> {
        self.fill(count, |done, target| {
            platform().host_read(file, offset + done as u64, target)
        })
    }

    fn fill(
        &mut self,
        count: usize,
        mut step: impl FnMut(usize, IoTarget<'_>) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        match &mut self.0 {
            Side::Guest(cursor) => cursor.transfer(count, |address, done, length| {
                step(done, IoTarget::Guest(address, length))
            }),
            Side::Kernel(bytes) => {
                let count = count.min(bytes.len());
                let moved = step(0, IoTarget::Kernel(&mut bytes[..count]))?.min(count);
                *bytes = &mut core::mem::take(bytes)[moved..];
                Ok(moved)
            }
        }
    }
}

impl<'a> Source<'a> {
    /// Guest memory, taken segment by segment.
    #[must_use]
    pub fn guest(segments: &'a [Segment]) -> Source<'a> {
        Source(Side::Guest(Cursor::new(segments)))
    }

    /// Memory of the library OS.
    #[must_use]
    pub fn kernel(bytes: &'a [u8]) -> Source<'a> {
        Source(Side::Kernel(bytes))
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        match &self.0 {
            Side::Guest(cursor) => cursor.remaining,
            Side::Kernel(bytes) => bytes.len(),
        }
    }

    /// Leaves at most `bytes`.
    pub fn truncate(&mut self, bytes: usize) {
        match &mut self.0 {
            Side::Guest(cursor) => cursor.truncate(bytes),
            Side::Kernel(source) => *source = source.get(..bytes).unwrap_or(source),
        }
    }

    /// Fills as much of `bytes` as is left and returns how much.
    pub fn take(&mut self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let count = bytes.len();
        self.drain(count, |offset, source| {
            let wanted = source.len();
            let piece = bytes
                .get_mut(offset..offset + wanted)
                .ok_or(Errno::EINVAL)?;
            match source {
                IoSource::Guest(address, _) => {
                    faulting(platform().copy_from_guest(piece, address), wanted)
                }
                IoSource::Kernel(source) => {
                    piece.copy_from_slice(source);
                    Ok(wanted)
                }
            }
        })
    }

    /// Copies up to `count` bytes to the page pool.
    pub fn take_pool(
        &mut self,
        page: PoolPage,
        offset: usize,
        count: usize,
    ) -> Result<usize, Errno> {
        self.drain(count, |done, source| {
            let wanted = source.len();
            faulting(platform().pool_write(page, offset + done, source), wanted)
        })
    }

    /// Writes up to `count` bytes to a donated host file at `offset`.
    pub fn take_host(&mut self, file: HostFile, offset: u64, count: usize) -> Result<usize, Errno> {
        self.drain(count, |done, source| {
            platform().host_write(file, offset + done as u64, source)
        })
    }

    /// Fills as much of `bytes` as is left, as [`Source::take`] does, and leaves it to be taken
    /// again.
    pub fn peek(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let side = match &self.0 {
            Side::Guest(cursor) => Side::Guest(cursor.clone()),
            Side::Kernel(bytes) => Side::Kernel(*bytes),
        };
        Source(side).take(bytes)
    }

    /// Passes over up to `count` bytes, as `/dev/null` does.
    pub fn skip(&mut self, count: usize) -> usize {
        self.drain(count, |_, source| Ok(source.len())).unwrap_or(0)
    }

    fn drain(
        &mut self,
        count: usize,
        mut step: impl FnMut(usize, IoSource<'_>) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        match &mut self.0 {
            Side::Guest(cursor) => cursor.transfer(count, |address, done, length| {
                step(done, IoSource::Guest(address, length))
            }),
            Side::Kernel(bytes) => {
                let count = count.min(bytes.len());
                let moved = step(0, IoSource::Kernel(&bytes[..count]))?.min(count);
                *bytes = &bytes[moved..];
                Ok(moved)
            }
        }
    }
}
