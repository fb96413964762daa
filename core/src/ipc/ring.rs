//! A ring of bytes that grows on demand up to a limit.

use crate::io::{Destination, Source};
use alloc::vec::Vec;
use capsid_platform::Errno;

/// The first allocation, in bytes: most pipes never hold more.
const FIRST_BYTES: usize = 4096;

/// A queue of bytes.
///
/// Bytes move straight between guest memory and the ring. An empty ring starts at its beginning
/// again, so that short messages stay in the same few cache lines.
#[derive(Debug)]
pub struct Ring {
    /// The storage; a power of two long, or empty.
    bytes: Vec<u8>,
    start: usize,
    length: usize,
    limit: usize,
}

impl Ring {
    /// Makes an empty ring that holds at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Ring {
        Ring {
            bytes: Vec::new(),
            start: 0,
            length: 0,
            limit,
        }
    }

    /// Number of bytes in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many more bytes it takes.
    #[must_use]
    pub fn free(&self) -> usize {
        // Bytes that were put back can exceed the limit.
        self.limit.saturating_sub(self.length)
    }

    /// How many bytes it holds at most.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Changes the limit: `EBUSY` if it holds more.
    pub fn set_limit(&mut self, limit: usize) -> Result<(), Errno> {
        if self.length > limit {
            return Err(Errno::EBUSY);
        }
        self.limit = limit;
        Ok(())
    }

    /// Makes room for `length` bytes in all.
    fn grow(&mut self, length: usize) -> Result<(), Errno> {
        if length <= self.bytes.len() {
            return Ok(());
        }
        let size = length.max(FIRST_BYTES).next_power_of_two();
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
        let (first, second) = self.filled();
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        bytes.resize(size, 0);
        self.bytes = bytes;
        self.start = 0;
        Ok(())
    }

    /// The bytes in it, in two pieces.
    #[must_use]
    pub fn filled(&self) -> (&[u8], &[u8]) {
        let end = self.start + self.length;
        if end <= self.bytes.len() {
            (&self.bytes[self.start..end], &[])
        } else {
            let wrapped = end - self.bytes.len();
            (&self.bytes[self.start..], &self.bytes[..wrapped])
        }
    }

    /// Appends up to `count` bytes of `source`, as far as they fit, and returns how many.
    pub fn write(&mut self, source: &mut Source<'_>, count: usize) -> Result<usize, Errno> {
        let count = count.min(self.free()).min(source.remaining());
        if count == 0 {
            return Ok(0);
        }
        self.grow(self.length + count)?;
        let mut done = 0;
        while done < count {
            let size = self.bytes.len();
            let end = (self.start + self.length) & (size - 1);
            let piece = (count - done).min(size - end);
            match source.take(&mut self.bytes[end..end + piece]) {
                Ok(moved) => {
                    self.length += moved;
                    done += moved;
                    if moved < piece {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Copies up to `count` bytes from byte `skip` on, and leaves them in.
    pub fn peek(
        &self,
        skip: usize,
        destination: &mut Destination<'_>,
        count: usize,
    ) -> Result<usize, Errno> {
        let (first, second) = self.filled();
        let count = count.min(self.length.saturating_sub(skip));
        let from_first = count.min(first.len().saturating_sub(skip));
        let mut done = 0;
        if from_first > 0 {
            done = destination.put(&first[skip..skip + from_first])?;
            if done < from_first {
                return Ok(done);
            }
        }
        if done < count {
            let from = (skip + done) - first.len();
            match destination.put(&second[from..from + (count - done)]) {
                Ok(moved) => done += moved,
                Err(_) if done > 0 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Drops the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.length);
        self.length -= count;
        if self.length == 0 {
            self.start = 0;
        } else {
            self.start = (self.start + count) & (self.bytes.len() - 1);
        }
    }

    /// Takes out up to `count` bytes.
    pub fn read(
        &mut self,
        destination: &mut Destination<'_>,
        count: usize,
    ) -> Result<usize, Errno> {
        let done = self.peek(0, destination, count)?;
        self.consume(done);
        Ok(done)
    }

    /// Puts bytes back to the front, whatever the limit.
    pub fn unread(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.grow(self.length + bytes.len())?;
        let size = self.bytes.len();
        self.start = (self.start + size - bytes.len()) & (size - 1);
        self.length += bytes.len();
        let first = bytes.len().min(size - self.start);
        self.bytes[self.start..self.start + first].copy_from_slice(&bytes[..first]);
        self.bytes[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use crate::io::{Destination, Source};
    use alloc::collections::VecDeque;
    use alloc::vec;
    use alloc::vec::Vec;

    /// Random operations against a plain queue.
    #[test]
    fn it_agrees_with_a_plain_queue() {
        let mut ring = Ring::new(10_000);
        let mut model: VecDeque<u8> = VecDeque::new();
        let mut seed = 12_345u64;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).unwrap() % below
        };
        let mut value = 0u8;
        for _ in 0..20_000 {
            match next(5) {
                0 | 1 => {
                    let bytes: Vec<u8> = (0..next(5000))
                        .map(|_| {
                            value = value.wrapping_add(1);
                            value
                        })
                        .collect();
                    let moved = ring
                        .write(&mut Source::kernel(&bytes), bytes.len())
                        .unwrap();
                    assert_eq!(
                        moved,
                        bytes.len().min(10_000usize.saturating_sub(model.len()))
                    );
                    model.extend(&bytes[..moved]);
                }
                2 => {
                    let bytes: Vec<u8> = (0..next(50)).map(|_| value).collect();
                    ring.unread(&bytes).unwrap();
                    for &byte in bytes.iter().rev() {
                        model.push_front(byte);
                    }
                }
                _ => {
                    let mut bytes = vec![0; next(6000)];
                    let count = bytes.len();
                    let moved = ring
                        .read(&mut Destination::kernel(&mut bytes), count)
                        .unwrap();
                    assert_eq!(moved, count.min(model.len()));
                    let expected: Vec<u8> = model.drain(..moved).collect();
                    assert_eq!(&bytes[..moved], &expected);
                }
            }
            assert_eq!(ring.len(), model.len());
        }
    }
}
