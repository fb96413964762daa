//! What a pipe holds: bytes, and where packets begin and end among them.

use crate::io::{Destination, Source};
use crate::ipc::Ring;
use alloc::collections::VecDeque;
use capsid_platform::{Errno, PAGE_SIZE};

/// The longest packet (`PIPE_BUF`); a longer write makes several.
pub(super) const PACKET_BYTES: usize = 4096;

/// Bytes that belong together.
#[derive(Clone, Copy, Debug)]
struct Run {
    bytes: usize,
    is_packet: bool,
}

/// What becomes of the end of a packet that a reader has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It is lost, as read(2) does.
    Dropped,
    /// It is the next packet, as splice(2) leaves it.
    Kept,
}

/// Bytes, in the order they were written.
///
/// As on Linux the room is counted in pages, of which a packet takes a whole one.
#[derive(Debug)]
pub(super) struct PipeContents {
    ring: Ring,
    /// All bytes of the ring, if a packet is among them; else empty.
    runs: VecDeque<Run>,
}

impl PipeContents {
    pub(super) fn new(limit: usize) -> PipeContents {
        PipeContents {
            ring: Ring::new(limit),
            runs: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub(super) fn limit(&self) -> usize {
        self.ring.limit()
    }

    pub(super) fn set_limit(&mut self, limit: usize) -> Result<(), Errno> {
        if self.pages() > limit / PAGE_SIZE {
            return Err(Errno::EBUSY);
        }
        self.ring.set_limit(limit)
    }

    /// How many more bytes it takes.
    pub(super) fn free(&self) -> usize {
        if self.runs.is_empty() {
            return self.ring.free();
        }
        let pages = (self.ring.limit() / PAGE_SIZE).saturating_sub(self.pages());
        self.ring.free().min(pages * PAGE_SIZE)
    }

    fn pages(&self) -> usize {
        let pages = |run: &Run| run.bytes.div_ceil(PAGE_SIZE);
        self.runs.iter().map(pages).sum()
    }

    /// Appends up to `count` bytes, as far as they fit, and returns how many.
    pub(super) fn write(&mut self, source: &mut Source<'_>, count: usize) -> Result<usize, Errno> {
        let count = count.min(self.free());
        let done = self.ring.write(source, count)?;
        match self.runs.back_mut() {
            None => {}
            Some(run) if !run.is_packet => run.bytes += done,
            Some(_) => self.append(done, false),
        }
        Ok(done)
    }

    /// Appends up to `count` bytes as packets, as far as they fit, and returns how many.
    pub(super) fn write_packets(
        &mut self,
        source: &mut Source<'_>,
        count: usize,
    ) -> Result<usize, Errno> {
        let mut done = self.write_behind_stream(source, count)?;
        while done < count {
            let before = self.ring.len();
            let room = (self.ring.limit() / PAGE_SIZE)
                .saturating_sub(self.pages().max(before.div_ceil(PAGE_SIZE)));
            let piece = (count - done).min(PACKET_BYTES);
            if room == 0 {
                break;
            }
            let written = match self.ring.write(source, piece) {
                Ok(written) => written,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            if self.runs.is_empty() && before > 0 {
                self.append(before, false);
            }
            self.append(written, true);
            done += written;
            if written < piece {
                break;
            }
        }
        Ok(done)
    }

    /// Appends what exceeds whole pages to a page of the stream that is not full: Linux looks
    /// whether the page takes more, not who wrote it.
    fn write_behind_stream(
        &mut self,
        source: &mut Source<'_>,
        count: usize,
    ) -> Result<usize, Errno> {
        let stream = match self.runs.back() {
            None => self.ring.len(),
            Some(run) if run.is_packet => 0,
            Some(run) => run.bytes,
        };
        let (used, odd) = (stream % PAGE_SIZE, count % PAGE_SIZE);
        if used == 0 || odd == 0 || used + odd > PAGE_SIZE {
            return Ok(0);
        }
        self.write(source, odd)
    }

    fn append(&mut self, bytes: usize, is_packet: bool) {
        if bytes > 0 {
            self.runs.push_back(Run { bytes, is_packet });
        }
    }

    /// Takes out up to `count` bytes, no more than one packet; says whether they are one.
    pub(super) fn read(
        &mut self,
        destination: &mut Destination<'_>,
        count: usize,
        rest: Rest,
    ) -> Result<(usize, bool), Errno> {
        if self.runs.is_empty() {
            return Ok((self.ring.read(destination, count)?, false));
        }
        let mut done = 0;
        while done < count
            && let Some(run) = self.runs.front_mut()
        {
            if run.is_packet && done > 0 && rest == Rest::Kept {
                break;
            }
            let is_packet = run.is_packet;
            let wanted = run.bytes.min(count - done);
            let moved = match self.ring.read(destination, wanted) {
                Ok(moved) => moved,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            done += moved;
            run.bytes -= moved;
            if is_packet && rest == Rest::Dropped {
                self.ring.consume(run.bytes);
                run.bytes = 0;
            }
            if run.bytes == 0 {
                self.runs.pop_front();
            }
            if is_packet || moved < wanted {
                self.forget_runs();
                return Ok((done, is_packet));
            }
        }
        self.forget_runs();
        Ok((done, false))
    }

    /// Without a packet there is nothing to tell apart.
    fn forget_runs(&mut self) {
        if self.runs.iter().all(|run| !run.is_packet) {
            self.runs.clear();
        }
    }

    /// Copies up to `count` bytes from byte `skip` on, no more than one packet, and leaves them in;
    /// says whether they are one.
    pub(super) fn peek(
        &self,
        skip: usize,
        destination: &mut Destination<'_>,
        count: usize,
    ) -> Result<(usize, bool), Errno> {
        let mut start = 0;
        let run = self.runs.iter().find(|run| {
            start += run.bytes;
            start > skip
        });
        let count = run.map_or(count, |_| (start - skip).min(count));
        let copied = self.ring.peek(skip, destination, count)?;
        Ok((copied, run.is_some_and(|run| run.is_packet)))
    }

    /// Puts bytes that were read back to the front.
    pub(super) fn unread(&mut self, bytes: &[u8], is_packet: bool) -> Result<(), Errno> {
        let before = self.ring.len();
        self.ring.unread(bytes)?;
        if is_packet && self.runs.is_empty() && before > 0 {
            self.append(before, false);
        }
        if is_packet || !self.runs.is_empty() {
            let bytes = bytes.len();
            self.runs.push_front(Run { bytes, is_packet });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{PipeContents, Rest};
    use crate::io::{Destination, Source};
    use capsid_platform::Errno;

    fn put(contents: &mut PipeContents, bytes: &[u8], as_packets: bool) -> usize {
        let mut source = Source::kernel(bytes);
        if as_packets {
            contents.write_packets(&mut source, bytes.len()).unwrap()
        } else {
            contents.write(&mut source, bytes.len()).unwrap()
        }
    }

    fn get(contents: &mut PipeContents, room: usize, rest: Rest) -> (alloc::vec::Vec<u8>, bool) {
        let mut bytes = alloc::vec![0; room];
        let mut target = Destination::kernel(&mut bytes);
        let (length, is_packet) = contents.read(&mut target, room, rest).unwrap();
        bytes.truncate(length);
        (bytes, is_packet)
    }

    #[test]
    fn a_read_takes_one_packet_and_drops_its_rest() {
        let mut contents = PipeContents::new(65_536);
        put(&mut contents, b"first", true);
        put(&mut contents, b"second", true);
        assert_eq!(
            get(&mut contents, 100, Rest::Dropped),
            (b"first".to_vec(), true)
        );
        assert_eq!(
            get(&mut contents, 3, Rest::Dropped),
            (b"sec".to_vec(), true)
        );
        assert!(contents.is_empty());
    }

    #[test]
    fn streams_and_packets_stay_apart() {
        let mut contents = PipeContents::new(65_536);
        put(&mut contents, b"packet", true);
        put(&mut contents, b"cd", false);
        put(&mut contents, b"ef", false);
        assert_eq!(get(&mut contents, 4, Rest::Dropped).0, b"pack");
        assert_eq!(get(&mut contents, 10, Rest::Dropped).0, b"cdef");
        assert_eq!(contents.len(), 0);
    }

    #[test]
    fn a_page_of_a_stream_takes_a_packet_in() {
        let mut contents = PipeContents::new(65_536);
        put(&mut contents, b"ab", false);
        put(&mut contents, b"packet", true);
        assert_eq!(
            get(&mut contents, 3, Rest::Dropped),
            (b"abp".to_vec(), false)
        );
        assert_eq!(
            get(&mut contents, 9, Rest::Dropped),
            (b"acket".to_vec(), false)
        );
    }

    #[test]
    fn a_packet_takes_a_page() {
        let mut contents = PipeContents::new(4 * 4096);
        for _ in 0..4 {
            assert_eq!(put(&mut contents, b"x", true), 1);
        }
        assert_eq!(put(&mut contents, b"x", true), 0);
        assert_eq!((contents.free(), contents.len()), (0, 4));
        assert_eq!(contents.set_limit(4096), Err(Errno::EBUSY));
        get(&mut contents, 1, Rest::Dropped);
        assert_eq!(put(&mut contents, &[0; 5000], true), 4096);
    }

    #[test]
    fn a_kept_rest_is_a_packet_still() {
        let mut contents = PipeContents::new(65_536);
        put(&mut contents, b"abcdef", true);
        assert_eq!(get(&mut contents, 2, Rest::Kept), (b"ab".to_vec(), true));
        contents.unread(b"ab", true).unwrap();
        assert_eq!(get(&mut contents, 9, Rest::Kept), (b"ab".to_vec(), true));
        assert_eq!(get(&mut contents, 9, Rest::Kept), (b"cdef".to_vec(), true));
    }
}
