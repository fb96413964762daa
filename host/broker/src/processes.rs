//! The host processes of a sandbox: all are children of the broker, in one process group.
//!
//! The group is the sandbox's own session. Its processes can leave neither group nor session (they
//! have no such call), so that one `kill` reaches all of them at once, and a fork that is under
//! way when it comes does not escape: the host kernel restarts it and delivers the signal first.

use crate::raw_process::wait_for_end;
use capsid_platform_linux::boot::EXIT_ORDERLY;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process_group, waitid};
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How one process ended other than by `exit(0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadEnd {
    /// A signal killed it.
    Signal(i32),
    /// It exited with this code.
    Code(i32),
}

/// The processes of one sandbox.
#[derive(Debug)]
pub struct Processes {
    /// The first process, and the group.
    first: Pid,
    /// Processes known to be ours. While the lock is held none of our children is reaped, so that
    /// no number can come to mean another process.
    known: Mutex<HashSet<i32>>,
}

impl Processes {
    /// The sandbox whose first process is `first`, the leader of its own process group.
    pub fn new(first: Pid) -> Processes {
        Processes {
            first,
            known: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<i32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the kick signal to one thread: `ESRCH` unless the process is one of ours.
    pub fn kick(&self, process: u64, thread: u64) -> Result<(), Errno> {
        let [process, thread] =
            [process, thread].map(|id| i32::try_from(id).ok().filter(|id| *id > 0));
        let (Some(process), Some(thread)) = (process, thread) else {
            return Err(Errno::SRCH);
        };
        let mut known = self.lock();
        if !known.contains(&process) {
            self.check_ours(process)?;
            known.insert(process);
        }
        crate::raw_process::kick(process, thread)
    }

    /// `ESRCH` unless `process` is an unreaped child of the broker in the sandbox's group.
    fn check_ours(&self, process: i32) -> Result<(), Errno> {
        let pid = Pid::from_raw(process).ok_or(Errno::SRCH)?;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), look).map_err(|_| Errno::SRCH)?;
        if getpgid(Some(pid)) == Ok(self.first) {
            Ok(())
        } else {
            Err(Errno::SRCH)
        }
    }

    /// Sends a signal to every process.
    pub fn signal_all(&self, signal: Signal) {
        // Fails only when none is left.
        let _ = kill_process_group(self.first, signal);
    }

    /// Reaps processes as they end, until none is left. Calls `bad_end` for each that ended in
    /// another way than a sandbox ends its processes.
    pub fn reap_all(&self, mut bad_end: impl FnMut(Pid, BadEnd)) {
        loop {
            let ended = match wait_for_end(self.first) {
                Ok(ended) => ended,
                Err(Errno::INTR) => continue,
                Err(_) => return,
            };
            let mut known = self.lock();
            known.remove(&ended.pid.as_raw_nonzero().get());
            // The process has ended: this takes it away without waiting.
            let _ = waitid(WaitId::Pid(ended.pid), WaitIdOptions::EXITED);
            drop(known);
            match ended.code {
                EXIT_ORDERLY => {}
                signal @ ..0 => bad_end(ended.pid, BadEnd::Signal(-signal)),
                code => bad_end(ended.pid, BadEnd::Code(code)),
            }
        }
    }
}
