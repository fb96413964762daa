//! Reading and writing open files: positions, blocking, signals.

use crate::call::{Call, CallResult};
use crate::files::{Patience, block_on};
use crate::terminal::{check_write, read_terminal};
use capsid_core::Errno;
use capsid_core::fs::notify::{FileEvents, file_event};
use capsid_core::fs::{FileKind, OpenFile, StatusFlags, WriteAt};
use capsid_core::io::{Destination, Source};
use capsid_core::wait::Events;

/// Where a transfer takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// At the description's position, which moves.
    Position,
    /// At this offset: `ESPIPE` for objects without positions.
    Offset(u64),
    /// At the end; the position does not move.
    End,
}

/// Reads into `destination`, and tells those who watch the file.
pub fn do_read(
    call: &Call<'_>,
    file: &OpenFile,
    destination: &mut Destination<'_>,
    at: At,
    patience: Patience,
) -> CallResult {
    let count = read_quietly(call, file, destination, at, patience)?;
    if count > 0 {
        file_event(file, FileEvents::ACCESS);
        if file.flags().contains(StatusFlags::ASYNC) {
            // The broker tells once for each time it is asked.
            file.file.watch(Events::READABLE);
        }
    }
    Ok(count)
}

/// Writes what `source` holds, and tells those who watch the file.
pub fn do_write(
    call: &Call<'_>,
    file: &OpenFile,
    source: &mut Source<'_>,
    at: At,
    patience: Patience,
) -> CallResult {
    let count = write_quietly(call, file, source, at, patience)?;
    if count > 0 {
        file_event(file, FileEvents::MODIFY);
    }
    Ok(count)
}

/// Reads into `destination`.
pub fn read_quietly(
    call: &Call<'_>,
    file: &OpenFile,
    destination: &mut Destination<'_>,
    at: At,
    patience: Patience,
) -> CallResult {
    if !file.flags().readable() {
        return Err(Errno::EBADF);
    }
    let count = match (at, file.file.is_seekable()) {
        (At::Position, true) => {
            let mut position = file.position.lock();
            let count = file.file.read(*position, destination)?;
            *position += count as u64;
            count
        }
        (At::Position, false) => match file.file.terminal() {
            Some(terminal) => read_terminal(call, file, &terminal, destination, patience)?,
            None => block_on(call.thread, file, Events::READABLE, patience, || {
                file.file.read(0, destination)
            })?,
        },
        (At::Offset(offset), true) => file.file.read(offset, destination)?,
        (At::End, true) => 0,
        (_, false) => return Err(Errno::ESPIPE),
    };
    Ok(count as u64)
}

/// Writes what `source` holds.
pub fn write_quietly(
    call: &Call<'_>,
    file: &OpenFile,
    source: &mut Source<'_>,
    at: At,
    patience: Patience,
) -> CallResult {
    let flags = file.flags();
    if !flags.writable() {
        return Err(Errno::EBADF);
    }
    let count = if file.file.is_seekable() {
        write_at(call, file, source, at, flags)?
    } else if at == At::Position {
        write_stream(call, file, source, patience)?
    } else {
        return Err(Errno::ESPIPE);
    };
    if flags.intersects(StatusFlags::DSYNC | StatusFlags::SYNC) && count > 0 {
        let data_only = !flags.contains(StatusFlags::SYNC);
        match file.file.sync(data_only) {
            Err(Errno::EINVAL) | Ok(()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count as u64)
}

fn write_at(
    call: &Call<'_>,
    file: &OpenFile,
    source: &mut Source<'_>,
    at: At,
    flags: StatusFlags,
) -> Result<usize, Errno> {
    let appends = flags.contains(StatusFlags::APPEND) || at == At::End;
    let place = |offset| {
        if appends {
            WriteAt::End
        } else {
            WriteAt::Offset(offset)
        }
    };
    match at {
        At::Position => {
            let mut position = file.position.lock();
            let (count, end) = write_limited(call, file, source, place(*position))?;
            *position = end;
            Ok(count)
        }
        At::Offset(offset) => Ok(write_limited(call, file, source, place(offset))?.0),
        At::End => Ok(write_limited(call, file, source, WriteAt::End)?.0),
    }
}

/// Writes up to the limit on file sizes: `EFBIG` and a signal at the limit.
fn write_limited(
    call: &Call<'_>,
    file: &OpenFile,
    source: &mut Source<'_>,
    at: WriteAt,
) -> Result<(usize, u64), Errno> {
    let limit = call.file_size_limit();
    if limit == u64::MAX {
        return file.file.write(at, source);
    }
    let metadata = file.file.metadata()?;
    if metadata.kind != FileKind::Regular || source.remaining() == 0 {
        return file.file.write(at, source);
    }
    let start = match at {
        WriteAt::Offset(offset) => offset,
        WriteAt::End => metadata.size,
    };
    let room = limit.saturating_sub(start);
    if room == 0 {
        call.raise_file_size();
        return Err(Errno::EFBIG);
    }
    source.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    file.file.write(at, source)
}

/// Writes all, as far as nothing goes wrong: what was written before counts.
fn write_stream(
    call: &Call<'_>,
    file: &OpenFile,
    source: &mut Source<'_>,
    patience: Patience,
) -> Result<usize, Errno> {
    if let Some(terminal) = file.file.terminal() {
        check_write(call, &terminal)?;
    }
    let mut done = 0;
    loop {
        let result = block_on(call.thread, file, Events::WRITABLE, patience, || {
            file.file.write(WriteAt::Offset(0), source)
        });
        match result {
            Ok((count, _)) => {
                done += count;
                if source.remaining() == 0 || count == 0 {
                    return Ok(done);
                }
            }
            Err(error) => {
                if error == Errno::EPIPE {
                    call.raise_broken_pipe();
                }
                return if done > 0 { Ok(done) } else { Err(error) };
            }
        }
    }
}
