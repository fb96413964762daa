//! Polling: poll(2), ppoll(2).

use super::timeouts::{self, Unit};
use crate::call::{Call, CallResult, restart};
use crate::files::wait_for;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::OpenFile;
use capsid_core::wait::{Events, Registration};
use capsid_platform::GuestAddr;

/// `struct pollfd`, in bytes.
const POLLFD_BYTES: usize = 8;

/// One description that is polled.
#[derive(Debug)]
pub struct Polled {
    /// The description.
    pub file: Arc<OpenFile>,
    /// What ends the wait and is told.
    pub interest: Events,
    /// What it is ready for, of that.
    pub ready: Events,
}

/// Waits until something is ready; `true` says that something is. `deadline` is monotonic; 0
/// means not to wait.
pub fn wait_for_any(
    call: &Call<'_>,
    polled: &mut [Polled],
    deadline: Option<u64>,
) -> Result<bool, Errno> {
    if look(polled) {
        return Ok(true);
    }
    if deadline == Some(0) {
        return Ok(false);
    }
    let files: Vec<(Arc<OpenFile>, Events)> = polled
        .iter()
        .map(|one| (one.file.clone(), one.interest))
        .collect();
    let _places: Vec<Registration<'_>> = files
        .iter()
        .filter_map(|(file, interest)| {
            let queue = file.file.wait_queue()?;
            Some(queue.register(call.thread.parker.clone(), *interest))
        })
        .collect();
    let next_change = || {
        files
            .iter()
            .filter_map(|(file, _)| file.file.refresh())
            .min()
    };
    let result = wait_for(call.thread, deadline, next_change, || {
        for (file, interest) in &files {
            file.file.watch(*interest);
        }
        look(polled).then_some(())
    });
    match result {
        Ok(()) => Ok(true),
        Err(Errno::ETIMEDOUT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn look(polled: &mut [Polled]) -> bool {
    let mut any = false;
    for one in polled {
        one.ready = one.file.file.readiness() & one.interest;
        any |= !one.ready.is_empty();
    }
    any
}

/// poll(2).
pub fn sys_poll(call: &mut Call<'_>) -> CallResult {
    let deadline = match u64::try_from(call.int(2)) {
        Ok(0) => Some(0),
        Ok(timeout) => Some(call.deadline(timeout * 1_000_000)),
        Err(_) => None,
    };
    do_poll(call, deadline).map_err(|error| match error {
        Errno::EINTR => restart::with_deadline(),
        error => error,
    })
}

/// ppoll(2).
pub fn sys_ppoll(call: &mut Call<'_>) -> CallResult {
    let timeout = timeouts::read_timespec(call.pointer(2))?;
    timeouts::replace_mask(call, call.pointer(3), call.size(4))?;
    let deadline = timeout.map(|timeout| match timeout {
        0 => 0,
        timeout => call.deadline(timeout),
    });
    let result = do_poll(call, deadline);
    if let Some(deadline) = deadline {
        timeouts::write_left(call.pointer(2), Unit::Nanoseconds, deadline);
    }
    result.map_err(|error| match error {
        Errno::EINTR => restart::if_no_handler(),
        error => error,
    })
}

/// What becomes of one `struct pollfd`.
#[derive(Clone, Copy)]
enum Answer {
    /// Not asked.
    None,
    /// The descriptor is not open.
    Invalid,
    /// The one of this index.
    Polled(usize),
}

fn do_poll(call: &Call<'_>, deadline: Option<u64>) -> CallResult {
    let count = call.uint(1);
    if count > call.descriptor_limit() {
        return Err(Errno::EINVAL);
    }
    let address = call.pointer(0);
    let mut bytes = vec![0; count as usize * POLLFD_BYTES];
    address.read(&mut bytes)?;
    let mut polled = Vec::with_capacity(count as usize);
    let mut answers = Vec::with_capacity(count as usize);
    let mut invalid = false;
    for entry in bytes.as_chunks::<POLLFD_BYTES>().0 {
        let [a, b, c, d, events @ .., _, _] = *entry;
        let fd = i32::from_le_bytes([a, b, c, d]);
        if fd < 0 {
            answers.push(Answer::None);
            continue;
        }
        let Ok(file) = call.file(fd) else {
            invalid = true;
            answers.push(Answer::Invalid);
            continue;
        };
        answers.push(Answer::Polled(polled.len()));
        let asked = Events::from_bits_truncate(u16::from_le_bytes(events).into());
        let interest = asked | Events::ALWAYS | Events::NVAL;
        polled.push(Polled {
            file,
            interest,
            ready: Events::empty(),
        });
    }
    let deadline = if invalid { Some(0) } else { deadline };
    wait_for_any(call, &mut polled, deadline)?;
    answer(address, &answers, &polled)
}

fn answer(address: GuestAddr, answers: &[Answer], polled: &[Polled]) -> CallResult {
    let mut ready = 0;
    for (index, answer) in answers.iter().enumerate() {
        let events = match *answer {
            Answer::None => Events::empty(),
            Answer::Invalid => Events::NVAL,
            Answer::Polled(at) => polled.get(at).map_or(Events::NVAL, |one| one.ready),
        };
        ready += u64::from(!events.is_empty());
        let returned = address.offset((index * POLLFD_BYTES + 6) as u64)?;
        let events = u16::try_from(events.bits()).unwrap_or(0);
        returned.write(&events.to_le_bytes())?;
    }
    Ok(ready)
}
