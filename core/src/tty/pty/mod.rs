//! Pseudo-terminals, pty(7): a terminal whose keys and screen are another file, the master.

mod master;
mod slave;
mod table;
#[cfg(test)]
mod tests;

pub use master::{Master, open_master};
pub use slave::Slave;
pub use table::{find, numbers};

use super::line::{Line, Screen};
use super::{
    Flow, Jobs, Queues, ReadMode, SLAVE_MAJOR, Terminal, TerminalChange, TerminalSignal, Termios,
    WindowSize,
};
use crate::fs::{DeviceId, Owner};
use crate::sync::Mutex;
use crate::tty::termios::{InputModes, LocalModes, Special};
use crate::wait::{Events, WaitQueue};
use alloc::collections::VecDeque;
use bitflags::bitflags;
use capsid_platform::{Clock, Errno, platform};

/// How many typed bytes wait beside those in the line discipline.
const TYPED_BYTES: usize = 1 << 16;

bitflags! {
    /// What a master in packet mode is told, ioctl_tty(2) `TIOCPKT`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PacketStatus: u8 {
        /// Input was flushed.
        const FLUSH_READ = 1;
        /// Output was flushed.
        const FLUSH_WRITE = 2;
        /// Output stopped.
        const STOP = 4;
        /// Output goes on.
        const START = 8;
        /// The keys `^S` and `^Q` have no meaning now.
        const NO_STOP = 16;
        /// They stop and start output now.
        const DO_STOP = 32;
        /// Attributes changed (with `EXTPROC`).
        const IOCTL = 64;
    }
}

/// A pair of a master and the slaves that were opened.
#[derive(Debug)]
pub struct Pty {
    number: u32,
    jobs: Jobs,
    state: Mutex<State>,
    /// Who waits at the master.
    master_queue: WaitQueue,
    /// Who waits at a slave.
    slave_queue: WaitQueue,
    /// Owner, permission bits and birth of the node in `/dev/pts`.
    node: Mutex<(Owner, u32, u64)>,
}

#[derive(Debug, Default)]
struct State {
    line: Line,
    screen: Screen,
    /// What was typed and has no room in the line yet.
    typed: VecDeque<u8>,
    window: WindowSize,
    /// Slaves cannot be opened, `TIOCSPTLCK`.
    locked: bool,
    /// How many slaves are open.
    slaves: usize,
    /// A slave was open, and none is any more.
    left: bool,
    /// The master was closed.
    hung_up: bool,
    /// Packet mode, and what the master was not told yet.
    packets: Option<PacketStatus>,
    /// Others may not open it, `TIOCEXCL`.
    exclusive: bool,
}

impl State {
    fn note(&mut self, status: PacketStatus) {
        if let Some(packets) = &mut self.packets {
            // The newest of a pair of opposites counts.
            let opposite = match status {
                PacketStatus::STOP => PacketStatus::START,
                PacketStatus::START => PacketStatus::STOP,
                PacketStatus::NO_STOP => PacketStatus::DO_STOP,
                PacketStatus::DO_STOP => PacketStatus::NO_STOP,
                _ => PacketStatus::empty(),
            };
            *packets = (*packets - opposite) | status;
        }
    }

    fn has_packet(&self) -> bool {
        self.packets.is_some_and(|status| !status.is_empty())
    }

    fn flush(&mut self, queues: Queues) {
        if queues.contains(Queues::INPUT) {
            self.line.flush_input();
            self.typed.clear();
            self.note(PacketStatus::FLUSH_READ);
        }
        if queues.contains(Queues::OUTPUT) {
            self.screen.flush();
            self.note(PacketStatus::FLUSH_WRITE);
        }
    }

    /// Gives the line discipline what was typed, as far as there is room, and returns the signals
    /// that it caused.
    fn digest(&mut self) -> alloc::vec::Vec<TerminalSignal> {
        let mut signals = alloc::vec::Vec::new();
        while self.line.has_room() {
            let Some(byte) = self.typed.pop_front() else {
                break;
            };
            let received = self.line.receive(byte, &mut self.screen);
            signals.extend(received.signal);
            if received.flush {
                self.note(PacketStatus::FLUSH_READ);
                self.note(PacketStatus::FLUSH_WRITE);
            }
            if let Some(flow) = received.flow {
                self.note(status_of(flow));
            }
        }
        signals
    }
}

fn status_of(flow: Flow) -> PacketStatus {
    match flow {
        Flow::Stop => PacketStatus::STOP,
        Flow::Start => PacketStatus::START,
    }
}

/// Whether `^S` and `^Q` stop and start output, as a master in packet mode is told.
fn stops_by_keys(termios: &Termios) -> bool {
    termios.input.contains(InputModes::IXON)
        && termios.special(Special::Stop) == 0o23
        && termios.special(Special::Start) == 0o21
}

impl Pty {
    fn new(number: u32, owner: Owner) -> Pty {
        let state = State {
            locked: true,
            ..State::default()
        };
        let born = platform().now(Clock::Realtime);
        Pty {
            number,
            jobs: Jobs::default(),
            state: Mutex::new(state),
            master_queue: WaitQueue::new(),
            slave_queue: WaitQueue::new(),
            node: Mutex::new((owner, 0o620, born)),
        }
    }

    /// Its number in `/dev/pts`.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Owner, permission bits and birth (ns since the Unix epoch) of its node.
    #[must_use]
    pub fn node(&self) -> (Owner, u32, u64) {
        *self.node.lock()
    }

    /// Changes owner and permission bits of its node.
    pub fn set_node(&self, owner: Owner, permissions: u32) {
        let mut node = self.node.lock();
        (node.0, node.1) = (owner, permissions);
    }

    /// Keeps others from opening it, or lets them again, `TIOCEXCL`, `TIOCNXCL`.
    pub fn set_exclusive(&self, exclusive: bool) {
        self.state.lock().exclusive = exclusive;
    }

    /// Whether others may not open it, `TIOCGEXCL`.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.state.lock().exclusive
    }

    /// Tells both sides that something may have changed.
    fn wake_all(&self) {
        self.master_queue.wake(Events::all());
        self.slave_queue.wake(Events::all());
    }
}

impl Terminal for Pty {
    fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    fn device(&self) -> DeviceId {
        DeviceId {
            major: SLAVE_MAJOR,
            minor: self.number,
        }
    }

    fn is_hung_up(&self) -> bool {
        self.state.lock().hung_up
    }

    fn attributes(&self) -> Result<Termios, Errno> {
        Ok(*self.state.lock().line.termios())
    }

    fn set_attributes(&self, when: TerminalChange, termios: &Termios) -> Result<(), Errno> {
        let new = termios.for_pseudo_terminal();
        let mut state = self.state.lock();
        if when == TerminalChange::Flush {
            state.flush(Queues::INPUT);
        }
        let old = *state.line.termios();
        let was_stopped = state.line.is_stopped();
        state.line.set_termios(new);
        if was_stopped && !state.line.is_stopped() {
            state.note(PacketStatus::START);
        }
        match (stops_by_keys(&old), stops_by_keys(&new)) {
            (false, true) => state.note(PacketStatus::DO_STOP),
            (true, false) => state.note(PacketStatus::NO_STOP),
            _ => {}
        }
        if (old.local | new.local).contains(LocalModes::EXTPROC) {
            state.note(PacketStatus::IOCTL);
        }
        let signals = state.digest();
        drop(state);
        self.wake_all();
        for signal in signals {
            self.jobs.signal_foreground(signal);
        }
        Ok(())
    }

    fn window_size(&self) -> Result<WindowSize, Errno> {
        Ok(self.state.lock().window)
    }

    fn set_window_size(&self, size: WindowSize) -> Result<(), Errno> {
        let before = core::mem::replace(&mut self.state.lock().window, size);
        if before != size {
            self.jobs.signal_foreground(TerminalSignal::WindowChange);
        }
        Ok(())
    }

    fn flush(&self, queues: Queues) -> Result<(), Errno> {
        self.state.lock().flush(queues);
        self.wake_all();
        Ok(())
    }

    fn set_output_flow(&self, flow: Flow) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.line.set_flow(flow) {
            state.note(status_of(flow));
        }
        drop(state);
        self.wake_all();
        Ok(())
    }

    fn send_flow_key(&self, flow: Flow) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let key = match flow {
            Flow::Stop => Special::Stop,
            Flow::Start => Special::Start,
        };
        let key = state.line.termios().special(key);
        if key != super::termios::DISABLED {
            state.screen.push(key);
        }
        drop(state);
        self.master_queue.wake(Events::READABLE);
        Ok(())
    }

    fn read_mode(&self) -> ReadMode {
        ReadMode::of(self.state.lock().line.termios())
    }

    fn stops_writers(&self) -> bool {
        let state = self.state.lock();
        state.line.termios().local.contains(LocalModes::TOSTOP)
    }
}
