//! Moving bytes between descriptors: sendfile(2), copy_file_range(2), splice(2), tee(2),
//! vmsplice(2).

use crate::call::{Call, CallResult, restart};
use crate::files::{
    At, IoVectors, MAX_TRANSFER_BYTES, Patience, do_read, do_write, read_quietly, wait_for,
    write_quietly,
};
use alloc::vec;
use capsid_core::Errno;
use capsid_core::fs::notify::{FileEvents, file_event};
use capsid_core::fs::{FileKind, OpenFile, StatusFlags};
use capsid_core::io::{Destination, Source};
use capsid_core::ipc::pipe::{self, Keep, PipeEnd};
use capsid_core::wait::Events;
use capsid_platform::GuestAddr;
use core::any::Any;

/// Bytes on their way are held in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

const SPLICE_F_NONBLOCK: u32 = 2;
const SPLICE_FLAGS: u32 = 0xf;

fn pipe_end(file: &OpenFile) -> Option<&PipeEnd> {
    (&*file.file as &dyn Any).downcast_ref()
}

/// An offset that the guest keeps, or the position.
struct Offset {
    address: GuestAddr,
    value: Option<u64>,
}

impl Offset {
    fn read(address: GuestAddr) -> Result<Offset, Errno> {
        let value = if address.is_null() {
            None
        } else {
            let value = address.read_u64()?;
            if value.cast_signed() < 0 {
                return Err(Errno::EINVAL);
            }
            Some(value)
        };
        Ok(Offset { address, value })
    }

    fn at(&self) -> At {
        self.value.map_or(At::Position, At::Offset)
    }

    fn advance(&mut self, bytes: u64) {
        self.value = self.value.map(|value| value.saturating_add(bytes));
    }

    fn store(&self) -> Result<(), Errno> {
        match self.value {
            Some(value) => self.address.write_u64(value),
            None => Ok(()),
        }
    }
}

/// Copies from one file to another, piece by piece, up to `count` bytes.
fn copy(
    call: &Call<'_>,
    (input, from): (&OpenFile, &mut Offset),
    (output, to): (&OpenFile, &mut Offset),
    count: usize,
) -> CallResult {
    let mut buffer = vec![0; count.min(PIECE_BYTES)];
    let mut done = 0u64;
    let mut left = count.min(MAX_TRANSFER_BYTES);
    while left > 0 {
        let piece = left.min(buffer.len());
        let result = copy_piece(call, (input, from), (output, to), &mut buffer[..piece]);
        match result {
            Ok(0) => break,
            Ok(moved) => {
                done += moved as u64;
                left -= moved.min(left);
                if moved < piece {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    if done > 0 {
        file_event(input, FileEvents::ACCESS);
        file_event(output, FileEvents::MODIFY);
    }
    from.store()?;
    to.store()?;
    Ok(done)
}

fn copy_piece(
    call: &Call<'_>,
    (input, from): (&OpenFile, &mut Offset),
    (output, to): (&OpenFile, &mut Offset),
    buffer: &mut [u8],
) -> Result<usize, Errno> {
    let patience = Patience::Description;
    let mut target = Destination::kernel(buffer);
    let got = read_quietly(call, input, &mut target, from.at(), patience)?;
    let got = usize::try_from(got).unwrap_or(usize::MAX).min(buffer.len());
    if got == 0 {
        return Ok(0);
    }
    let mut source = Source::kernel(&buffer[..got]);
    let result = write_quietly(call, output, &mut source, to.at(), patience);
    let put = usize::try_from(result.unwrap_or(0)).unwrap_or(usize::MAX);
    from.advance(put as u64);
    to.advance(put as u64);
    if put < got {
        if let Some(end) = pipe_end(input) {
            end.pipe().unread(&buffer[put..got])?;
        } else if from.value.is_none() && input.file.is_seekable() {
            let mut position = input.position.lock();
            *position = position.saturating_sub((got - put) as u64);
        }
    }
    result?;
    Ok(put)
}

/// sendfile(2).
pub fn sys_sendfile(call: &mut Call<'_>) -> CallResult {
    let output = call.usable_file(0)?;
    let input = call.usable_file(1)?;
    let mut from = Offset::read(call.pointer(2))?;
    if !input.flags().readable() || !output.flags().writable() {
        return Err(Errno::EBADF);
    }
    if from.value.is_some() && !input.file.is_seekable() {
        return Err(Errno::ESPIPE);
    }
    if output.flags().contains(StatusFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    if matches!(
        input.file.metadata()?.kind,
        FileKind::Socket | FileKind::Directory
    ) {
        return Err(Errno::EINVAL);
    }
    let mut to = Offset::read(GuestAddr::NULL)?;
    copy(call, (&input, &mut from), (&output, &mut to), call.size(3))
}

/// copy_file_range(2).
pub fn sys_copy_file_range(call: &mut Call<'_>) -> CallResult {
    if call.uint(5) != 0 {
        return Err(Errno::EINVAL);
    }
    let input = call.usable_file(0)?;
    let output = call.usable_file(2)?;
    let mut from = Offset::read(call.pointer(1))?;
    let mut to = Offset::read(call.pointer(3))?;
    let (from_data, to_data) = (input.file.metadata()?, output.file.metadata()?);
    for kind in [from_data.kind, to_data.kind] {
        match kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
    }
    let appends = output.flags().contains(StatusFlags::APPEND);
    if !input.flags().readable() || !output.flags().writable() || appends {
        return Err(Errno::EBADF);
    }
    let count = call.size(4).min(MAX_TRANSFER_BYTES);
    if (from_data.device, from_data.inode) == (to_data.device, to_data.inode) {
        let start = |offset: &Offset, file: &OpenFile| {
            offset.value.unwrap_or_else(|| *file.position.lock())
        };
        let (one, two) = (start(&from, &input), start(&to, &output));
        if one.abs_diff(two) < count as u64 {
            return Err(Errno::EINVAL);
        }
    }
    copy(call, (&input, &mut from), (&output, &mut to), count)
}

/// splice(2).
pub fn sys_splice(call: &mut Call<'_>) -> CallResult {
    let (count, flags) = (call.size(4).min(MAX_TRANSFER_BYTES), call.uint(5));
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if count == 0 {
        return Ok(0);
    }
    let input = call.usable_file(0)?;
    let output = call.usable_file(2)?;
    if !input.flags().readable() || !output.flags().writable() {
        return Err(Errno::EBADF);
    }
    let (from, to) = (call.pointer(1), call.pointer(3));
    let (from_pipe, to_pipe) = (pipe_end(&input), pipe_end(&output));
    if (from_pipe.is_some() && !from.is_null()) || (to_pipe.is_some() && !to.is_null()) {
        return Err(Errno::ESPIPE);
    }
    match (from_pipe, to_pipe) {
        (Some(from), Some(to)) => {
            let patient = is_patient(&input, &output, flags);
            between_pipes(call, from, to, count, patient, Keep::Consume)
        }
        (None, None) => Err(Errno::EINVAL),
        _ => {
            if (!from.is_null() && !input.file.is_seekable())
                || (!to.is_null() && !output.file.is_seekable())
            {
                return Err(Errno::ESPIPE);
            }
            if output.flags().contains(StatusFlags::APPEND) {
                return Err(Errno::EINVAL);
            }
            let mut from = Offset::read(from)?;
            let mut to = Offset::read(to)?;
            // One piece at most: a pipe gives what it has, and takes what fits.
            let count = count.min(PIECE_BYTES);
            copy(call, (&input, &mut from), (&output, &mut to), count)
        }
    }
}

fn is_patient(input: &OpenFile, output: &OpenFile, flags: u32) -> bool {
    let nonblocking = StatusFlags::NONBLOCK;
    flags & SPLICE_F_NONBLOCK == 0
        && !input.flags().contains(nonblocking)
        && !output.flags().contains(nonblocking)
}

fn between_pipes(
    call: &Call<'_>,
    from: &PipeEnd,
    to: &PipeEnd,
    count: usize,
    patient: bool,
    keep: Keep,
) -> CallResult {
    use capsid_core::fs::File;
    let attempt = || pipe::transfer(from, to, count, keep);
    let result = match attempt() {
        Err(Errno::EAGAIN) if patient => {
            let places = [from.wait_queue(), to.wait_queue()].map(|queue| {
                queue.map(|queue| queue.register(call.thread.parker.clone(), Events::all()))
            });
            let result = wait_for(
                call.thread,
                None,
                || None,
                || match attempt() {
                    Err(Errno::EAGAIN) => None,
                    result => Some(result),
                },
            );
            drop(places);
            result.map_err(|_| restart::unless_handled())?
        }
        result => result,
    };
    if result == Err(Errno::EPIPE) {
        call.raise_broken_pipe();
    }
    result.map(|count| count as u64)
}

/// tee(2).
pub fn sys_tee(call: &mut Call<'_>) -> CallResult {
    let (count, flags) = (call.size(2).min(MAX_TRANSFER_BYTES), call.uint(3));
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let input = call.usable_file(0)?;
    let output = call.usable_file(1)?;
    if !input.flags().readable() || !output.flags().writable() {
        return Err(Errno::EBADF);
    }
    let from = pipe_end(&input).ok_or(Errno::EINVAL)?;
    let to = pipe_end(&output).ok_or(Errno::EINVAL)?;
    if count == 0 {
        return Ok(0);
    }
    let patient = is_patient(&input, &output, flags);
    between_pipes(call, from, to, count, patient, Keep::Leave)
}

/// vmsplice(2). The pages are copied.
pub fn sys_vmsplice(call: &mut Call<'_>) -> CallResult {
    let flags = call.uint(3);
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let file = call.usable_file(0)?;
    let end = pipe_end(&file).ok_or(Errno::EBADF)?;
    let vectors = IoVectors::read(call.pointer(1), call.size(2))?;
    let patience = if flags & SPLICE_F_NONBLOCK == 0 {
        Patience::Description
    } else {
        Patience::None
    };
    if end.reads() {
        do_read(
            call,
            &file,
            &mut Destination::guest(&vectors),
            At::Position,
            patience,
        )
    } else {
        do_write(
            call,
            &file,
            &mut Source::guest(&vectors),
            At::Position,
            patience,
        )
    }
}
