//! Timeouts and signal masks of the calls that wait for events.

use crate::call::Call;
use crate::signal::SignalSet;
use capsid_core::Errno;
use capsid_platform::{Clock, GuestAddr, platform};

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_US: u64 = 1000;

/// A time that a call gives back what is left of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `struct timespec`.
    Nanoseconds,
    /// `struct timeval`.
    Microseconds,
}

/// Reads a `struct timespec`, in nanoseconds; `None` for the null pointer.
pub fn read_timespec(address: GuestAddr) -> Result<Option<u64>, Errno> {
    read(address, Unit::Nanoseconds)
}

/// Reads a timeout, in nanoseconds; `None` for the null pointer.
pub fn read(address: GuestAddr, unit: Unit) -> Result<Option<u64>, Errno> {
    if address.is_null() {
        return Ok(None);
    }
    let seconds = address.read_u64()?;
    let fraction = address.offset(8)?.read_u64()?;
    if seconds.cast_signed() < 0 || fraction.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let nanoseconds = match unit {
        Unit::Nanoseconds if fraction >= NS_PER_S => return Err(Errno::EINVAL),
        Unit::Nanoseconds => fraction,
        // select takes a second and more here.
        Unit::Microseconds => fraction.saturating_mul(NS_PER_US),
    };
    Ok(Some(
        seconds.saturating_mul(NS_PER_S).saturating_add(nanoseconds),
    ))
}

/// Writes what is left until `deadline`. That it cannot be written is no error, as on Linux.
pub fn write_left(address: GuestAddr, unit: Unit, deadline: u64) {
    let left = deadline.saturating_sub(platform().now(Clock::Monotonic));
    let fraction = match unit {
        Unit::Nanoseconds => left % NS_PER_S,
        Unit::Microseconds => left % NS_PER_S / NS_PER_US,
    };
    let second = address.offset(8);
    let _ = address.write_u64(left / NS_PER_S);
    let _ = second.and_then(|second| second.write_u64(fraction));
}

/// Takes the mask of a call such as ppoll(2) for its length: `EINVAL` for a wrong size.
pub fn replace_mask(call: &Call<'_>, address: GuestAddr, size: usize) -> Result<(), Errno> {
    if address.is_null() {
        return Ok(());
    }
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let mask = SignalSet(address.read_u64()?);
    call.thread.set_blocked_for_call(mask);
    Ok(())
}
