//! Reading terminals, with the patience of `VMIN` and `VTIME`, termios(3).

use super::check_read;
use crate::call::{Call, restart};
use crate::files::{Patience, block_on};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::{OpenFile, StatusFlags};
use capsid_core::io::Destination;
use capsid_core::tty::{ReadMode, Terminal};
use capsid_core::wait::Events;
use capsid_platform::{Clock, platform};

/// Reads a line, or as many bytes as the terminal's attributes ask for.
pub fn read_terminal(
    call: &Call<'_>,
    file: &OpenFile,
    terminal: &Arc<dyn Terminal>,
    destination: &mut Destination<'_>,
    patience: Patience,
) -> Result<usize, Errno> {
    check_read(call, terminal)?;
    match terminal.read_mode() {
        ReadMode::Line => block_on(call.thread, file, Events::READABLE, patience, || {
            file.file.read(0, destination)
        }),
        ReadMode::Bytes { minimum, time_ns } => {
            read_bytes(call, file, destination, patience, minimum, time_ns)
        }
    }
}

fn read_bytes(
    call: &Call<'_>,
    file: &OpenFile,
    destination: &mut Destination<'_>,
    patience: Patience,
    minimum: usize,
    time_ns: u64,
) -> Result<usize, Errno> {
    let waits = patience != Patience::None && !file.flags().contains(StatusFlags::NONBLOCK);
    let timeout = |time_ns| platform().now(Clock::Monotonic).saturating_add(time_ns);
    let mut done = 0;
    // Without a minimum the time counts from the start, else from the first byte.
    let mut deadline = (minimum == 0).then(|| timeout(time_ns));
    loop {
        let polls = minimum == 0 && time_ns == 0;
        let patience = match deadline {
            _ if polls => Patience::None,
            Some(deadline) if waits => Patience::Until(deadline),
            _ => patience,
        };
        let result = block_on(call.thread, file, Events::READABLE, patience, || {
            file.file.read(0, destination)
        });
        match result {
            Ok(0) => return Ok(done),
            Ok(count) => {
                done += count;
                if done >= minimum || destination.remaining() == 0 {
                    return Ok(done);
                }
                if time_ns > 0 {
                    deadline = Some(timeout(time_ns));
                }
            }
            Err(_) if done > 0 => return Ok(done),
            // The time is up, or there is none.
            Err(Errno::EAGAIN) if polls || (waits && deadline.is_some()) => return Ok(0),
            Err(Errno::EINTR) => return Err(restart::unless_handled()),
            Err(error) => return Err(error),
        }
    }
}
