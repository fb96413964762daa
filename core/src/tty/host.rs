//! The terminal that the sandbox was started on, if there is one.
//!
//! It stays the host's: its line discipline works there, and its keys reach the sandbox as bytes
//! that were typed, or as signals that capsid got. Here are its session and foreground group
//! inside. How long a read waits (`VMIN`, `VTIME`) is decided here as well, so that no read of the
//! broker waits for a key.

use super::devpts;
use super::termios::{LocalModes, Special};
use super::{
    Flow, Jobs, Queues, ReadMode, SLAVE_MAJOR, Terminal, TerminalChange, TerminalSignal, Termios,
    WindowSize,
};
use crate::fs::stdio::StandardStream;
use crate::fs::{DeviceId, File, Inode, Owner, WriteAt};
use crate::host_events;
use crate::io::{Destination, Source};
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};
use alloc::sync::Arc;
use capsid_platform::{Clock, Errno, platform};

/// Its number in `/dev/pts`.
const NUMBER: u32 = 0;

/// Who waits for it.
static QUEUE: WaitQueue = WaitQueue::new();

/// The host's terminal.
#[derive(Debug)]
pub struct HostTerminal {
    jobs: Jobs,
    /// The stream that its attributes are asked for.
    control: StandardStream,
    state: Mutex<State>,
    node: Mutex<(Owner, u32, u64)>,
}

#[derive(Debug, Default)]
struct State {
    /// The attributes when they were last known.
    known: Option<Termios>,
    /// `VMIN` and `VTIME` as the guest set them.
    patience: Option<(u8, u8)>,
    /// The size that the guest set, until the window changes.
    size: Option<WindowSize>,
}

fn first_of(order: [StandardStream; 3]) -> Option<StandardStream> {
    order.into_iter().find(|stream| stream.is_terminal())
}

/// The terminal; `None` if no standard stream is one.
#[must_use]
pub fn terminal() -> Option<Arc<HostTerminal>> {
    static TERMINAL: spin::Once<Option<Arc<HostTerminal>>> = spin::Once::new();
    let made = TERMINAL.call_once(|| {
        let boot = &platform().info().boot;
        let owner = Owner {
            user: boot.user,
            group: boot.group,
        };
        Some(Arc::new(HostTerminal {
            jobs: Jobs::default(),
            control: first_of(StandardStream::ALL)?,
            state: Mutex::default(),
            node: Mutex::new((owner, 0o620, platform().now(Clock::Realtime))),
        }))
    });
    made.clone()
}

/// Whether a number in `/dev/pts` is the host's terminal.
#[must_use]
pub fn is_number(number: u32) -> bool {
    number == NUMBER && platform().info().boot.terminals != 0
}

/// Tells those who wait for it that it may have become ready.
pub(crate) fn announce() {
    QUEUE.wake(Events::all());
}

impl HostTerminal {
    /// The window has a size of its own again, and the attributes may be others: somebody else
    /// had the terminal.
    pub fn changed_outside(&self) {
        let mut state = self.state.lock();
        state.size = None;
        state.known = None;
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

    fn known(&self) -> Termios {
        let known = self.state.lock().known;
        match known {
            Some(termios) => termios,
            None => self.attributes().unwrap_or_default(),
        }
    }
}

impl Terminal for HostTerminal {
    fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    fn device(&self) -> DeviceId {
        DeviceId {
            major: SLAVE_MAJOR,
            minor: NUMBER,
        }
    }

    fn is_hung_up(&self) -> bool {
        false
    }

    fn attributes(&self) -> Result<Termios, Errno> {
        let mut termios = Termios::from_bytes(&self.control.terminal_attributes()?);
        let mut state = self.state.lock();
        if let Some((minimum, time)) = state.patience {
            termios.specials[Special::Minimum as usize] = minimum;
            termios.specials[Special::Time as usize] = time;
        }
        state.known = Some(termios);
        Ok(termios)
    }

    fn set_attributes(&self, when: TerminalChange, termios: &Termios) -> Result<(), Errno> {
        self.control
            .set_terminal_attributes(when, &termios.to_bytes())?;
        let mut state = self.state.lock();
        state.patience = Some((
            termios.special(Special::Minimum),
            termios.special(Special::Time),
        ));
        // What the host made of it is asked for when somebody wants to know.
        state.known = None;
        Ok(())
    }

    fn window_size(&self) -> Result<WindowSize, Errno> {
        let own = self.state.lock().size;
        match own {
            Some(size) => Ok(size),
            None => self.control.window_size(),
        }
    }

    fn set_window_size(&self, size: WindowSize) -> Result<(), Errno> {
        if self.window_size()? != size {
            self.state.lock().size = Some(size);
            self.jobs.signal_foreground(TerminalSignal::WindowChange);
        }
        Ok(())
    }

    fn flush(&self, queues: Queues) -> Result<(), Errno> {
        // What was written has left already.
        if queues.contains(Queues::INPUT) {
            let termios = self.attributes()?;
            self.control
                .set_terminal_attributes(TerminalChange::Flush, &termios.to_bytes())?;
        }
        Ok(())
    }

    fn set_output_flow(&self, _flow: Flow) -> Result<(), Errno> {
        Ok(())
    }

    fn send_flow_key(&self, _flow: Flow) -> Result<(), Errno> {
        Ok(())
    }

    fn read_mode(&self) -> ReadMode {
        ReadMode::of(&self.known())
    }

    fn stops_writers(&self) -> bool {
        self.known().local.contains(LocalModes::TOSTOP)
    }
}

/// The host's terminal, open.
#[derive(Debug)]
pub struct HostTerminalFile {
    terminal: Arc<HostTerminal>,
    input: StandardStream,
    output: StandardStream,
    /// The node that was opened: its own, or `/dev/tty`.
    inode: Arc<dyn Inode>,
}

impl HostTerminalFile {
    /// The terminal as one of the standard streams has it; `None` if that is none.
    #[must_use]
    pub fn of(stream: StandardStream) -> Option<HostTerminalFile> {
        let terminal = terminal().filter(|_| stream.is_terminal())?;
        Some(HostTerminalFile {
            input: stream,
            output: stream,
            inode: devpts::host_node(&terminal),
            terminal,
        })
    }

    /// Opens it: `ENXIO` if there is none.
    pub fn open(inode: &Arc<dyn Inode>) -> Result<HostTerminalFile, Errno> {
        use StandardStream as Stream;
        Ok(HostTerminalFile {
            inode: inode.clone(),
            terminal: terminal().ok_or(Errno::ENXIO)?,
            input: first_of(Stream::ALL).ok_or(Errno::ENXIO)?,
            output: first_of([Stream::ERROR, Stream::OUTPUT, Stream::INPUT]).ok_or(Errno::ENXIO)?,
        })
    }

    fn poll(&self, interest: Events, watch: bool) -> Events {
        if self.input == self.output {
            return self.input.poll(interest, watch);
        }
        let (readable, writable) = (Events::READABLE, Events::WRITABLE);
        let mut ready = self.input.poll(interest - writable, watch);
        if interest.intersects(writable) {
            ready |= self.output.poll(interest - readable, watch);
        }
        ready
    }
}

impl File for HostTerminalFile {
    fn read(&self, _offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        self.input.read_to(destination)
    }

    fn write(&self, _at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        Ok((self.output.write_from(source)?, 0))
    }

    fn readiness(&self) -> Events {
        self.poll(Events::READABLE | Events::WRITABLE, false)
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&QUEUE)
    }

    fn watch(&self, interest: Events) {
        host_events::listen();
        if !self.poll(interest, true).is_empty() {
            announce();
        }
    }

    fn bytes_ready(&self) -> Result<usize, Errno> {
        // The host does not say how many.
        let ready = self.poll(Events::READABLE, false);
        Ok(usize::from(ready.intersects(Events::READABLE)))
    }

    fn bytes_unsent(&self) -> Result<usize, Errno> {
        Ok(0)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn terminal(&self) -> Option<Arc<dyn Terminal>> {
        Some(self.terminal.clone())
    }
}
