//! Futexes: futex(2), futex_waitv(2), set_robust_list(2), get_robust_list(2).

use crate::call::{Call, CallResult, restart};
use crate::syscalls::timeouts::read_timespec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::futex::pi::{self, Lock, OwnerState};
use capsid_core::futex::{self, ANY, Location, WaitOn};
use capsid_platform::{AtomicOp, Clock, GuestAddr, platform};
use core::sync::atomic::Ordering;
use linux_raw_sys::general as raw;

const COMMAND: u32 = !(raw::FUTEX_PRIVATE_FLAG | raw::FUTEX_CLOCK_REALTIME);
/// Size of `struct robust_list_head`.
const ROBUST_HEAD_BYTES: u64 = 24;
/// Size of `struct futex_waitv`.
const WAITV_BYTES: u64 = 24;

/// futex(2).
pub fn sys_futex(call: &mut Call<'_>) -> CallResult {
    let operation = call.uint(1);
    let real_time = operation & raw::FUTEX_CLOCK_REALTIME != 0;
    let count = count(call.int(2));
    let command = operation & COMMAND;
    let may_be_real_time = [
        raw::FUTEX_WAIT_BITSET,
        raw::FUTEX_WAIT_REQUEUE_PI,
        raw::FUTEX_LOCK_PI2,
    ];
    if real_time && !may_be_real_time.contains(&command) {
        return Err(Errno::ENOSYS);
    }
    match command {
        raw::FUTEX_WAKE => wake(call, operation, count, ANY),
        raw::FUTEX_WAKE_BITSET => wake(call, operation, count, call.uint(5)),
        raw::FUTEX_WAIT | raw::FUTEX_WAIT_BITSET => wait(call, operation),
        raw::FUTEX_REQUEUE => requeue(call, operation, None),
        raw::FUTEX_CMP_REQUEUE => requeue(call, operation, Some(call.uint(5))),
        raw::FUTEX_WAKE_OP => wake_after(call, operation),
        raw::FUTEX_LOCK_PI | raw::FUTEX_LOCK_PI2 => lock_pi(call, operation),
        raw::FUTEX_TRYLOCK_PI => with_lock(call, (0, operation), |lock| {
            pi::try_lock(&**call.thread, lock)
        }),
        raw::FUTEX_UNLOCK_PI => with_lock(call, (0, operation), pi::unlock),
        raw::FUTEX_WAIT_REQUEUE_PI => wait_requeue_pi(call, operation),
        raw::FUTEX_CMP_REQUEUE_PI => requeue_pi(call, operation),
        _ => Err(Errno::ENOSYS),
    }
}

/// How many to wake: Linux wakes one where the count is not positive.
fn count(count: i32) -> u32 {
    u32::try_from(count).unwrap_or(1).max(1)
}

/// What the word at `address` is: `EINVAL` if not aligned, `EFAULT`.
fn locate(call: &Call<'_>, address: GuestAddr, is_private: bool) -> Result<Location, Errno> {
    if !address.0.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if is_private {
        // Not by a reference of its own: this is the way of each lock that is let go.
        let id = call.process().memory.lock().space.id();
        return Ok(Location::Private(id, address.0));
    }
    call.process().memory().space.locate(address)
}

fn location(call: &Call<'_>, index: usize, operation: u32) -> Result<Location, Errno> {
    let is_private = operation & raw::FUTEX_PRIVATE_FLAG != 0;
    locate(call, call.pointer(index), is_private)
}

fn wake(call: &Call<'_>, operation: u32, count: u32, bits: u32) -> CallResult {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let location = location(call, 0, operation)?;
    Ok(futex::wake(&location, count, bits).into())
}

fn wait(call: &Call<'_>, operation: u32) -> CallResult {
    let relative = operation & COMMAND == raw::FUTEX_WAIT;
    let bits = if relative { ANY } else { call.uint(5) };
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let deadline = match read_timespec(call.pointer(3))? {
        None => None,
        Some(timeout) if relative => Some(call.deadline(timeout)),
        Some(time) if operation & raw::FUTEX_CLOCK_REALTIME != 0 => Some(from_real_time(time)),
        Some(time) => Some(time),
    };
    let on = WaitOn {
        location: location(call, 0, operation)?,
        address: call.pointer(0),
        expected: call.uint(2),
        bits,
    };
    match futex::wait(&**call.thread, &on, deadline) {
        Ok(()) => Ok(0),
        Err(Errno::EINTR) if deadline.is_some() && relative => Err(restart::with_deadline()),
        Err(Errno::EINTR) => Err(restart::unless_handled()),
        Err(error) => Err(error),
    }
}

/// The monotonic time that a real time is now. A later step of the clock is not followed.
fn from_real_time(time: u64) -> u64 {
    let left = time.saturating_sub(platform().now(Clock::Realtime));
    platform().now(Clock::Monotonic).saturating_add(left)
}

fn requeue(call: &Call<'_>, operation: u32, expected: Option<u32>) -> CallResult {
    let (wake, move_to) = (call.int(2), call.int(3));
    let wake = u32::try_from(wake).map_err(|_| Errno::EINVAL)?;
    let moved = u32::try_from(move_to).map_err(|_| Errno::EINVAL)?;
    let from = location(call, 0, operation)?;
    let to = location(call, 4, operation)?;
    let compares = expected.is_some();
    let expected = expected.map(|value| (call.pointer(0), value));
    let (woken, moved) = futex::requeue(&from, &to, wake, moved, expected)?;
    // FUTEX_REQUEUE counts those that it woke only.
    let all = if compares { woken + moved } else { woken };
    Ok(all.into())
}

/// An operand of `FUTEX_WAKE_OP`: 12 bits, signed.
fn signed_operand(bits: u32) -> i32 {
    (bits << 20).cast_signed() >> 20
}

fn wake_after(call: &Call<'_>, operation: u32) -> CallResult {
    let encoded = call.uint(5);
    let mut operand = signed_operand(encoded >> 12 & 0xfff).cast_unsigned();
    let against = signed_operand(encoded & 0xfff);
    let code = encoded >> 28;
    if code & raw::FUTEX_OP_OPARG_SHIFT != 0 {
        operand = 1 << (operand & 31);
    }
    let change = match code & 7 {
        raw::FUTEX_OP_SET => AtomicOp::Swap(operand),
        raw::FUTEX_OP_ADD => AtomicOp::Add(operand),
        raw::FUTEX_OP_OR => AtomicOp::Or(operand),
        raw::FUTEX_OP_ANDN => AtomicOp::And(!operand),
        raw::FUTEX_OP_XOR => AtomicOp::Xor(operand),
        _ => return Err(Errno::ENOSYS),
    };
    let comparison = encoded >> 24 & 0xf;
    if comparison > raw::FUTEX_OP_CMP_GE {
        return Err(Errno::ENOSYS);
    }
    let holds = |old: u32| {
        let old = old.cast_signed();
        match comparison {
            raw::FUTEX_OP_CMP_EQ => old == against,
            raw::FUTEX_OP_CMP_NE => old != against,
            raw::FUTEX_OP_CMP_LT => old < against,
            raw::FUTEX_OP_CMP_LE => old <= against,
            raw::FUTEX_OP_CMP_GT => old > against,
            _ => old >= against,
        }
    };
    let first = location(call, 0, operation)?;
    let second = location(call, 4, operation)?;
    let woken = futex::wake_after(
        (&first, count(call.int(2))),
        (&second, count(call.int(3))),
        (call.pointer(4), change),
        holds,
    )?;
    Ok(woken.into())
}

/// Runs `action` with the lock that an argument points to.
fn with_lock<T: Into<Count>>(
    call: &Call<'_>,
    (index, operation): (usize, u32),
    action: impl FnOnce(&Lock<'_>) -> Result<T, Errno>,
) -> CallResult {
    let kernel = call.kernel();
    let owner_state = |id: u32| match kernel.thread(id) {
        None => OwnerState::Gone,
        Some(owner) if owner.releases_locks.load(Ordering::SeqCst) => OwnerState::Ending,
        Some(_) => OwnerState::Alive,
    };
    let lock = Lock {
        location: location(call, index, operation)?,
        address: call.pointer(index),
        thread: call.thread.id(),
        owner_state: &owner_state,
    };
    Ok(action(&lock)?.into().0)
}

/// What a call on a lock returns: nothing, or how many.
struct Count(u64);

impl From<()> for Count {
    fn from((): ()) -> Count {
        Count(0)
    }
}

impl From<u32> for Count {
    fn from(count: u32) -> Count {
        Count(count.into())
    }
}

/// The moment that the timeout of a lock means: `FUTEX_LOCK_PI` always counts real time.
fn lock_deadline(call: &Call<'_>, operation: u32) -> Result<Option<u64>, Errno> {
    let is_real =
        operation & COMMAND == raw::FUTEX_LOCK_PI || operation & raw::FUTEX_CLOCK_REALTIME != 0;
    Ok(match read_timespec(call.pointer(3))? {
        Some(time) if is_real => Some(from_real_time(time)),
        time => time,
    })
}

fn lock_pi(call: &Call<'_>, operation: u32) -> CallResult {
    let deadline = lock_deadline(call, operation)?;
    let result = with_lock(call, (0, operation), |lock| {
        pi::lock(&**call.thread, lock, deadline)
    });
    match result {
        Err(Errno::EINTR) => Err(restart::always()),
        result => result,
    }
}

fn wait_requeue_pi(call: &Call<'_>, operation: u32) -> CallResult {
    let deadline = lock_deadline(call, operation)?;
    if call.pointer(0) == call.pointer(4) {
        return Err(Errno::EINVAL);
    }
    let on = WaitOn {
        location: location(call, 0, operation)?,
        address: call.pointer(0),
        expected: call.uint(2),
        bits: ANY,
    };
    let result = with_lock(call, (4, operation), |lock| {
        pi::wait_then_lock(&**call.thread, &on, lock, deadline)
    });
    match result {
        Err(Errno::EINTR) => Err(restart::always()),
        result => result,
    }
}

fn requeue_pi(call: &Call<'_>, operation: u32) -> CallResult {
    let count = u32::try_from(call.int(3)).map_err(|_| Errno::EINVAL)?;
    if call.int(2) != 1 || call.pointer(0) == call.pointer(4) {
        return Err(Errno::EINVAL);
    }
    let from = location(call, 0, operation)?;
    let expected = (call.pointer(0), call.uint(5));
    with_lock(call, (4, operation), |lock| {
        pi::requeue_to_lock(&from, lock, count, expected)
    })
}

/// futex_waitv(2).
pub fn sys_futex_waitv(call: &mut Call<'_>) -> CallResult {
    let (list, count, clock) = (call.pointer(0), call.uint(1), call.uint(4));
    let clock_is_real = clock == raw::CLOCK_REALTIME;
    if count == 0
        || count > raw::FUTEX_WAITV_MAX
        || call.uint(2) != 0
        || !(clock_is_real || clock == raw::CLOCK_MONOTONIC)
    {
        return Err(Errno::EINVAL);
    }
    let deadline = match read_timespec(call.pointer(3))? {
        Some(time) if clock_is_real => Some(from_real_time(time)),
        time => time,
    };
    let mut places = Vec::with_capacity(count as usize);
    for index in 0..u64::from(count) {
        places.push(read_place(call, list.offset(index * WAITV_BYTES)?)?);
    }
    match futex::wait_any(&**call.thread, &places, deadline) {
        Ok(index) => Ok(index as u64),
        Err(Errno::EINTR) => Err(restart::unless_handled()),
        Err(error) => Err(error),
    }
}

/// Reads one `struct futex_waitv`.
fn read_place(call: &Call<'_>, at: GuestAddr) -> Result<WaitOn, Errno> {
    let value = at.read_u64()?;
    let address = GuestAddr(at.offset(8)?.read_u64()?);
    let flags = at.offset(16)?.read_u32()?;
    let reserved = at.offset(20)?.read_u32()?;
    if flags & !raw::FUTEX2_PRIVATE != raw::FUTEX2_SIZE_U32 || reserved != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(WaitOn {
        location: locate(call, address, flags & raw::FUTEX2_PRIVATE != 0)?,
        address,
        expected: u32::try_from(value).map_err(|_| Errno::EINVAL)?,
        bits: ANY,
    })
}

/// set_robust_list(2).
pub fn sys_set_robust_list(call: &mut Call<'_>) -> CallResult {
    if call.raw(1) != ROBUST_HEAD_BYTES {
        return Err(Errno::EINVAL);
    }
    call.thread.own.lock().robust_list = (call.pointer(0), ROBUST_HEAD_BYTES);
    Ok(0)
}

/// get_robust_list(2).
pub fn sys_get_robust_list(call: &mut Call<'_>) -> CallResult {
    let head = match call.uint(0) {
        0 => call.thread.own.lock().robust_list.0,
        id => {
            let other = call.kernel().thread(id).ok_or(Errno::ESRCH)?;
            if other.process.id != call.process().id {
                return Err(Errno::EPERM);
            }
            let own = other.own.lock();
            own.robust_list.0
        }
    };
    call.pointer(2).write_u64(ROBUST_HEAD_BYTES)?;
    call.pointer(1).write_u64(head.0)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::signed_operand;

    #[test]
    fn operands_are_signed() {
        assert_eq!(signed_operand(0xfff), -1);
        assert_eq!(signed_operand(0x7ff), 2047);
        assert_eq!(signed_operand(0x800), -2048);
    }
}
