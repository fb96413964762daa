//! Standard input, output and error, which the broker holds. Where they are terminals, what is
//! open is a [`crate::tty::host::HostTerminalFile`] over them.

use crate::fs::{DeviceId, File, FileKind, Metadata, Owner, WriteAt};
use crate::host_events;
use crate::io::{Destination, Source};
use crate::tty::termios::TERMIOS_BYTES;
use crate::tty::{TerminalChange, WindowSize, host};
use crate::wait::{Events, WaitQueue};
use alloc::vec;
use capsid_platform::{Errno, platform};
use capsid_wire::layout::DATA_BYTES;
use capsid_wire::{HostStat, Operation, Reply, Request};

/// Who waits for each stream.
static QUEUES: [WaitQueue; 3] = [const { WaitQueue::new() }; 3];

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandardStream {
    /// 0, 1 or 2.
    index: u8,
}

impl StandardStream {
    /// Standard input.
    pub const INPUT: StandardStream = StandardStream { index: 0 };
    /// Standard output.
    pub const OUTPUT: StandardStream = StandardStream { index: 1 };
    /// Standard error.
    pub const ERROR: StandardStream = StandardStream { index: 2 };
    /// All, by descriptor number.
    pub const ALL: [StandardStream; 3] = [
        StandardStream::INPUT,
        StandardStream::OUTPUT,
        StandardStream::ERROR,
    ];

    /// Whether it is open on the host.
    #[must_use]
    pub fn is_open(self) -> bool {
        platform().info().boot.streams & (1 << self.index) != 0
    }

    /// Whether it is a terminal.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        platform().info().boot.terminals & (1 << self.index) != 0
    }

    fn queue(self) -> Option<&'static WaitQueue> {
        QUEUES.get(usize::from(self.index))
    }

    fn call(self, operation: Operation, args: [u64; 3], data: &mut [u8]) -> Result<Reply, Errno> {
        let [first, second, third] = args;
        let data_len = match operation {
            Operation::WriteOutput | Operation::TerminalAttributes => data.len(),
            _ => 0,
        };
        let request = Request {
            operation,
            args: [first, second, third, 0, 0, 0],
            data_len: u32::try_from(data_len).map_err(|_| Errno::EINVAL)?,
        };
        platform().broker_call(&request, data)
    }

    /// The attributes of the terminal, in the kernel's form: `ENOTTY`.
    pub fn terminal_attributes(self) -> Result<[u8; TERMIOS_BYTES], Errno> {
        let mut termios = [0; TERMIOS_BYTES];
        let args = [self.index.into(), 0, 0];
        self.call(Operation::TerminalAttributes, args, &mut termios)?;
        Ok(termios)
    }

    /// Sets the attributes of the terminal: `ENOTTY`.
    pub fn set_terminal_attributes(
        self,
        when: TerminalChange,
        termios: &[u8; TERMIOS_BYTES],
    ) -> Result<(), Errno> {
        let action = match when {
            TerminalChange::Now => 1,
            TerminalChange::Drain => 2,
            TerminalChange::Flush => 3,
        };
        let args = [self.index.into(), action, 0];
        self.call(Operation::TerminalAttributes, args, &mut termios.clone())?;
        Ok(())
    }

    /// The size of the terminal's window: `ENOTTY`.
    pub fn window_size(self) -> Result<WindowSize, Errno> {
        let reply = self.call(Operation::WindowSize, [self.index.into(), 0, 0], &mut [])?;
        let part = |place: u32| u16::try_from(reply.value >> (16 * place) & 0xffff).unwrap_or(0);
        Ok(WindowSize {
            rows: part(0),
            columns: part(1),
            x_pixels: part(2),
            y_pixels: part(3),
        })
    }

    /// What it is ready for, of `events`; with `watch`, it is announced when it becomes so.
    pub(crate) fn poll(self, events: Events, watch: bool) -> Events {
        let args = [self.index.into(), events.bits().into(), watch.into()];
        match self.call(Operation::PollStream, args, &mut []) {
            Ok(reply) => Events::from_bits_truncate(u32::try_from(reply.value).unwrap_or(0)),
            Err(_) => Events::ERR,
        }
    }

    /// Reads what is there: `EAGAIN` if nothing is.
    pub(crate) fn read_to(self, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let wanted = destination.remaining().min(DATA_BYTES);
        if wanted == 0 {
            return Ok(0);
        }
        let mut buffer = vec![0; wanted];
        let args = [wanted as u64, self.index.into(), 0];
        let reply = self.call(Operation::ReadInput, args, &mut buffer)?;
        let length = usize::try_from(reply.data_len).map_err(|_| Errno::EIO)?;
        destination.put(buffer.get(..length).ok_or(Errno::EIO)?)
    }

    /// Writes what fits: `EAGAIN` if nothing does.
    pub(crate) fn write_from(self, source: &mut Source<'_>) -> Result<usize, Errno> {
        let mut done = 0;
        loop {
            let mut buffer = vec![0; source.remaining().min(DATA_BYTES)];
            let result = source.peek(&mut buffer).and_then(|length| {
                let args = [self.index.into(), length as u64, 0];
                let bytes = buffer.get_mut(..length).ok_or(Errno::EIO)?;
                let reply = self.call(Operation::WriteOutput, args, bytes)?;
                let written = usize::try_from(reply.value).map_err(|_| Errno::EIO)?;
                Ok((length, source.skip(written)))
            });
            match result {
                Ok((length, written)) => {
                    done += written;
                    if written < length || source.remaining() == 0 {
                        return Ok(done);
                    }
                }
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Tells those who wait for stream `index` that it may have become ready.
pub(crate) fn announce(index: usize) {
    if let Some(queue) = QUEUES.get(index) {
        // Which of them is for the waiter to find out.
        queue.wake(Events::all());
    }
    host::announce();
}

impl File for StandardStream {
    fn read(&self, _offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        if self.index != 0 {
            return Err(Errno::EBADF);
        }
        self.read_to(destination)
    }

    fn write(&self, _at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        Ok((self.write_from(source)?, 0))
    }

    fn readiness(&self) -> Events {
        self.poll(Events::READABLE | Events::WRITABLE, false)
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        self.queue()
    }

    fn watch(&self, interest: Events) {
        host_events::listen();
        if !self.poll(interest, true).is_empty() {
            announce(self.index.into());
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mut bytes = [0; HostStat::BYTES];
        self.call(Operation::StatStream, [self.index.into(), 0, 0], &mut bytes)?;
        let stat = HostStat::from_bytes(&bytes).ok_or(Errno::EIO)?;
        Ok(Metadata {
            device: stat.device,
            inode: stat.inode,
            kind: FileKind::from_mode(stat.mode).ok_or(Errno::EIO)?,
            permissions: stat.mode & 0o7777,
            links: stat.links,
            owner: Owner {
                user: stat.user,
                group: stat.group,
            },
            special_device: DeviceId::decode(stat.special_device),
            size: stat.size,
            blocks: stat.blocks,
            block_size: 4096,
            atime: stat.atime_ns,
            mtime: stat.mtime_ns,
            ctime: stat.ctime_ns,
            btime: stat.btime_ns,
        })
    }
}
