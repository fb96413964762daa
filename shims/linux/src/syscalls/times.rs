//! Changing times of files: utime(2), utimes(2), futimesat(2), utimensat(2).

use crate::call::{Call, CallResult};
use crate::files::PathArgument;
use capsid_core::Errno;
use capsid_core::fs::{LookupFlags, TimeChange};
use capsid_platform::GuestAddr;
use linux_raw_sys::general as raw;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_US: u64 = 1000;
/// `tv_nsec` values that are no time.
const UTIME_NOW: u64 = 0x3fff_ffff;
const UTIME_OMIT: u64 = 0x3fff_fffe;

/// Access and modification time; `None` leaves one alone.
type Times = [Option<TimeChange>; 2];

const NOW: Times = [Some(TimeChange::Now); 2];

fn at(seconds: u64, nanoseconds: u64) -> TimeChange {
    // Times before 1970 are stored as 1970.
    let seconds = u64::try_from(seconds.cast_signed()).unwrap_or(0);
    TimeChange::To(seconds.saturating_mul(NS_PER_S).saturating_add(nanoseconds))
}

fn read_words<const N: usize>(address: GuestAddr) -> Result<[u64; N], Errno> {
    let mut words = [0; N];
    for (index, word) in words.iter_mut().enumerate() {
        *word = address.offset(index as u64 * 8)?.read_u64()?;
    }
    Ok(words)
}

/// `struct utimbuf`.
fn read_seconds(address: GuestAddr) -> Result<Times, Errno> {
    if address.is_null() {
        return Ok(NOW);
    }
    let [access, modification] = read_words(address)?;
    Ok([Some(at(access, 0)), Some(at(modification, 0))])
}

/// Two `struct timeval`.
fn read_microseconds(address: GuestAddr) -> Result<Times, Errno> {
    if address.is_null() {
        return Ok(NOW);
    }
    let [s0, us0, s1, us1] = read_words(address)?;
    if us0 >= 1_000_000 || us1 >= 1_000_000 {
        return Err(Errno::EINVAL);
    }
    Ok([Some(at(s0, us0 * NS_PER_US)), Some(at(s1, us1 * NS_PER_US))])
}

/// Two `struct timespec`.
fn read_nanoseconds(address: GuestAddr) -> Result<Times, Errno> {
    if address.is_null() {
        return Ok(NOW);
    }
    let [s0, ns0, s1, ns1] = read_words(address)?;
    let change = |seconds, nanoseconds| match nanoseconds {
        UTIME_NOW => Ok(Some(TimeChange::Now)),
        UTIME_OMIT => Ok(None),
        0..NS_PER_S => Ok(Some(at(seconds, nanoseconds))),
        _ => Err(Errno::EINVAL),
    };
    Ok([change(s0, ns0)?, change(s1, ns1)?])
}

/// utime(2).
pub fn sys_utime(call: &mut Call<'_>) -> CallResult {
    let times = read_seconds(call.pointer(1))?;
    do_set_times(call, raw::AT_FDCWD, call.pointer(0), times, 0)
}

/// utimes(2).
pub fn sys_utimes(call: &mut Call<'_>) -> CallResult {
    let times = read_microseconds(call.pointer(1))?;
    do_set_times(call, raw::AT_FDCWD, call.pointer(0), times, 0)
}

/// futimesat(2).
pub fn sys_futimesat(call: &mut Call<'_>) -> CallResult {
    let times = read_microseconds(call.pointer(2))?;
    do_set_times(call, call.int(0), call.pointer(1), times, 0)
}

/// utimensat(2).
pub fn sys_utimensat(call: &mut Call<'_>) -> CallResult {
    let times = read_nanoseconds(call.pointer(2))?;
    if times == [None, None] {
        return Ok(0);
    }
    do_set_times(call, call.int(0), call.pointer(1), times, call.uint(3))
}

fn do_set_times(
    call: &Call<'_>,
    directory: i32,
    path: GuestAddr,
    [access, modification]: Times,
    flags: u32,
) -> CallResult {
    if flags & !(raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let empty = flags & raw::AT_EMPTY_PATH != 0;
    // Without a path the descriptor itself is meant: futimens(3).
    let path = if path.is_null() && directory != raw::AT_FDCWD {
        None
    } else {
        Some(PathArgument::read(path)?)
    };
    let of_descriptor = match &path {
        None => true,
        Some(path) => empty && path.is_empty() && directory != raw::AT_FDCWD,
    };
    if of_descriptor {
        let file = call.usable_file(0)?;
        let path = file.path().ok_or(Errno::EPERM)?;
        call.with_view(|view, _| view.set_times(path, access, modification))?;
        return Ok(0);
    }
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(LookupFlags::EMPTY_PATH, empty);
    call.with_place(
        directory,
        path.as_deref().unwrap_or_default(),
        |view, place| view.set_times(&view.resolve(place, lookup)?, access, modification),
    )?;
    Ok(0)
}
