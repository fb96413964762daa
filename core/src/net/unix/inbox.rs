//! What was sent to a socket and not received yet.

use super::names::Name;
use super::rights::Rights;
use crate::io::{Destination, Source};
use crate::ipc::Ring;
use crate::net::SocketCredentials;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use capsid_platform::Errno;

/// The most messages that wait, whatever their size.
const PACKETS_MAX: usize = 512;

/// Bytes or messages, and what came with them.
#[derive(Debug)]
pub(super) struct Inbox {
    stream: Ring,
    /// Bytes that were ever taken out of the stream.
    taken: u64,
    /// What belongs to parts of the stream, in order.
    marks: VecDeque<Mark>,
    packets: VecDeque<Packet>,
    packet_bytes: usize,
}

/// What came with the bytes from `start` to `end` of the stream.
#[derive(Debug)]
struct Mark {
    start: u64,
    end: u64,
    rights: Rights,
    had_rights: bool,
    credentials: Option<SocketCredentials>,
}

/// A message.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    pub(super) rights: Rights,
    pub(super) credentials: Option<SocketCredentials>,
    pub(super) from: Name,
}

/// What came along with received bytes.
#[derive(Debug, Default)]
pub(super) struct Ancillary {
    pub(super) rights: Rights,
    pub(super) credentials: Option<SocketCredentials>,
}

/// Whether received bytes stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    Out,
    Peek,
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox {
            // Senders keep to their own limit.
            stream: Ring::new(usize::MAX >> 1),
            taken: 0,
            marks: VecDeque::new(),
            packets: VecDeque::new(),
            packet_bytes: 0,
        }
    }
}

impl Inbox {
    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.stream.len() + self.packet_bytes
    }

    /// How many bytes the next receive could return.
    pub(super) fn next_bytes(&self) -> usize {
        match self.packets.front() {
            Some(packet) => packet.bytes.len(),
            None => self.stream.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stream.is_empty() && self.packets.is_empty()
    }

    /// Whether no more messages are let in.
    pub(super) fn is_crowded(&self) -> bool {
        self.packets.len() >= PACKETS_MAX
    }

    /// Appends up to `count` bytes with what comes along.
    pub(super) fn put_bytes(
        &mut self,
        source: &mut Source<'_>,
        count: usize,
        rights: &mut Rights,
        credentials: Option<SocketCredentials>,
    ) -> Result<usize, Errno> {
        let start = self.taken + self.stream.len() as u64;
        let moved = self.stream.write(source, count)?;
        let end = start + moved as u64;
        let has_rights = !rights.is_empty();
        if moved == 0 || (!has_rights && credentials.is_none()) {
            return Ok(moved);
        }
        if let Some(last) = self.marks.back_mut()
            && !has_rights
            && !last.had_rights
            && last.end == start
            && last.credentials == credentials
        {
            last.end = end;
            return Ok(moved);
        }
        self.marks.push_back(Mark {
            start,
            end,
            rights: core::mem::take(rights),
            had_rights: has_rights,
            credentials,
        });
        Ok(moved)
    }

    /// Receives bytes. Stops behind those that came with rights, and, if `by_sender`, where the
    /// sender changes, so that what came along is known to belong.
    pub(super) fn take_bytes(
        &mut self,
        destination: &mut Destination<'_>,
        skip: usize,
        take: Take,
        by_sender: bool,
    ) -> Result<(usize, Ancillary), Errno> {
        let at = self.taken + skip as u64;
        let mut count = destination.remaining();
        let mut ancillary = Ancillary::default();
        for mark in &self.marks {
            if mark.end <= at {
                continue;
            }
            if mark.start >= at.saturating_add(count as u64) {
                break;
            }
            if by_sender && mark.start > at {
                // What comes before has another sender.
                count = distance(at, mark.start);
                break;
            }
            ancillary.credentials = ancillary.credentials.or(mark.credentials);
            if mark.had_rights || by_sender {
                count = count.min(distance(at, mark.end));
                break;
            }
        }
        let moved = self.stream.peek(skip, destination, count)?;
        let end = at + moved as u64;
        for mark in &mut self.marks {
            if mark.start < end && mark.end > at && !mark.rights.is_empty() {
                ancillary.rights.append(match take {
                    Take::Out => core::mem::take(&mut mark.rights),
                    Take::Peek => mark.rights.copy(),
                });
            }
        }
        if take == Take::Out {
            self.stream.consume(moved);
            self.taken = end;
            while self.marks.front().is_some_and(|mark| mark.end <= end) {
                self.marks.pop_front();
            }
        }
        Ok((moved, ancillary))
    }

    pub(super) fn put_packet(&mut self, packet: Packet) {
        self.packet_bytes += packet.bytes.len();
        self.packets.push_back(packet);
    }

    /// The next message, to look at.
    pub(super) fn front_packet(&self) -> Option<&Packet> {
        self.packets.front()
    }

    /// Takes the next message out.
    pub(super) fn take_packet(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        self.packet_bytes -= packet.bytes.len();
        Some(packet)
    }
}

fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to - from).unwrap_or(usize::MAX)
}
