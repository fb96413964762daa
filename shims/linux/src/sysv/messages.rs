//! Message queues.

use super::registry::Object;
use super::{Header, Layout, now_s};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::sync::Mutex;
use capsid_core::wait::{Events, WaitQueue};

/// Queues of a sandbox (`MSGMNI`).
pub const QUEUES_MAX: usize = 32_000;
/// The longest message, in bytes (`MSGMAX`).
pub const MESSAGE_BYTES_MAX: usize = 8192;
/// Bytes that a new queue holds (`MSGMNB`).
pub const QUEUE_BYTES: u64 = 16_384;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type, at least 1.
    pub kind: i64,
    /// What it says.
    pub text: Box<[u8]>,
}

/// Which message is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The first.
    Any,
    /// The first of this type.
    Kind(i64),
    /// The first of another type (`MSG_EXCEPT`).
    Not(i64),
    /// The first of the lowest type, which is at most this.
    UpTo(i64),
    /// The one at this position, which stays (`MSG_COPY`).
    CopyAt(usize),
}

/// How much of a message is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Room for the text, in bytes.
    pub room: usize,
    /// A longer text is cut (`MSG_NOERROR`).
    pub cut: bool,
}

/// A queue.
#[derive(Debug)]
pub struct MessageQueue {
    header: Header,
    state: Mutex<State>,
    /// Who waits for a message or for room.
    pub waiters: WaitQueue,
}

#[derive(Debug)]
struct State {
    messages: VecDeque<Message>,
    bytes: u64,
    limit: u64,
    sent_s: u64,
    received_s: u64,
    sender: u32,
    receiver: u32,
    removed: bool,
}

/// What is known of a queue, for those who list them.
#[derive(Clone, Copy, Debug)]
pub struct QueueFacts {
    /// Bytes in it.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// Bytes that it holds at most.
    pub limit: u64,
    /// Last sender and last receiver, by process id.
    pub users: [u32; 2],
    /// When it was last sent to and received from, in seconds.
    pub times_s: [u64; 2],
}

impl MessageQueue {
    /// Makes an empty queue.
    #[must_use]
    pub fn new(header: Header) -> MessageQueue {
        MessageQueue {
            header,
            state: Mutex::new(State {
                messages: VecDeque::new(),
                bytes: 0,
                limit: QUEUE_BYTES,
                sent_s: 0,
                received_s: 0,
                sender: 0,
                receiver: 0,
                removed: false,
            }),
            waiters: WaitQueue::new(),
        }
    }

    /// Appends a message: `EAGAIN` if there is no room, `EIDRM`.
    pub fn send(&self, message: &Message, process: u32) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Errno::EIDRM);
        }
        let length = message.text.len() as u64;
        // Empty messages count as well.
        if state.bytes + length > state.limit || state.messages.len() as u64 + 1 > state.limit {
            return Err(Errno::EAGAIN);
        }
        state.bytes += length;
        state.messages.push_back(message.clone());
        state.sender = process;
        state.sent_s = now_s();
        drop(state);
        self.waiters.wake(Events::READABLE);
        Ok(())
    }

    /// Takes out a message: `EAGAIN` if there is none, `E2BIG`, `EIDRM`.
    pub fn receive(&self, choice: Choice, how: Received, process: u32) -> Result<Message, Errno> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Errno::EIDRM);
        }
        let position = state.position(choice).ok_or(Errno::EAGAIN)?;
        let found = state.messages.get(position).ok_or(Errno::EAGAIN)?;
        if found.text.len() > how.room && !how.cut {
            return Err(Errno::E2BIG);
        }
        if matches!(choice, Choice::CopyAt(_)) {
            return Ok(found.clone());
        }
        let message = state.messages.remove(position).ok_or(Errno::EAGAIN)?;
        state.bytes = state.bytes.saturating_sub(message.text.len() as u64);
        state.receiver = process;
        state.received_s = now_s();
        drop(state);
        self.waiters.wake(Events::WRITABLE);
        Ok(message)
    }

    /// Sets how many bytes it holds at most.
    pub fn set_limit(&self, bytes: u64) {
        self.state.lock().limit = bytes;
        self.waiters.wake(Events::WRITABLE);
    }

    /// Wakes all who wait, with `EIDRM`: the queue was removed.
    pub fn removed(&self) {
        self.state.lock().removed = true;
        self.waiters.wake(Events::all());
    }

    /// What is known of it.
    #[must_use]
    pub fn facts(&self) -> QueueFacts {
        let state = self.state.lock();
        QueueFacts {
            bytes: state.bytes,
            messages: state.messages.len() as u64,
            limit: state.limit,
            users: [state.sender, state.receiver],
            times_s: [state.sent_s, state.received_s],
        }
    }

    /// The queue as `struct msqid64_ds`.
    #[must_use]
    pub fn description(&self) -> Vec<u8> {
        let facts = self.facts();
        let layout = Layout::default()
            .bytes(&self.header.bytes())
            .long(facts.times_s[0])
            .long(facts.times_s[1])
            .long(self.header.changed_s())
            .long(facts.bytes)
            .long(facts.messages)
            .long(facts.limit)
            .int(facts.users[0])
            .int(facts.users[1]);
        layout.long(0).long(0).0
    }
}

impl State {
    fn position(&self, choice: Choice) -> Option<usize> {
        let first = |accept: &dyn Fn(i64) -> bool| {
            self.messages
                .iter()
                .position(|message| accept(message.kind))
        };
        match choice {
            Choice::Any => first(&|_| true),
            Choice::Kind(wanted) => first(&|kind| kind == wanted),
            Choice::Not(unwanted) => first(&|kind| kind != unwanted),
            Choice::UpTo(most) => {
                let kinds = self.messages.iter().map(|message| message.kind);
                let lowest = kinds.filter(|&kind| kind <= most).min()?;
                first(&|kind| kind == lowest)
            }
            Choice::CopyAt(position) => (position < self.messages.len()).then_some(position),
        }
    }
}

impl Object for MessageQueue {
    fn header(&self) -> &Header {
        &self.header
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Message, MessageQueue, Received};
    use crate::sysv::Header;
    use capsid_core::Errno;
    use capsid_core::credentials::Credentials;

    #[test]
    fn messages_are_chosen_by_type() {
        capsid_platform_threads::install();
        let queue = MessageQueue::new(Header::new(0, 0, 0, 0o600, &Credentials::new(0, 0)));
        for (kind, text) in [(3, "three"), (1, "one"), (2, "two"), (1, "again")] {
            let text = text.as_bytes().into();
            queue.send(&Message { kind, text }, 1).unwrap();
        }
        let whole = Received {
            room: 100,
            cut: false,
        };
        let get = |choice| queue.receive(choice, whole, 2).map(|message| message.text);
        assert_eq!(&*get(Choice::UpTo(2)).unwrap(), b"one");
        assert_eq!(&*get(Choice::Not(3)).unwrap(), b"two");
        assert_eq!(&*get(Choice::CopyAt(1)).unwrap(), b"again");
        assert_eq!(get(Choice::Kind(9)), Err(Errno::EAGAIN));
        assert_eq!(&*get(Choice::Any).unwrap(), b"three");
        let short = Received {
            room: 2,
            cut: false,
        };
        assert_eq!(queue.receive(Choice::Any, short, 2), Err(Errno::E2BIG));
        assert_eq!(queue.facts().bytes, 5);
        queue.removed();
        assert_eq!(get(Choice::Any), Err(Errno::EIDRM));
    }
}
