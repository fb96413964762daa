//! Standard input, output and error.
//!
//! All calls here return at once. The descriptors are the user's and shared with other processes,
//! so their flags stay as they are: `RWF_NOWAIT` and poll(2) keep the broker from blocking. A
//! terminal is opened anew instead: that description is non-blocking. When capsid is a background
//! job, the host stops it where it would stop any program that touches its terminal.

use crate::events::Events;
use capsid_wire::message::EVENT_STREAM;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How much is written at once to a stream that may block although poll(2) says it is ready.
/// POSIX promises this much room in a pipe.
const CAREFUL_WRITE: usize = 4096;

/// Whether the sandbox may read terminals through standard output and error, as programs do whose
/// input is a pipe: the descriptors allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalInput {
    /// It may.
    Allowed,
    /// The user gave it no input.
    Refused,
}

/// The standard streams; `None` for one that is closed.
#[derive(Debug)]
pub struct Streams {
    input: TerminalInput,
    streams: [Option<Stream>; 3],
    /// Makes the watcher look at what is watched anew.
    changed: OwnedFd,
    /// The events to announce, per stream.
    watched: Mutex<[PollFlags; 3]>,
    stop: AtomicBool,
}

#[derive(Debug)]
struct Stream {
    file: OwnedFd,
    kind: Kind,
    /// `RWF_NOWAIT` works on it, as far as is known.
    nowait: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Always ready, and never blocks for longer than the storage takes.
    Regular,
    /// Opened by the broker for itself, non-blocking.
    Terminal,
    /// A terminal that could not be opened anew.
    SharedTerminal,
    /// A pipe, a socket or a device.
    Other,
}

/// Opens a terminal for the broker alone. That fails where the user may use it and not open it,
/// as after su(1).
fn open_anew(terminal: &OwnedFd) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", terminal.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

impl Stream {
    fn new(file: OwnedFd) -> Stream {
        let regular = rustix::fs::fstat(&file)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        let kind = match regular {
            true => Kind::Regular,
            false if rustix::termios::isatty(&file) => Kind::SharedTerminal,
            false => Kind::Other,
        };
        let own = match kind {
            Kind::SharedTerminal => open_anew(&file),
            _ => None,
        };
        let (file, kind) = match own {
            Some(own) => (own, Kind::Terminal),
            None => (file, kind),
        };
        Stream {
            file,
            kind,
            nowait: AtomicBool::new(kind == Kind::Other),
        }
    }

    fn is_terminal(&self) -> bool {
        [Kind::Terminal, Kind::SharedTerminal].contains(&self.kind)
    }

    /// What of `events` is there now; errors and hang-ups always.
    fn ready(&self, events: PollFlags) -> Result<PollFlags, Errno> {
        let mut files = [PollFd::new(&self.file, events)];
        match poll(&mut files, Some(&Timespec::default())) {
            Ok(_) | Err(Errno::INTR) => Ok(files[0].revents()),
            Err(error) => Err(error),
        }
    }

    /// Tries `attempt` with `RWF_NOWAIT`; `None` if the stream does not know it.
    fn without_waiting(
        &self,
        attempt: impl FnOnce(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> Option<Result<usize, Errno>> {
        if !self.nowait.load(Ordering::Relaxed) {
            return None;
        }
        match attempt(self.file.as_fd()) {
            // ESPIPE comes from devices without positions that take no vectored flags.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::SPIPE) => {
                self.nowait.store(false, Ordering::Relaxed);
                None
            }
            outcome => Some(outcome),
        }
    }

    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let nowait = self.without_waiting(|file| {
            let target = &mut [IoSliceMut::new(buffer)];
            rustix::io::preadv2(file, target, u64::MAX, ReadWriteFlags::NOWAIT)
        });
        if let Some(outcome) = nowait {
            return outcome;
        }
        let blocks = [Kind::SharedTerminal, Kind::Other].contains(&self.kind);
        if blocks && self.ready(PollFlags::IN)?.is_empty() {
            return Err(Errno::AGAIN);
        }
        rustix::io::read(&self.file, buffer)
    }

    fn write_some(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let nowait = self.without_waiting(|file| {
            let source = &[IoSlice::new(bytes)];
            rustix::io::pwritev2(file, source, u64::MAX, ReadWriteFlags::NOWAIT)
        });
        if let Some(outcome) = nowait {
            return outcome;
        }
        if [Kind::Regular, Kind::Terminal].contains(&self.kind) {
            return rustix::io::write(&self.file, bytes);
        }
        if self.ready(PollFlags::OUT)?.is_empty() {
            return Err(Errno::AGAIN);
        }
        rustix::io::write(&self.file, &bytes[..bytes.len().min(CAREFUL_WRITE)])
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut done = 0;
        while done < bytes.len() {
            match self.write_some(&bytes[done..]) {
                Ok(0) => break,
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

impl Streams {
    /// Takes the streams to give to the sandbox.
    pub fn new(files: [Option<OwnedFd>; 3], input: TerminalInput) -> Result<Arc<Streams>, Errno> {
        Ok(Arc::new(Streams {
            input,
            streams: files.map(|file| file.map(Stream::new)),
            changed: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            watched: Mutex::new([PollFlags::empty(); 3]),
            stop: AtomicBool::new(false),
        }))
    }

    fn stream(&self, index: u64) -> Result<&Stream, Errno> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.streams.get(index)?.as_ref())
            .ok_or(Errno::BADF)
    }

    /// The descriptor of a stream: `EBADF`.
    pub fn file(&self, index: u64) -> Result<BorrowedFd<'_>, Errno> {
        Ok(self.stream(index)?.file.as_fd())
    }

    /// Bits of the streams that are open, and of those that are terminals.
    pub fn describe(&self) -> (u8, u8) {
        let mut bits = (0, 0);
        for (index, stream) in self.streams.iter().enumerate() {
            if let Some(stream) = stream {
                bits.0 |= 1 << index;
                bits.1 |= u8::from(stream.is_terminal()) << index;
            }
        }
        bits
    }

    /// Reads from standard input (0), or from another stream that is a terminal; 0 at its end,
    /// `EAGAIN` if there is nothing yet.
    pub fn read(&self, index: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let stream = self.stream(index)?;
        if index != 0 {
            if !stream.is_terminal() {
                return Err(Errno::BADF);
            }
            if self.input == TerminalInput::Refused {
                return Err(Errno::IO);
            }
        }
        stream.read(buffer)
    }

    /// Writes to standard output (1) or error (2), or to standard input if that is a terminal,
    /// what fits: `EAGAIN` if nothing does, `EPIPE`.
    pub fn write(&self, index: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let stream = self.stream(index)?;
        if index == 0 && !stream.is_terminal() {
            return Err(Errno::BADF);
        }
        stream.write(bytes)
    }

    /// What a stream is ready for now.
    pub fn poll(&self, index: u64, events: u64) -> Result<u64, Errno> {
        let events = PollFlags::from_bits_truncate(u16::try_from(events).unwrap_or(0));
        Ok(self.stream(index)?.ready(events)?.bits().into())
    }

    /// Announces the stream once, as soon as one of `events` is there. Says whether a watcher
    /// must be running now.
    pub fn watch(&self, index: u64, events: u64) -> Result<(), Errno> {
        self.stream(index)?;
        let events = PollFlags::from_bits_truncate(u16::try_from(events).unwrap_or(0));
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = usize::try_from(index).ok().and_then(|i| watched.get_mut(i)) {
            *entry |= events;
        }
        drop(watched);
        self.notify();
        Ok(())
    }

    /// Ends [`Streams::run_watcher`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.notify();
    }

    fn notify(&self) {
        // Fails only if the counter is full: then the watcher will wake anyway.
        let _ = rustix::io::write(&self.changed, &1u64.to_ne_bytes());
    }

    /// The watcher thread: announces watched streams when they become ready.
    pub fn run_watcher(&self, events: &Events) {
        while !self.stop.load(Ordering::SeqCst) {
            let watched = *self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            let mut files = vec![PollFd::new(&self.changed, PollFlags::IN)];
            let mut indices = Vec::new();
            for (index, stream) in self.streams.iter().enumerate() {
                if let (Some(stream), false) = (stream, watched[index].is_empty()) {
                    files.push(PollFd::new(&stream.file, watched[index]));
                    indices.push(index);
                }
            }
            if poll(&mut files, None).is_err_and(|error| error != Errno::INTR) {
                return;
            }
            let ready: Vec<usize> = files
                .iter()
                .skip(1)
                .zip(&indices)
                .filter(|(file, _)| !file.revents().is_empty())
                .map(|(_, index)| *index)
                .collect();
            // Empties the counter; it is non-blocking.
            let _ = rustix::io::read(&self.changed, &mut [0; 8]);
            let mut bits = 0;
            {
                let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
                for index in ready {
                    watched[index] = PollFlags::empty();
                    bits |= EVENT_STREAM << index;
                }
            }
            if bits != 0 {
                events.announce(bits);
            }
        }
    }
}
