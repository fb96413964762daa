//! Sleeping until a file is ready.

use crate::call::restart;
use crate::task::Thread;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::fs::{OpenFile, StatusFlags};
use capsid_core::wait::{Events, Waiter};

/// How long a call waits for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As the description's `O_NONBLOCK` says, for ever.
    Description,
    /// As the description says, until a monotonic time in nanoseconds; then `EAGAIN`.
    Until(u64),
    /// Not at all.
    None,
}

impl Patience {
    /// The time to give up at; `Err` for at once.
    fn deadline(self, file: &OpenFile) -> Result<Option<u64>, Errno> {
        if self == Patience::None || file.flags().contains(StatusFlags::NONBLOCK) {
            return Err(Errno::EAGAIN);
        }
        Ok(match self {
            Patience::Until(deadline) => Some(deadline),
            Patience::Description | Patience::None => None,
        })
    }
}

/// Tries until `attempt` says something else than `EAGAIN`, sleeping until the file has one of
/// the events `interest`. Gives `EAGAIN` when patience ends, and restarts after a signal without a
/// handler; with a time limit, `EINTR`.
pub fn block_on<T>(
    thread: &Arc<Thread>,
    file: &OpenFile,
    interest: Events,
    patience: Patience,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match attempt() {
        Err(Errno::EAGAIN) => {}
        result => return result,
    }
    let deadline = patience.deadline(file)?;
    let Some(queue) = file.file.wait_queue() else {
        return Err(Errno::EAGAIN);
    };
    let _place = queue.register(thread.parker.clone(), interest);
    let result = wait_for(
        thread,
        deadline,
        || file.file.refresh(),
        || match attempt() {
            Err(Errno::EAGAIN) => {
                file.file.watch(interest);
                // What watching brought may have come before it.
                match attempt() {
                    Err(Errno::EAGAIN) => None,
                    result => Some(result),
                }
            }
            result => Some(result),
        },
    );
    match result {
        Ok(result) => result,
        Err(Errno::ETIMEDOUT) => Err(Errno::EAGAIN),
        Err(Errno::EINTR) if deadline.is_none() => Err(restart::unless_handled()),
        Err(error) => Err(error),
    }
}

/// Sleeps until `attempt` returns something, as [`Waiter::wait_until`] does, and no longer than
/// until the time that `next_change` returns: then it is tried again.
pub fn wait_for<T>(
    thread: &Arc<Thread>,
    deadline: Option<u64>,
    mut next_change: impl FnMut() -> Option<u64>,
    mut attempt: impl FnMut() -> Option<T>,
) -> Result<T, Errno> {
    loop {
        let change = next_change();
        let early = change.filter(|&change| deadline.is_none_or(|deadline| change < deadline));
        let until = early.or(deadline);
        let result = thread.wait_until(until, || match attempt() {
            Some(value) => Some(Some(value)),
            // A timer was set while this thread slept.
            None if next_change() != change => Some(None),
            None => None,
        });
        match result {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(Errno::ETIMEDOUT) if early.is_some() => {}
            Err(error) => return Err(error),
        }
    }
}
