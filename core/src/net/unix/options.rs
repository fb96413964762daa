//! What setsockopt(2) sets, socket(7).

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The size of buffers that nobody changed, in bytes (`/proc/sys/net/core/wmem_default`).
const DEFAULT_BYTES: u32 = 212_992;
/// The most that can be asked for (`/proc/sys/net/core/wmem_max`), before doubling.
const MAX_BYTES: u32 = 212_992;
/// The least that a buffer holds.
const MIN_BYTES: u32 = 4608;

/// Options of one socket.
#[derive(Debug)]
pub struct SocketOptions {
    send: AtomicU32,
    receive: AtomicU32,
    pass_credentials: AtomicBool,
    receive_timeout: AtomicU64,
    send_timeout: AtomicU64,
}

impl Default for SocketOptions {
    fn default() -> SocketOptions {
        SocketOptions {
            send: AtomicU32::new(DEFAULT_BYTES),
            receive: AtomicU32::new(DEFAULT_BYTES),
            pass_credentials: AtomicBool::new(false),
            receive_timeout: AtomicU64::new(0),
            send_timeout: AtomicU64::new(0),
        }
    }
}

/// Linux gives twice what is asked for, for its own needs.
fn granted(bytes: u32) -> u32 {
    (bytes.min(MAX_BYTES) * 2).max(MIN_BYTES)
}

impl SocketOptions {
    /// How many bytes may wait to be received, `SO_SNDBUF`.
    #[must_use]
    pub fn send_bytes(&self) -> usize {
        self.send.load(Ordering::Relaxed) as usize
    }

    /// Sets `SO_SNDBUF`.
    pub fn set_send_bytes(&self, bytes: u32) {
        self.send.store(granted(bytes), Ordering::Relaxed);
    }

    /// `SO_RCVBUF`. Unix sockets are bounded by the sender's buffer.
    #[must_use]
    pub fn receive_bytes(&self) -> usize {
        self.receive.load(Ordering::Relaxed) as usize
    }

    /// Sets `SO_RCVBUF`.
    pub fn set_receive_bytes(&self, bytes: u32) {
        self.receive.store(granted(bytes), Ordering::Relaxed);
    }

    /// Whether messages come with their senders' credentials, `SO_PASSCRED`.
    #[must_use]
    pub fn pass_credentials(&self) -> bool {
        self.pass_credentials.load(Ordering::Relaxed)
    }

    /// Sets `SO_PASSCRED`.
    pub fn set_pass_credentials(&self, on: bool) {
        self.pass_credentials.store(on, Ordering::Relaxed);
    }

    /// How long receiving waits, in nanoseconds; 0 for ever. `SO_RCVTIMEO`.
    #[must_use]
    pub fn receive_timeout(&self) -> u64 {
        self.receive_timeout.load(Ordering::Relaxed)
    }

    /// Sets `SO_RCVTIMEO`, in nanoseconds.
    pub fn set_receive_timeout(&self, timeout_ns: u64) {
        self.receive_timeout.store(timeout_ns, Ordering::Relaxed);
    }

    /// How long sending waits, in nanoseconds; 0 for ever. `SO_SNDTIMEO`.
    #[must_use]
    pub fn send_timeout(&self) -> u64 {
        self.send_timeout.load(Ordering::Relaxed)
    }

    /// Sets `SO_SNDTIMEO`, in nanoseconds.
    pub fn set_send_timeout(&self, timeout_ns: u64) {
        self.send_timeout.store(timeout_ns, Ordering::Relaxed);
    }
}
