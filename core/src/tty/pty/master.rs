//! The master of a pseudo-terminal: it types, and sees the screen.

use super::{PacketStatus, Pty, Slave, TYPED_BYTES, table};
use crate::fs::{File, Inode, Owner, WriteAt};
use crate::io::{Destination, Source};
use crate::tty::{Terminal, TerminalSignal, devpts};
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use capsid_platform::Errno;

/// How much is typed at once.
const CHUNK: usize = 1 << 12;

/// An open master.
#[derive(Debug)]
pub struct Master {
    pty: Arc<Pty>,
    /// The node that was opened.
    inode: Arc<dyn Inode>,
}

/// Makes a pseudo-terminal whose node belongs to `owner`, and opens its master: `ENOSPC`.
pub fn open_master(inode: &Arc<dyn Inode>, owner: Owner) -> Result<Arc<Master>, Errno> {
    Ok(Arc::new(Master {
        pty: table::allocate(owner)?,
        inode: inode.clone(),
    }))
}

impl Master {
    /// The pseudo-terminal.
    #[must_use]
    pub fn pty(&self) -> &Arc<Pty> {
        &self.pty
    }

    /// The terminal at the other side.
    #[must_use]
    pub fn terminal(&self) -> Arc<dyn Terminal> {
        self.pty.clone()
    }

    /// Opens a slave, `TIOCGPTPEER`: `EIO` while it is locked.
    pub fn open_slave(&self) -> Result<Arc<Slave>, Errno> {
        Slave::open(&self.pty, &devpts::node(&self.pty))
    }

    /// Keeps slaves from being opened, or lets them, `TIOCSPTLCK`.
    pub fn set_locked(&self, locked: bool) {
        self.pty.state.lock().locked = locked;
    }

    /// Whether slaves cannot be opened, `TIOCGPTLCK`.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.pty.state.lock().locked
    }

    /// Turns packet mode on or off, `TIOCPKT`.
    pub fn set_packet_mode(&self, on: bool) {
        let mut state = self.pty.state.lock();
        if on != state.packets.is_some() {
            state.packets = on.then(PacketStatus::empty);
        }
    }

    /// Whether packet mode is on, `TIOCGPKT`.
    #[must_use]
    pub fn is_packet_mode(&self) -> bool {
        self.pty.state.lock().packets.is_some()
    }

    /// Sends the foreground group a signal as if its key was typed, `TIOCSIG`.
    pub fn send_signal(&self, signal: TerminalSignal) {
        self.pty.jobs.signal_foreground(signal);
    }
}

impl File for Master {
    fn read(&self, _offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let pty = &*self.pty;
        let mut state = pty.state.lock();
        if destination.remaining() == 0 {
            return Ok(0);
        }
        let mut done = 0;
        if let Some(status) = state.packets {
            if !status.is_empty() {
                destination.put(&[status.bits()])?;
                state.packets = Some(PacketStatus::empty());
                return Ok(1);
            }
            if !state.screen.is_empty() {
                done = destination.put(&[0])?;
            }
        }
        if state.screen.is_empty() {
            return Err(if state.left {
                Errno::EIO
            } else {
                Errno::EAGAIN
            });
        }
        while destination.remaining() > 0 && !state.screen.is_empty() {
            let piece = state.screen.front();
            let wanted = piece.len().min(destination.remaining());
            match destination.put(&piece[..wanted]) {
                Ok(moved) => {
                    state.screen.consume(moved);
                    done += moved;
                    if moved < wanted {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        drop(state);
        pty.slave_queue.wake(Events::WRITABLE);
        Ok(done)
    }

    fn write(&self, _at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        let pty = &*self.pty;
        let mut bytes = [0; CHUNK];
        let mut done = 0;
        let mut signals = alloc::vec::Vec::new();
        let mut state = pty.state.lock();
        while source.remaining() > 0 {
            let room = TYPED_BYTES.saturating_sub(state.typed.len()).min(CHUNK);
            if room == 0 {
                break;
            }
            let wanted = room.min(source.remaining());
            match source.take(&mut bytes[..wanted]) {
                Ok(taken) => {
                    state.typed.extend(&bytes[..taken]);
                    signals.extend(state.digest());
                    done += taken;
                    if taken < wanted {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        let full = done == 0 && source.remaining() > 0;
        drop(state);
        for signal in signals {
            pty.jobs.signal_foreground(signal);
        }
        if full {
            return Err(Errno::EAGAIN);
        }
        pty.wake_all();
        Ok((done, 0))
    }

    fn readiness(&self) -> Events {
        let state = self.pty.state.lock();
        let mut events = Events::empty();
        if !state.screen.is_empty() {
            events |= Events::READABLE;
        }
        if state.has_packet() {
            events |= Events::READABLE | Events::PRI;
        }
        if state.left {
            events |= Events::HUP;
        }
        if state.typed.len() < TYPED_BYTES {
            events |= Events::WRITABLE;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pty.master_queue)
    }

    fn bytes_ready(&self) -> Result<usize, Errno> {
        Ok(self.pty.state.lock().screen.len())
    }

    fn bytes_unsent(&self) -> Result<usize, Errno> {
        Ok(0)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let pty = &*self.pty;
        table::release(pty.number());
        pty.state.lock().hung_up = true;
        pty.wake_all();
        pty.jobs.hang_up();
    }
}
