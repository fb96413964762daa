//! Signals as a file, signalfd(2).

use crate::kernel::Kernel;
use crate::signal::{Signal, SignalInfo, SignalSet, info, take_pending};
use crate::task::Thread;
use alloc::string::String;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::{DetachedInode, File, Inode};
use capsid_core::host_events;
use capsid_core::io::Destination;
use capsid_core::wait::{Events, WaitQueue};
use capsid_platform::platform;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// `struct signalfd_siginfo`, in bytes.
const INFO_BYTES: usize = 128;

/// Who waits for signals on any such file. One queue for all: whose signals count is decided by
/// who reads, as on Linux, and the file outlives a fork.
static QUEUE: WaitQueue = WaitQueue::new();

/// A signal was sent to somebody.
pub(crate) fn announce() {
    QUEUE.wake(Events::READABLE);
}

/// The pending signals of whoever reads it.
pub struct SignalFile {
    kernel: Arc<Kernel>,
    mask: AtomicU64,
}

impl SignalFile {
    /// Makes a file that reads the signals of `mask`.
    #[must_use]
    pub fn new(kernel: Arc<Kernel>, mask: SignalSet) -> SignalFile {
        let file = SignalFile {
            kernel,
            mask: AtomicU64::new(0),
        };
        file.set_mask(mask);
        file
    }

    /// Replaces the signals it reads.
    pub fn set_mask(&self, mask: SignalSet) {
        let mask = mask & !SignalSet::UNBLOCKABLE;
        self.mask.store(mask.0, Ordering::Relaxed);
        if mask.0 & SignalSet::FROM_HOST.0 != 0 {
            host_events::listen();
        }
        announce();
    }

    fn mask(&self) -> SignalSet {
        SignalSet(self.mask.load(Ordering::Relaxed))
    }

    /// The calling thread: files do not know who uses them.
    fn caller(&self) -> Option<Arc<Thread>> {
        let token = Some(platform().current_thread());
        let processes = self.kernel.processes();
        let threads = processes.iter().flat_map(|process| process.threads());
        let mut own = threads.filter(|thread| *thread.token.lock() == token);
        own.next()
    }
}

impl File for SignalFile {
    fn read(&self, _offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        if destination.remaining() < INFO_BYTES {
            return Err(Errno::EINVAL);
        }
        let caller = self.caller().ok_or(Errno::EAGAIN)?;
        let mut done = 0;
        while destination.remaining() >= INFO_BYTES {
            let Some(info) = take_pending(&caller, self.mask()) else {
                break;
            };
            done += destination.put(&encode(&info))?;
        }
        if done == 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(done)
    }

    fn readiness(&self) -> Events {
        let Some(caller) = self.caller() else {
            return Events::empty();
        };
        let shared = caller.process.state.lock().pending.set();
        let pending = shared | caller.pending.lock().set();
        if (pending & self.mask()).is_empty() {
            Events::empty()
        } else {
            Events::READABLE
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&QUEUE)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(DetachedInode::anonymous("[signalfd]"))
    }

    fn label(&self) -> Option<String> {
        Some("anon_inode:[signalfd]".into())
    }
}

fn halves(word: u64) -> [u32; 2] {
    let bytes = word.to_le_bytes();
    let (halves, _) = bytes.as_chunks::<4>();
    [u32::from_le_bytes(halves[0]), u32::from_le_bytes(halves[1])]
}

fn encode(signal: &SignalInfo) -> [u8; INFO_BYTES] {
    let mut bytes = [0; INFO_BYTES];
    let mut put = |at: usize, field: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + field.len()) {
            place.copy_from_slice(field);
        }
    };
    put(0, &u32::from(signal.signal.number()).to_le_bytes());
    put(4, &signal.errno.to_le_bytes());
    put(8, &signal.code.to_le_bytes());
    let [first, second] = halves(signal.fields[0]);
    let value = signal.fields[1];
    if signal.code == info::SI_TIMER {
        put(24, &first.to_le_bytes());
        put(32, &second.to_le_bytes());
    } else {
        put(12, &first.to_le_bytes());
        put(16, &second.to_le_bytes());
    }
    if signal.signal == Signal::CHLD {
        put(40, &halves(value)[0].to_le_bytes());
        put(56, &signal.fields[2].to_le_bytes());
        put(64, &signal.fields[3].to_le_bytes());
    } else {
        put(44, &halves(value)[0].to_le_bytes());
        put(48, &value.to_le_bytes());
    }
    bytes
}

impl fmt::Debug for SignalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalFile")
            .field("mask", &self.mask())
            .finish_non_exhaustive()
    }
}
