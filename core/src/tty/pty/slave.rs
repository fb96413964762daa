//! The slave of a pseudo-terminal: a terminal, for the programs on it.

use super::Pty;
use crate::fs::{File, Inode, WriteAt};
use crate::io::{Destination, Source};
use crate::tty::Terminal;
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use capsid_platform::Errno;

/// How much is written at once.
const CHUNK: usize = 1 << 11;

/// An open slave.
#[derive(Debug)]
pub struct Slave {
    pty: Arc<Pty>,
    /// The node that was opened: its own, or `/dev/tty`.
    inode: Arc<dyn Inode>,
}

impl Slave {
    /// Opens it: `EIO` while it is locked, or once the master is closed.
    pub fn open(pty: &Arc<Pty>, inode: &Arc<dyn Inode>) -> Result<Arc<Slave>, Errno> {
        let mut state = pty.state.lock();
        if state.locked || state.hung_up {
            return Err(Errno::EIO);
        }
        state.slaves += 1;
        state.left = false;
        Ok(Arc::new(Slave {
            pty: pty.clone(),
            inode: inode.clone(),
        }))
    }
}

impl File for Slave {
    fn read(&self, _offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let mut state = self.pty.state.lock();
        if state.hung_up {
            // Its end, as Linux has it once the hang-up is complete.
            return Ok(0);
        }
        let result = state.line.read(destination);
        if state.typed.is_empty() {
            return result;
        }
        // There is room for more of what was typed, which others may wait for.
        let signals = state.digest();
        drop(state);
        self.pty.wake_all();
        for signal in signals {
            self.pty.jobs.signal_foreground(signal);
        }
        result
    }

    fn write(&self, _at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        let mut bytes = [0; CHUNK];
        let mut done = 0;
        let mut guard = self.pty.state.lock();
        let state = &mut *guard;
        if state.hung_up {
            return Err(Errno::EIO);
        }
        while source.remaining() > 0 && !state.line.is_stopped() {
            let count = match source.peek(&mut bytes) {
                Ok(count) => count,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let taken = state.line.write(&bytes[..count], &mut state.screen);
            done += source.skip(taken);
            if taken < count || count == 0 {
                break;
            }
        }
        drop(guard);
        if done == 0 && source.remaining() > 0 {
            return Err(Errno::EAGAIN);
        }
        self.pty.master_queue.wake(Events::READABLE);
        Ok((done, 0))
    }

    fn readiness(&self) -> Events {
        let state = self.pty.state.lock();
        if state.hung_up {
            return Events::READABLE | Events::WRITABLE | Events::ERR | Events::HUP;
        }
        let mut events = Events::empty();
        if state.line.is_ready() {
            events |= Events::READABLE;
        }
        if state.screen.room() >= CHUNK && !state.line.is_stopped() {
            events |= Events::WRITABLE;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pty.slave_queue)
    }

    fn bytes_ready(&self) -> Result<usize, Errno> {
        Ok(self.pty.state.lock().line.readable_bytes())
    }

    fn bytes_unsent(&self) -> Result<usize, Errno> {
        Ok(0)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn terminal(&self) -> Option<Arc<dyn Terminal>> {
        Some(self.pty.clone())
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        let mut state = self.pty.state.lock();
        state.slaves = state.slaves.saturating_sub(1);
        if state.slaves == 0 {
            state.left = true;
            drop(state);
            self.pty.master_queue.wake(Events::all());
        }
    }
}
