//! Terminals, tty(4): what they all have in common, pseudo-terminals, and the host's terminal.
//!
//! A [`Terminal`] knows a session and a foreground process group by their numbers only. Who is in
//! them, and who may do what, is the shim's affair; it hears of signals through [`on_signal`].

pub mod devpts;
pub mod host;
mod jobs;
pub mod line;
pub mod pty;
pub mod termios;

pub use jobs::Jobs;
pub use line::{Flow, ReadMode};
pub use termios::Termios;

use crate::fs::DeviceId;
use alloc::sync::Arc;
use bitflags::bitflags;
use capsid_platform::Errno;
use core::fmt::Debug;

/// The major number of the slaves of pseudo-terminals; the minor is their number.
pub const SLAVE_MAJOR: u32 = 136;
/// The major number of `/dev/tty` (minor 0), `/dev/console` (1) and `/dev/ptmx` (2).
pub const ALTERNATE_MAJOR: u32 = 5;

/// A signal that a terminal causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalSignal {
    /// A key: `VINTR`.
    Interrupt,
    /// A key: `VQUIT`.
    Quit,
    /// A key: `VSUSP`.
    Suspend,
    /// The window has another size.
    WindowChange,
    /// The terminal is gone.
    HangUp,
    /// Whoever is stopped goes on, to hear of the hang-up.
    Continue,
}

/// Who a terminal's signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// Every process of a process group.
    Group(u32),
    /// The leader of a session.
    Leader(u32),
}

static SIGNALLED: spin::Once<fn(Addressee, TerminalSignal)> = spin::Once::new();

/// Calls `deliver` with the signals that terminals cause, with no lock of theirs held. The first
/// call wins.
pub fn on_signal(deliver: fn(Addressee, TerminalSignal)) {
    SIGNALLED.call_once(|| deliver);
}

fn signal(addressee: Addressee, signal: TerminalSignal) {
    if let Some(deliver) = SIGNALLED.get() {
        deliver(addressee, signal);
    }
}

/// The size of a terminal's window, ioctl_tty(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of struct winsize")]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
    pub x_pixels: u16,
    pub y_pixels: u16,
}

/// When new attributes take effect, tcsetattr(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalChange {
    /// At once.
    Now,
    /// When what was written has been sent.
    Drain,
    /// As Drain, and what was not read is dropped.
    Flush,
}

bitflags! {
    /// What tcflush(3) drops.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Queues: u8 {
        /// What was typed and not read.
        const INPUT = 1;
        /// What was written and not shown.
        const OUTPUT = 2;
    }
}

/// A terminal as the processes on it see it.
pub trait Terminal: Send + Sync + Debug {
    /// Its session and foreground process group.
    fn jobs(&self) -> &Jobs;

    /// Its device number.
    fn device(&self) -> DeviceId;

    /// Whether it is gone: all that is left is `EIO`.
    fn is_hung_up(&self) -> bool;

    /// The attributes.
    fn attributes(&self) -> Result<Termios, Errno>;

    /// Sets the attributes.
    fn set_attributes(&self, when: TerminalChange, termios: &Termios) -> Result<(), Errno>;

    /// The size of the window.
    fn window_size(&self) -> Result<WindowSize, Errno>;

    /// Sets the size of the window, and tells the foreground group if it is another.
    fn set_window_size(&self, size: WindowSize) -> Result<(), Errno>;

    /// Drops what is on its way, tcflush(3).
    fn flush(&self, queues: Queues) -> Result<(), Errno>;

    /// Stops output or lets it go on, tcflow(3) `TCOOFF` and `TCOON`.
    fn set_output_flow(&self, flow: Flow) -> Result<(), Errno>;

    /// Sends the other side the key that stops it or lets it go on, `TCIOFF` and `TCION`.
    fn send_flow_key(&self, flow: Flow) -> Result<(), Errno>;

    /// How much a read waits for.
    fn read_mode(&self) -> ReadMode;

    /// Whether background jobs must not write (`TOSTOP`).
    fn stops_writers(&self) -> bool;
}

/// Whether two are one terminal.
#[must_use]
pub fn is_same(one: &Arc<dyn Terminal>, other: &Arc<dyn Terminal>) -> bool {
    core::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}
