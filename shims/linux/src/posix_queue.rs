//! POSIX message queues, mq_overview(7).

use crate::signal::{Signal, SignalInfo, send_to_process};
use crate::task::Process;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::credentials::{Capabilities, Credentials};
use capsid_core::fs::{Access, DetachedInode, File, FileKind, Inode, Owner};
use capsid_core::io::Destination;
use capsid_core::sync::Mutex;
use capsid_core::wait::{Events, WaitQueue};

/// Queues of a sandbox (`/proc/sys/fs/mqueue/queues_max`).
pub const QUEUES_MAX: usize = 256;
/// Messages and bytes of a message that anybody may ask for.
pub const USUAL: QueueSize = QueueSize {
    messages: 10,
    bytes: 8192,
};
/// The same for the privileged.
const LARGEST: QueueSize = QueueSize {
    messages: 65_536,
    bytes: 16 << 20,
};
/// Priorities lie below this (`MQ_PRIO_MAX`).
pub const PRIORITIES: u32 = 32_768;

/// How much a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSize {
    /// Messages.
    pub messages: usize,
    /// Bytes of the longest message.
    pub bytes: usize,
}

impl QueueSize {
    /// Checks what is asked for, and that it keeps below `limit_bytes` in all: `EINVAL`,
    /// `EMFILE`.
    pub fn check(self, credentials: &Credentials, limit_bytes: u64) -> Result<(), Errno> {
        let most = if credentials.has(Capabilities::SYS_RESOURCE) {
            LARGEST
        } else {
            USUAL
        };
        let fits = |value: usize, most: usize| (1..=most).contains(&value);
        if !fits(self.messages, most.messages) || !fits(self.bytes, most.bytes) {
            return Err(Errno::EINVAL);
        }
        if self.messages as u64 * self.bytes as u64 > limit_bytes {
            return Err(Errno::EMFILE);
        }
        Ok(())
    }
}

/// Who is told when a message comes to an empty queue, once.
#[derive(Debug)]
pub struct Notification {
    /// The process that asked.
    pub process: Weak<Process>,
    /// The signal; `None` for nothing but keeping others from asking.
    pub signal: Option<Signal>,
    /// What comes with the signal.
    pub value: u64,
}

/// A queue.
#[derive(Debug)]
pub struct PosixQueue {
    /// How much it holds.
    pub size: QueueSize,
    inode: Arc<DetachedInode>,
    state: Mutex<State>,
    waiters: WaitQueue,
}

#[derive(Debug, Default)]
struct State {
    /// By priority, the oldest first.
    messages: BTreeMap<u32, VecDeque<Box<[u8]>>>,
    count: usize,
    /// Threads that wait for a message.
    receivers: usize,
    notification: Option<Notification>,
}

impl PosixQueue {
    /// Makes an empty queue.
    #[must_use]
    pub fn new(size: QueueSize, mode: u32, owner: Owner) -> Arc<PosixQueue> {
        Arc::new(PosixQueue {
            size,
            inode: DetachedInode::new(FileKind::Regular, mode, owner, "mqueue"),
            state: Mutex::default(),
            waiters: WaitQueue::new(),
        })
    }

    /// Its inode.
    #[must_use]
    pub fn inode(&self) -> Arc<DetachedInode> {
        self.inode.clone()
    }

    /// Checks that it may be opened so: `EACCES`.
    pub fn check(&self, access: Access, credentials: &Credentials) -> Result<(), Errno> {
        capsid_core::fs::permission::check_inode(&*self.inode, access, credentials)
    }

    /// How many messages it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.lock().count
    }

    /// Appends a message, for the process `sender` and its user: `EAGAIN` if there is no room.
    pub fn send(&self, text: &[u8], priority: u32, sender: (u32, u32)) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.count >= self.size.messages {
            return Err(Errno::EAGAIN);
        }
        let of_priority = state.messages.entry(priority).or_default();
        of_priority.push_back(text.into());
        state.count += 1;
        let told = if state.count == 1 && state.receivers == 0 {
            state.notification.take()
        } else {
            None
        };
        drop(state);
        self.waiters.wake(Events::READABLE);
        if let Some(notification) = told
            && let Some(process) = notification.process.upgrade()
            && let Some(signal) = notification.signal
        {
            let info = SignalInfo::message_queue(signal, sender, notification.value);
            // A full queue loses it.
            let _ = send_to_process(&process, info);
        }
        Ok(())
    }

    /// Takes out the oldest message of the highest priority, and says which that is: `EAGAIN`.
    pub fn receive(&self) -> Result<(Box<[u8]>, u32), Errno> {
        let mut state = self.state.lock();
        let mut highest = state.messages.last_entry().ok_or(Errno::EAGAIN)?;
        let priority = *highest.key();
        let text = highest.get_mut().pop_front();
        if highest.get().is_empty() {
            highest.remove();
        }
        let text = text.ok_or(Errno::EAGAIN)?;
        state.count -= 1;
        drop(state);
        self.waiters.wake(Events::WRITABLE);
        Ok((text, priority))
    }

    /// Runs `action` while the calling thread counts as one that waits for a message.
    pub fn as_receiver<T>(&self, action: impl FnOnce() -> T) -> T {
        self.state.lock().receivers += 1;
        let result = action();
        self.state.lock().receivers -= 1;
        result
    }

    /// Asks to be told: `EBUSY` if another process that lives is.
    pub fn set_notification(&self, notification: Notification) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.notification.as_ref().is_some_and(Notification::lives) {
            return Err(Errno::EBUSY);
        }
        state.notification = Some(notification);
        Ok(())
    }

    /// Takes back what `process` asked for, if it did.
    pub fn clear_notification(&self, process: &Arc<Process>) {
        let mut state = self.state.lock();
        let own =
            |asked: &mut Notification| core::ptr::eq(asked.process.as_ptr(), &raw const **process);
        let gone = state.notification.take_if(own);
        drop(state);
        drop(gone);
    }
}

impl Notification {
    fn lives(&self) -> bool {
        let process = self.process.upgrade();
        process.is_some_and(|process| !process.threads().is_empty())
    }
}

impl File for PosixQueue {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let state = self.state.lock();
        let messages = state.messages.values().flatten();
        let bytes: usize = messages.map(|text| text.len()).sum();
        let asked = state.notification.as_ref().filter(|asked| asked.lives());
        let signal = asked.and_then(|asked| asked.signal);
        let process = asked.and_then(|asked| asked.process.upgrade());
        let text = format!(
            "QSIZE:{bytes:<10} NOTIFY:{:<5} SIGNO:{:<5} NOTIFY_PID:{:<6}\n",
            u32::from(asked.is_some() && signal.is_none()),
            signal.map_or(0, Signal::number),
            process.map_or(0, |process| process.id),
        );
        drop(state);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        destination.put(text.as_bytes().get(start..).unwrap_or_default())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn readiness(&self) -> Events {
        let count = self.count();
        let mut events = Events::empty();
        if count > 0 {
            events |= Events::READABLE;
        }
        if count < self.size.messages {
            events |= Events::WRITABLE;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.waiters)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }
}

/// The queues by name.
#[derive(Debug, Default)]
pub struct PosixQueues(Mutex<BTreeMap<Vec<u8>, Arc<PosixQueue>>>);

impl PosixQueues {
    /// The queue of a name, or what `make` makes if there is none; says whether it was made:
    /// `ENOSPC`, and what `make` says.
    pub fn open(
        &self,
        name: &[u8],
        may_exceed: bool,
        make: impl FnOnce() -> Result<Arc<PosixQueue>, Errno>,
    ) -> Result<(Arc<PosixQueue>, bool), Errno> {
        let mut queues = self.0.lock();
        if let Some(queue) = queues.get(name) {
            return Ok((queue.clone(), false));
        }
        let room = queues.len() < QUEUES_MAX || may_exceed;
        let queue = make()?;
        if !room {
            return Err(Errno::ENOSPC);
        }
        queues.insert(name.to_vec(), queue.clone());
        Ok((queue, true))
    }

    /// Removes a name: `ENOENT`, `EPERM` for another's queue.
    pub fn unlink(&self, name: &[u8], credentials: &Credentials) -> Result<(), Errno> {
        let mut queues = self.0.lock();
        let queue = queues.get(name).ok_or(Errno::ENOENT)?;
        if !capsid_core::fs::permission::owns(&*queue.inode, credentials)? {
            return Err(Errno::EPERM);
        }
        let gone = queues.remove(name);
        drop(queues);
        drop(gone);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{PosixQueue, PosixQueues, QueueSize, USUAL};
    use capsid_core::Errno;
    use capsid_core::credentials::Credentials;
    use capsid_core::fs::Owner;

    #[test]
    fn messages_come_by_priority_and_age() {
        capsid_platform_threads::install();
        let size = QueueSize {
            messages: 3,
            bytes: 10,
        };
        let queue = PosixQueue::new(size, 0o600, Owner::default());
        for (text, priority) in [("low", 1), ("high", 9), ("next", 9)] {
            queue.send(text.as_bytes(), priority, (1, 0)).unwrap();
        }
        assert_eq!(queue.send(b"x", 0, (1, 0)), Err(Errno::EAGAIN));
        let order: [_; 3] = core::array::from_fn(|_| queue.receive().unwrap());
        assert_eq!(order.map(|(_, priority)| priority), [9, 9, 1]);
        assert_eq!(queue.receive(), Err(Errno::EAGAIN));
    }

    #[test]
    fn names_belong_to_their_makers() {
        capsid_platform_threads::install();
        let queues = PosixQueues::default();
        let owner = Owner { user: 5, group: 5 };
        let open = || queues.open(b"name", false, || Ok(PosixQueue::new(USUAL, 0o600, owner)));
        assert!(open().unwrap().1);
        assert!(!open().unwrap().1);
        let (mine, other) = (Credentials::new(5, 5), Credentials::new(6, 6));
        assert_eq!(queues.unlink(b"name", &other), Err(Errno::EPERM));
        assert_eq!(queues.unlink(b"name", &mine), Ok(()));
        assert_eq!(queues.unlink(b"name", &mine), Err(Errno::ENOENT));
    }
}
