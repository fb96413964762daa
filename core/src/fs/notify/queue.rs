//! The events that an instance has not given out yet.

use super::{FileEvents, QUEUED_EVENTS_MAX};
use crate::io::Destination;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use capsid_platform::Errno;

/// Bytes of `struct inotify_event`, without the name; names are padded to a multiple of it.
const HEAD_BYTES: usize = 16;

/// One event, for one watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// The watch's number; -1 for lost events.
    pub(super) watch: i32,
    pub(super) events: FileEvents,
    /// Joins the two halves of a move.
    pub(super) cookie: u32,
    /// What it happened to, in a watched directory; empty for the watched file itself.
    pub(super) name: Box<[u8]>,
}

impl Event {
    fn length(&self) -> usize {
        match self.name.len() {
            0 => HEAD_BYTES,
            // With a terminator.
            length => HEAD_BYTES + (length + 1).next_multiple_of(HEAD_BYTES),
        }
    }

    /// Whether reading `other` once more would tell nothing.
    fn repeats(&self, other: &Event) -> bool {
        !other.events.contains(FileEvents::IGNORED)
            && (self.watch, self.events) == (other.watch, other.events)
            && self.name == other.name
    }

    fn bytes(&self) -> Vec<u8> {
        let length = self.length();
        let padded = u32::try_from(length - HEAD_BYTES).unwrap_or(0);
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&self.watch.to_le_bytes());
        bytes.extend_from_slice(&self.events.bits().to_le_bytes());
        bytes.extend_from_slice(&self.cookie.to_le_bytes());
        bytes.extend_from_slice(&padded.to_le_bytes());
        bytes.extend_from_slice(&self.name);
        bytes.resize(length, 0);
        bytes
    }
}

/// A bounded queue of events.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    events: VecDeque<Event>,
    bytes: usize,
    /// The event that says that some were lost is in it.
    overflowed: bool,
}

impl EventQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many bytes reading all of it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an event, unless it repeats the last one. A full queue says once that it was full.
    pub(super) fn push(&mut self, event: Event) {
        if self.events.len() >= QUEUED_EVENTS_MAX {
            if !self.overflowed {
                self.overflowed = true;
                self.append(Event {
                    watch: -1,
                    events: FileEvents::OVERFLOW,
                    cookie: 0,
                    name: Box::default(),
                });
            }
            return;
        }
        if self.events.back().is_some_and(|last| event.repeats(last)) {
            return;
        }
        self.append(event);
    }

    fn append(&mut self, event: Event) {
        self.bytes += event.length();
        self.events.push_back(event);
    }

    /// Takes out as many events as fit: `EINVAL` if the first does not, `EAGAIN` if there is none.
    pub(super) fn read(&mut self, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some(event) = self.events.front() {
            let length = event.length();
            if length > destination.remaining() {
                return if done == 0 {
                    Err(Errno::EINVAL)
                } else {
                    Ok(done)
                };
            }
            let put = destination.put(&event.bytes());
            self.overflowed &= !event.events.contains(FileEvents::OVERFLOW);
            self.bytes -= length;
            self.events.pop_front();
            match put {
                Ok(put) if put == length => done += length,
                // The event is lost, as on Linux.
                _ if done > 0 => return Ok(done),
                _ => return Err(Errno::EFAULT),
            }
        }
        if done == 0 {
            Err(Errno::EAGAIN)
        } else {
            Ok(done)
        }
    }
}
