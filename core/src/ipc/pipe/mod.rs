//! Pipes and FIFOs, pipe(7), fifo(7).

mod contents;
mod transfer;

pub use transfer::{Keep, transfer};

use crate::fs::{DetachedInode, File, FileKind, Inode, Metadata, Owner, StatusFlags, WriteAt};
use crate::io::{Destination, Source};
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue};
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use capsid_platform::{Errno, PAGE_SIZE};
use contents::{PACKET_BYTES, PipeContents, Rest};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Writes of at most this many bytes are not mixed with others (`PIPE_BUF`).
pub const ATOMIC_BYTES: usize = PACKET_BYTES;
/// How many bytes a new pipe holds.
pub const DEFAULT_BYTES: usize = 65_536;
/// The most that an unprivileged task may let one hold (`/proc/sys/fs/pipe-max-size`).
pub const MAX_BYTES: usize = 1 << 20;

/// A pipe: what its two ends share.
#[derive(Debug)]
pub struct Pipe {
    contents: Mutex<PipeContents>,
    queue: WaitQueue,
    readers: Side,
    writers: Side,
    /// Stands for the pipe in `/proc/self/fd` and fstat(2).
    node: Node,
}

/// One side of a pipe.
#[derive(Debug, Default)]
struct Side {
    open: AtomicU32,
    /// How often it was opened, ever: who waits for a first opener sees even one that left.
    opened: AtomicU32,
}

/// Where the pipe's attributes are.
#[derive(Debug)]
enum Node {
    /// In the tree: a FIFO.
    Named(Arc<dyn Inode>),
    /// Nowhere.
    Detached(Arc<DetachedInode>),
}

/// What hangs on the inode of a FIFO: the pipe, while someone has it open.
type Slot = Mutex<Weak<Pipe>>;

/// An open end of a pipe, or both.
#[derive(Debug)]
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// What is written stays apart (`O_DIRECT`).
    writes_packets: AtomicBool,
    /// How often the other side had been opened when this end was.
    others_seen: u32,
    /// The other side was open when this end was opened: it may be gone before anybody asks.
    met_others: bool,
}

/// Makes a pipe and returns its reading and its writing end.
pub fn pair(owner: Owner) -> (PipeEnd, PipeEnd) {
    let node = DetachedInode::new(FileKind::Fifo, 0o600, owner, "pipe");
    let pipe = Pipe::new(Node::Detached(node.clone()));
    // So that opening /proc/self/fd/N finds it.
    if let Some(slot) = node.attachment().and_then(slot_of) {
        *slot.lock() = Arc::downgrade(&pipe);
    }
    let reader = PipeEnd::new(pipe.clone(), true, false);
    let writer = PipeEnd::new(pipe, false, true);
    (reader, writer)
}

fn slot_of(attachment: &crate::fs::Attachment) -> Option<Arc<Slot>> {
    attachment.get_or_attach(|| Arc::new(Slot::new(Weak::new())))
}

/// Opens the FIFO that `inode` is, without waiting for the other side: `ENXIO` for a
/// non-blocking writer without readers, and for file systems that cannot hold FIFOs. The caller
/// then waits until [`PipeEnd::is_joined`], unless the open is non-blocking.
pub fn open_fifo(inode: &Arc<dyn Inode>, flags: StatusFlags) -> Result<PipeEnd, Errno> {
    let slot = inode.attachment().and_then(slot_of).ok_or(Errno::ENXIO)?;
    let mut slot = slot.lock();
    let pipe = match slot.upgrade() {
        Some(pipe) => pipe,
        None => {
            let pipe = Pipe::new(Node::Named(inode.clone()));
            *slot = Arc::downgrade(&pipe);
            pipe
        }
    };
    let writes_only = flags.writable() && !flags.readable();
    if writes_only
        && flags.contains(StatusFlags::NONBLOCK)
        && pipe.readers.open.load(Ordering::SeqCst) == 0
    {
        return Err(Errno::ENXIO);
    }
    Ok(PipeEnd::new(pipe, flags.readable(), flags.writable()))
}

impl Pipe {
    fn new(node: Node) -> Arc<Pipe> {
        Arc::new(Pipe {
            contents: Mutex::new(PipeContents::new(DEFAULT_BYTES)),
            queue: WaitQueue::new(),
            readers: Side::default(),
            writers: Side::default(),
            node,
        })
    }

    /// How many bytes it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.contents.lock().limit()
    }

    /// Lets it hold `bytes`, rounded up to a power of two of pages: `EBUSY` if it holds more.
    /// Returns what it became.
    pub fn set_capacity(&self, bytes: usize) -> Result<usize, Errno> {
        let size = bytes
            .max(PAGE_SIZE)
            .checked_next_power_of_two()
            .filter(|&size| size <= 1 << 31)
            .ok_or(Errno::EINVAL)?;
        self.contents.lock().set_limit(size)?;
        self.queue.wake(Events::WRITABLE);
        Ok(size)
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.contents.lock().len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts bytes that were read, and could not be passed on, back to the front.
    pub fn unread(&self, bytes: &[u8]) -> Result<(), Errno> {
        self.put_back(bytes, false)
    }

    fn put_back(&self, bytes: &[u8], is_packet: bool) -> Result<(), Errno> {
        self.contents.lock().unread(bytes, is_packet)?;
        self.queue.wake(Events::READABLE);
        Ok(())
    }

    /// Takes out what fits, and says whether that is a packet.
    fn read(&self, destination: &mut Destination<'_>, rest: Rest) -> Result<(usize, bool), Errno> {
        let count = destination.remaining();
        if count == 0 {
            return Ok((0, false));
        }
        let mut contents = self.contents.lock();
        if contents.is_empty() {
            // Under the lock: what the last writer wrote came before it left.
            return if self.writers.open.load(Ordering::SeqCst) == 0 {
                Ok((0, false))
            } else {
                Err(Errno::EAGAIN)
            };
        }
        let done = contents.read(destination, count, rest)?;
        let writable = contents.free() >= ATOMIC_BYTES;
        drop(contents);
        if writable {
            self.queue.wake(Events::WRITABLE);
        }
        Ok(done)
    }

    fn write(&self, source: &mut Source<'_>, as_packets: bool) -> Result<usize, Errno> {
        let count = source.remaining();
        if count == 0 {
            return Ok(0);
        }
        if self.readers.open.load(Ordering::SeqCst) == 0 {
            return Err(Errno::EPIPE);
        }
        let mut contents = self.contents.lock();
        let free = contents.free();
        if free == 0 || (count <= ATOMIC_BYTES && free < count) {
            return Err(Errno::EAGAIN);
        }
        let done = if as_packets {
            contents.write_packets(source, count)?
        } else {
            contents.write(source, count)?
        };
        drop(contents);
        if done == 0 {
            return Err(Errno::EAGAIN);
        }
        self.queue.wake(Events::READABLE);
        Ok(done)
    }
}

impl Side {
    fn join(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.opened.fetch_add(1, Ordering::SeqCst);
    }

    fn opened(&self) -> u32 {
        self.opened.load(Ordering::SeqCst)
    }
}

impl PipeEnd {
    fn new(pipe: Arc<Pipe>, reads: bool, writes: bool) -> PipeEnd {
        let others = if reads { &pipe.writers } else { &pipe.readers };
        // Before this end joins, and can be seen.
        let others_seen = others.opened();
        let met_others = others.open.load(Ordering::SeqCst) > 0;
        if reads {
            pipe.readers.join();
        }
        if writes {
            pipe.writers.join();
        }
        pipe.queue.wake(Events::all());
        PipeEnd {
            pipe,
            reads,
            writes,
            writes_packets: AtomicBool::new(false),
            others_seen,
            met_others,
        }
    }

    /// The pipe.
    #[must_use]
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// Whether this end can be read.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.reads
    }

    /// Whether the other side is there, or was since this end was opened. Nobody waits for the
    /// other side of a pipe that has no name, opened through `/proc`.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        if !self.is_named() {
            return true;
        }
        let others = match (self.reads, self.writes) {
            (true, false) => &self.pipe.writers,
            (false, true) => &self.pipe.readers,
            _ => return true,
        };
        // Opening a pipe again through /proc/PID/fd never waits.
        !self.is_named()
            || self.met_others
            || others.open.load(Ordering::SeqCst) > 0
            || others.opened() != self.others_seen
    }
}

impl File for PipeEnd {
    fn read(&self, _offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        if !self.reads {
            return Err(Errno::EBADF);
        }
        Ok(self.pipe.read(destination, Rest::Dropped)?.0)
    }

    fn write(&self, _at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        if !self.writes {
            return Err(Errno::EBADF);
        }
        let as_packets = self.writes_packets.load(Ordering::Relaxed);
        Ok((self.pipe.write(source, as_packets)?, 0))
    }

    fn readiness(&self) -> Events {
        let pipe = &*self.pipe;
        let (filled, free) = {
            let contents = pipe.contents.lock();
            (contents.len(), contents.free())
        };
        let mut events = Events::empty();
        if self.reads {
            if filled > 0 {
                events |= Events::READABLE;
            }
            // Before the first writer of a FIFO came, nobody has hung up.
            let writers = &pipe.writers;
            if writers.open.load(Ordering::SeqCst) == 0
                && (self.others_seen != writers.opened() || self.met_others || !self.is_named())
            {
                events |= Events::HUP;
            }
        }
        if self.writes {
            if free >= ATOMIC_BYTES {
                events |= Events::WRITABLE;
            }
            if !self.reads && pipe.readers.open.load(Ordering::SeqCst) == 0 {
                events |= Events::ERR;
            }
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.queue)
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(match &self.pipe.node {
            Node::Named(inode) => inode.clone(),
            Node::Detached(inode) => inode.clone(),
        })
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        match &self.pipe.node {
            Node::Named(inode) => inode.metadata(),
            Node::Detached(inode) => inode.metadata(),
        }
    }

    fn label(&self) -> Option<String> {
        match &self.pipe.node {
            Node::Named(_) => None,
            Node::Detached(inode) => Some(inode.label()),
        }
    }

    fn bytes_ready(&self) -> Result<usize, Errno> {
        Ok(self.pipe.len())
    }

    fn status_changed(&self, flags: StatusFlags) {
        let packets = flags.contains(StatusFlags::DIRECT);
        self.writes_packets.store(packets, Ordering::Relaxed);
    }
}

impl PipeEnd {
    fn is_named(&self) -> bool {
        matches!(self.pipe.node, Node::Named(_))
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let pipe = &*self.pipe;
        let mut events = Events::empty();
        if self.reads && pipe.readers.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            events |= Events::WRITABLE | Events::ERR;
        }
        if self.writes && pipe.writers.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            events |= Events::READABLE | Events::HUP;
        }
        if !events.is_empty() {
            pipe.queue.wake(events);
        }
    }
}
