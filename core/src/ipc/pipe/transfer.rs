//! Moving bytes between pipes, splice(2) and tee(2).

use super::contents::Rest;
use super::{MAX_BYTES, PipeEnd};
use crate::io::{Destination, Source};
use crate::wait::Events;
use alloc::sync::Arc;
use alloc::vec;
use capsid_platform::Errno;
use core::sync::atomic::Ordering;

/// Moves up to `count` bytes from one pipe to another, splice(2) and tee(2); `keep` leaves them in
/// the first as well. `EAGAIN` if the first is empty or the second full, 0 at the first's end.
pub fn transfer(from: &PipeEnd, to: &PipeEnd, count: usize, keep: Keep) -> Result<usize, Errno> {
    if Arc::ptr_eq(&from.pipe, &to.pipe) {
        return Err(Errno::EINVAL);
    }
    if to.pipe.readers.open.load(Ordering::SeqCst) == 0 {
        return Err(Errno::EPIPE);
    }
    let mut done = 0;
    while done < count {
        let skip = if keep == Keep::Leave { done } else { 0 };
        match transfer_piece(from, to, count - done, keep, skip) {
            Ok(0) => break,
            Ok(moved) => done += moved,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Moves bytes that belong together: a packet, or what lies before the next one.
fn transfer_piece(
    from: &PipeEnd,
    to: &PipeEnd,
    count: usize,
    keep: Keep,
    skip: usize,
) -> Result<usize, Errno> {
    let free = to.pipe.contents.lock().free();
    // Held in between, so not too many at once.
    let count = count.min(free).min(MAX_BYTES);
    if count == 0 {
        return Err(Errno::EAGAIN);
    }
    let mut bytes = vec![0; count.min(from.pipe.len().max(1))];
    let mut target = Destination::kernel(&mut bytes);
    let (got, is_packet) = match keep {
        Keep::Consume => from.pipe.read(&mut target, Rest::Kept)?,
        Keep::Leave => {
            let wanted = target.remaining();
            match from.pipe.contents.lock().peek(skip, &mut target, wanted)? {
                (0, _) if from.pipe.writers.open.load(Ordering::SeqCst) > 0 => {
                    return Err(Errno::EAGAIN);
                }
                got => got,
            }
        }
    };
    bytes.truncate(got);
    let mut source = Source::kernel(&bytes);
    let mut contents = to.pipe.contents.lock();
    let moved = if is_packet {
        contents.write_packets(&mut source, got)?
    } else {
        contents.write(&mut source, got)?
    };
    drop(contents);
    if keep == Keep::Consume && moved < got {
        from.pipe.put_back(&bytes[moved..], is_packet)?;
    }
    to.pipe.queue.wake(Events::READABLE);
    Ok(moved)
}

/// Whether moved bytes stay where they came from as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// They are taken out.
    Consume,
    /// They stay.
    Leave,
}
