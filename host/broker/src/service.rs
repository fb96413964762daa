//! Serving a sandbox's requests: decodes each, checks it, and passes it to who can do it.

use crate::attributes::{Change, append};
use crate::directory::read_directory;
use crate::events::Events;
use crate::export::{Export, Tools};
use crate::flush::Flusher;
use crate::handles::{Handle, Handles};
use crate::log::Log;
use crate::outcome::{End, Outcome};
use crate::paths::ExportPath;
use crate::processes::Processes;
use crate::ring::{Answer, Disposition, RawRequest, Ring, Service};
use crate::streams::Streams;
use crate::terminal::{SavedTerminals, window_size};
use capsid_wire::Operation;
use capsid_wire::layout::DATA_BYTES;
use capsid_wire::message::{LOOKUP_HANDLE, OPEN_NO_DONATION, OPEN_NO_HANDLE};
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The flags of open(2) that a sandbox may ask for.
const OPEN_FLAGS: OFlags = OFlags::ACCMODE
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::TRUNC)
    .union(OFlags::APPEND)
    .union(OFlags::DIRECTORY);

/// The parts of the broker that threads share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The ring.
    pub ring: Arc<Ring>,
    /// Announcements.
    pub events: Arc<Events>,
    /// Standard streams.
    pub streams: Arc<Streams>,
    /// Lines for people.
    pub log: Arc<Mutex<Log>>,
    /// How the run ends.
    pub outcome: Arc<Outcome>,
    /// Whoever started capsid on its terminal can continue it when it stops.
    pub job_control: bool,
}

/// The state of the ring thread.
#[derive(Debug)]
pub struct Broker {
    shared: Shared,
    processes: Arc<OnceLock<Processes>>,
    exports: Vec<Export>,
    tools: Tools,
    handles: Handles,
    terminals: SavedTerminals,
    flusher: Option<Flusher>,
    watching: bool,
}

type Outcomes = Result<Answer, Errno>;

fn value(value: u64) -> Outcomes {
    Ok(Answer {
        value,
        donated: None,
    })
}

impl Broker {
    /// Makes the broker of one sandbox, with room for `most_handles` open files. The sandbox's
    /// processes are set once there are any.
    pub fn new(
        shared: Shared,
        processes: Arc<OnceLock<Processes>>,
        exports: Vec<Export>,
        tools: Tools,
        most_handles: usize,
    ) -> Broker {
        Broker {
            shared,
            processes,
            exports,
            tools,
            handles: Handles::new(most_handles),
            terminals: SavedTerminals::default(),
            flusher: None,
            watching: false,
        }
    }

    fn export(&self, index: u64) -> Result<&Export, Errno> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.exports.get(index))
            .ok_or(Errno::BADF)
    }

    /// Answers the requests that name an export and a path.
    fn path_request(
        &self,
        operation: Operation,
        request: &RawRequest<'_>,
        reply: &mut Vec<u8>,
    ) -> Outcomes {
        let [export, a, ..] = request.args;
        let export = self.export(export)?;
        let (first, second) = match operation {
            Operation::Rename | Operation::Link | Operation::Symlink => {
                let length = usize::try_from(a).map_err(|_| Errno::INVAL)?;
                request.data.split_at_checked(length).ok_or(Errno::INVAL)?
            }
            _ => (request.data, &[][..]),
        };
        if operation == Operation::Symlink {
            if first.is_empty() || first.len() > 4095 || first.contains(&0) {
                return Err(Errno::INVAL);
            }
            let made = export.symlink(ExportPath::new(second)?, first)?;
            return self.described(&made, reply);
        }
        let path = ExportPath::new(first)?;
        match operation {
            Operation::ReadLink => reply.extend_from_slice(&export.read_link(path)?),
            Operation::MakeDirectory => {
                let made = export.make_directory(path, a)?;
                return self.described(&made, reply);
            }
            Operation::MakeNode => {
                let made = export.make_node(path, a)?;
                return self.described(&made, reply);
            }
            Operation::Unlink => export.unlink(path, a == 1)?,
            Operation::Rename => export.rename(path, ExportPath::new(second)?, request.args[2])?,
            Operation::Link => export.link(path, ExportPath::new(second)?)?,
            Operation::SetAttributes => {
                export.check_writable()?;
                let file = export.resolve(path)?;
                self.change(&file, request)?;
                return self.described(&file, reply);
            }
            Operation::FileSystemStat => {
                let file = export.resolve(ExportPath::new(b"")?)?;
                let stat = rustix::fs::fstatfs(&file)?;
                let words = [
                    stat.f_type.cast_unsigned(),
                    stat.f_bsize.cast_unsigned(),
                    stat.f_blocks,
                    stat.f_bfree,
                    stat.f_bavail,
                    stat.f_files,
                    stat.f_ffree,
                    stat.f_namelen.cast_unsigned(),
                ];
                reply.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            }
            _ => return Err(Errno::NOSYS),
        }
        value(reply.len() as u64)
    }

    fn look_up(&mut self, request: &RawRequest<'_>, reply: &mut Vec<u8>) -> Outcomes {
        let [number, flags, skip, ..] = request.args;
        let path = ExportPath::new(request.data)?;
        let skip = usize::try_from(skip).map_err(|_| Errno::INVAL)?;
        let export = self.export(number)?;
        let (outcome, opened) = export.lookup(path, flags, skip, &self.tools, reply);
        let donated = opened.map(Arc::new);
        if let Some(file) = &donated
            && flags & LOOKUP_HANDLE != 0
        {
            let handle = Handle {
                file: file.clone(),
                export: usize::try_from(number).map_err(|_| Errno::BADF)?,
                directory: None,
            };
            let handle = self.handles.add(handle).unwrap_or(0);
            reply.extend_from_slice(&handle.to_le_bytes());
        }
        Ok(Answer {
            value: outcome.to_value(),
            donated,
        })
    }

    fn described(&self, file: &OwnedFd, reply: &mut Vec<u8>) -> Outcomes {
        append(reply, file, self.tools.ids)?;
        value(0)
    }

    fn change(&self, file: &OwnedFd, request: &RawRequest<'_>) -> Result<(), Errno> {
        let [_, mask, mode, owner, atime, mtime] = request.args;
        let change = Change([mask, mode, owner, atime, mtime]);
        change.apply(file.as_fd(), &self.tools.reopener, self.tools.ids)
    }

    fn open(&mut self, request: &RawRequest<'_>, reply: &mut Vec<u8>) -> Outcomes {
        let [export, flags, mode, options, ..] = request.args;
        let flags = u32::try_from(flags)
            .ok()
            .and_then(OFlags::from_bits)
            .filter(|flags| OPEN_FLAGS.contains(*flags))
            .ok_or(Errno::INVAL)?;
        let path = ExportPath::new(request.data)?;
        let (opened, stat) = self.export(export)?.open(path, flags, mode, &self.tools)?;
        let opened = Arc::new(opened);
        let is_directory = crate::attributes::file_type(&stat).is_dir();
        reply.extend_from_slice(&crate::attributes::to_wire(&stat, self.tools.ids).to_bytes());
        // A directory would be a capability to everything below it; it stays here.
        let donated = if is_directory || options & OPEN_NO_DONATION != 0 {
            None
        } else {
            Some(opened.clone())
        };
        if options & OPEN_NO_HANDLE != 0 {
            return Ok(Answer { value: 0, donated });
        }
        let handle = Handle {
            file: opened,
            export: usize::try_from(export).map_err(|_| Errno::BADF)?,
            directory: is_directory.then(|| request.data.to_vec()),
        };
        let value = self.handles.add(handle)?;
        Ok(Answer { value, donated })
    }

    /// Answers the requests that name a handle.
    fn handle_request(
        &mut self,
        operation: Operation,
        request: &RawRequest<'_>,
        reply: &mut Vec<u8>,
    ) -> Disposition {
        let [number, a, b, c, ..] = request.args;
        let handle = match self.handles.get(number) {
            Ok(handle) => handle,
            Err(error) => return Disposition::Answered(Err(error)),
        };
        let file = &handle.file;
        let answer = match operation {
            Operation::Close => {
                let more = request.data.as_chunks::<8>().0;
                let all = more.iter().map(|bytes| u64::from_le_bytes(*bytes));
                let closed = all.map(|number| self.handles.remove(number));
                let result = closed.fold(Ok(()), Result::and);
                self.handles
                    .remove(number)
                    .and(result)
                    .map(|()| Answer::default())
            }
            Operation::ReadDirectory => self.list(handle, a, reply),
            Operation::StatHandle => self.described(file, reply),
            Operation::SetHandleAttributes => self
                .export(handle.export as u64)
                .and_then(Export::check_writable)
                .and_then(|()| self.change(file, request))
                .and_then(|()| self.described(file, reply)),
            Operation::Allocate => allocate(file, a, b, c),
            Operation::Sync => {
                let file = file.clone();
                let ring = &self.shared.ring;
                let flusher = self
                    .flusher
                    .get_or_insert_with(|| Flusher::start(ring.clone()));
                return match flusher.flush(request.slot, file, a == 1) {
                    Ok(()) => Disposition::Later,
                    Err(error) => Disposition::Answered(Err(error)),
                };
            }
            _ => Err(Errno::NOSYS),
        };
        Disposition::Answered(answer)
    }

    fn list(&self, handle: &Handle, cookie: u64, reply: &mut Vec<u8>) -> Outcomes {
        let directory = handle.directory.as_deref().ok_or(Errno::NOTDIR)?;
        let export = self.exports.get(handle.export).ok_or(Errno::BADF)?;
        let shows = |name: &[u8]| export.shows(directory, name);
        value(read_directory(&handle.file, cookie, shows, reply)?)
    }

    /// Answers the requests about the standard streams.
    fn stream_request(
        &mut self,
        operation: Operation,
        request: &RawRequest<'_>,
        reply: &mut Vec<u8>,
    ) -> Outcomes {
        let [stream, a, b, ..] = request.args;
        let streams = &self.shared.streams;
        match operation {
            Operation::ReadInput => {
                let (length, stream) = (stream, a);
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                reply.resize(length.min(DATA_BYTES), 0);
                let read = streams.read(stream, reply)?;
                reply.truncate(read);
                value(read as u64)
            }
            Operation::WriteOutput => {
                let length = usize::try_from(a).unwrap_or(usize::MAX);
                let bytes = request.data.get(..length).unwrap_or(request.data);
                value(streams.write(stream, bytes)? as u64)
            }
            Operation::PollStream => {
                let ready = streams.poll(stream, a)?;
                if ready == 0 && b == 1 {
                    streams.watch(stream, a)?;
                    self.start_watcher();
                }
                value(ready)
            }
            Operation::StatStream => {
                append(reply, streams.file(stream)?, self.tools.ids)?;
                value(0)
            }
            Operation::TerminalAttributes => {
                let file = streams.file(stream)?;
                let bytes = self.terminals.attributes(file, a, request.data)?;
                reply.extend_from_slice(&bytes);
                value(0)
            }
            Operation::WindowSize => value(window_size(streams.file(stream)?)?),
            _ => Err(Errno::NOSYS),
        }
    }

    fn start_watcher(&mut self) {
        if self.watching {
            return;
        }
        let shared = self.shared.clone();
        let watcher = std::thread::Builder::new().name("capsid-streams".to_owned());
        self.watching = watcher
            .spawn(move || shared.streams.run_watcher(&shared.events))
            .is_ok();
    }

    fn line(&self, request: &RawRequest<'_>) {
        let mut log = self
            .shared
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match request.args[0] {
            1 => log.trace(request.data),
            2 => log.statistics(request.data),
            3 => log.message(request.data),
            _ => log.log(request.data),
        }
    }
}

fn allocate(file: &OwnedFd, mode: u64, offset: u64, length: u64) -> Outcomes {
    let mode = u32::try_from(mode)
        .ok()
        .and_then(FallocateFlags::from_bits)
        .ok_or(Errno::OPNOTSUPP)?;
    rustix::fs::fallocate(file, mode, offset, length)?;
    value(0)
}

impl Service for Broker {
    fn serve(&mut self, request: &RawRequest<'_>, reply: &mut Vec<u8>) -> Disposition {
        use Operation::*;
        let Some(operation) = Operation::from_number(request.operation) else {
            return Disposition::Answered(Err(Errno::NOSYS));
        };
        let answer = match operation {
            Lookup => self.look_up(request, reply),
            ReadLink | MakeDirectory | Unlink | Rename | Link | Symlink | SetAttributes
            | FileSystemStat | MakeNode => self.path_request(operation, request, reply),
            Open => self.open(request, reply),
            Close | ReadDirectory | StatHandle | SetHandleAttributes | Sync | Allocate => {
                return self.handle_request(operation, request, reply);
            }
            ReadInput | WriteOutput | PollStream | StatStream | TerminalAttributes | WindowSize => {
                self.stream_request(operation, request, reply)
            }
            WaitEvents if request.args[0] == 1 => {
                self.shared.events.expect_listener();
                value(0)
            }
            WaitEvents => match self.shared.events.wait(request.slot) {
                Ok(()) => return Disposition::Later,
                Err(error) => Err(error),
            },
            Kick => self
                .processes
                .get()
                .ok_or(Errno::SRCH)
                .and_then(|processes| processes.kick(request.args[0], request.args[1]))
                .map(|()| Answer::default()),
            Log => {
                self.line(request);
                value(0)
            }
            Stopped if self.shared.job_control => {
                self.shared.outcome.ask_to_stop();
                value(0)
            }
            Stopped => Err(Errno::PERM),
            Exit => {
                let status = i32::try_from(request.args[0] & 0xffff).unwrap_or(0);
                self.shared.outcome.set(End::Exited(status));
                value(0)
            }
        };
        Disposition::Answered(answer)
    }

    fn cancel(&mut self, slot: usize) {
        self.shared.events.cancel(slot);
    }
}
