//! System V IPC, sysvipc(7): shared memory, semaphores and message queues, found by keys and ids.

mod header;
mod messages;
mod registry;
mod segments;
#[cfg(test)]
mod semaphore_tests;
mod semaphores;

pub use header::{Header, PRIVATE, Wanted};
pub use messages::{
    Choice, MESSAGE_BYTES_MAX, Message, MessageQueue, QUEUE_BYTES, QUEUES_MAX, Received,
};
pub use registry::{Get, Object, Registry};
pub use segments::{SEGMENT_BYTES_MAX, SEGMENTS_MAX, Segment};
pub use semaphores::{Operation, SETS_MAX, SemaphoreSet, VALUE_MAX, Waiting};

use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::{Clock, platform};

/// All objects of a sandbox.
#[derive(Debug)]
pub struct Ipc {
    /// Shared memory, shmget(2).
    pub segments: Registry<Segment>,
    /// Semaphores, semget(2).
    pub semaphores: Registry<SemaphoreSet>,
    /// Message queues, msgget(2).
    pub messages: Registry<MessageQueue>,
}

impl Ipc {
    /// Makes it empty.
    #[must_use]
    pub fn new() -> Arc<Ipc> {
        Arc::new(Ipc {
            segments: Registry::new(SEGMENTS_MAX),
            semaphores: Registry::new(SETS_MAX),
            messages: Registry::new(QUEUES_MAX),
        })
    }

    /// Takes back what a process did to semaphores with `SEM_UNDO`: it has ended.
    pub fn process_ended(&self, process: u32) {
        for set in self.semaphores.all() {
            set.undo(process);
        }
    }
}

/// Seconds since the epoch, as all times of these objects are.
fn now_s() -> u64 {
    platform().now(Clock::Realtime) / 1_000_000_000
}

/// Lays out words as a C structure does that has no gaps between them.
#[derive(Debug, Default)]
pub struct Layout(pub Vec<u8>);

impl Layout {
    /// Appends an `int`.
    #[must_use]
    pub fn int(mut self, value: u32) -> Layout {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a `long`.
    #[must_use]
    pub fn long(mut self, value: u64) -> Layout {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends what was laid out before.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Layout {
        self.0.extend_from_slice(bytes);
        self
    }
}
