//! Locks: flock(2), and the record locks of fcntl(2).

use crate::call::{Call, CallResult, restart};
use crate::files::wait_for;
use capsid_core::Errno;
use capsid_core::fs::locks::{self, LockKind, LockOwner, RangeLock};
use capsid_core::fs::{OpenFile, StatusFlags};
use capsid_core::wait::Events;
use linux_raw_sys::general as raw;

const LOCK_SH: u32 = 1;
const LOCK_EX: u32 = 2;
const LOCK_NB: u32 = 4;
const LOCK_UN: u32 = 8;

/// The last byte that a lock can cover.
const LAST_BYTE: u64 = i64::MAX.cast_unsigned();
/// `struct flock`, in bytes.
const FLOCK_BYTES: usize = 32;

/// flock(2).
pub fn sys_flock(call: &mut Call<'_>) -> CallResult {
    let file = call.usable_file(0)?;
    let operation = call.uint(1);
    let kind = match operation & !LOCK_NB {
        LOCK_SH => LockKind::Read,
        LOCK_EX => LockKind::Write,
        LOCK_UN => {
            locks::unlock_whole(&file)?;
            return Ok(0);
        }
        _ => return Err(Errno::EINVAL),
    };
    let wait = operation & LOCK_NB == 0;
    acquire(call, &file, wait, || locks::lock_whole(&file, kind))
}

/// Tries to take a lock, and waits for it if `wait`.
fn acquire(
    call: &Call<'_>,
    file: &OpenFile,
    wait: bool,
    mut attempt: impl FnMut() -> Result<(), Errno>,
) -> CallResult {
    match attempt() {
        Err(Errno::EAGAIN) if wait => {}
        result => return result.map(|()| 0),
    }
    let queue = locks::queue(file)?;
    let _place = queue.register(call.thread.parker.clone(), Events::all());
    let result = wait_for(
        call.thread,
        None,
        || None,
        || match attempt() {
            Err(Errno::EAGAIN) => None,
            result => Some(result),
        },
    );
    result.map_err(|_| restart::unless_handled())??;
    Ok(0)
}

/// A `struct flock` of the guest.
struct FlockArgument {
    /// `None` gives the range back.
    kind: Option<LockKind>,
    start: u64,
    end: u64,
    process: i32,
}

impl FlockArgument {
    fn read(call: &Call<'_>, file: &OpenFile) -> Result<FlockArgument, Errno> {
        let bytes: [u8; FLOCK_BYTES] = call.pointer(2).read_array()?;
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let kind = match u32::from(short(0)) {
            raw::F_RDLCK => Some(LockKind::Read),
            raw::F_WRLCK => Some(LockKind::Write),
            raw::F_UNLCK => None,
            _ => return Err(Errno::EINVAL),
        };
        let base = match u32::from(short(2)) {
            raw::SEEK_SET => 0,
            raw::SEEK_CUR => *file.position.lock(),
            raw::SEEK_END => file.file.metadata()?.size,
            _ => return Err(Errno::EINVAL),
        };
        let (start, end) = range(base, word(8).cast_signed(), word(16).cast_signed())?;
        let process = i32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]);
        Ok(FlockArgument {
            kind,
            start,
            end,
            process,
        })
    }
}

/// The first and the last byte of a range with a signed length; 0 means to the end.
fn range(base: u64, start: i64, length: i64) -> Result<(u64, u64), Errno> {
    let start = base
        .cast_signed()
        .checked_add(start)
        .ok_or(Errno::EOVERFLOW)?;
    let unsigned = |value: i64| u64::try_from(value).map_err(|_| Errno::EINVAL);
    if length < 0 {
        let first = start.checked_add(length).ok_or(Errno::EINVAL)?;
        return Ok((unsigned(first)?, unsigned(start - 1)?));
    }
    let first = unsigned(start)?;
    if length == 0 {
        return Ok((first, LAST_BYTE));
    }
    let last = start.checked_add(length - 1).ok_or(Errno::EOVERFLOW)?;
    Ok((first, unsigned(last)?))
}

/// The owner that a command locks for, and the process it shows.
fn owner_of(
    call: &Call<'_>,
    file: &OpenFile,
    command: u32,
    argument: &FlockArgument,
) -> Result<(LockOwner, i32), Errno> {
    let of_description = matches!(
        command,
        raw::F_OFD_GETLK | raw::F_OFD_SETLK | raw::F_OFD_SETLKW
    );
    if of_description {
        if argument.process != 0 {
            return Err(Errno::EINVAL);
        }
        return Ok((file.lock_owner(), -1));
    }
    let process = call.process().id.cast_signed();
    Ok((call.thread.files.lock().lock_owner(), process))
}

/// `F_SETLK`, `F_SETLKW` and their forms for descriptions.
pub fn do_lock(call: &Call<'_>, file: &OpenFile, command: u32) -> CallResult {
    let argument = FlockArgument::read(call, file)?;
    let (owner, process) = owner_of(call, file, command, &argument)?;
    let Some(kind) = argument.kind else {
        locks::unlock(file, owner, argument.start, argument.end)?;
        return Ok(0);
    };
    let allowed = match kind {
        LockKind::Read => StatusFlags::readable(file.flags()),
        LockKind::Write => StatusFlags::writable(file.flags()),
    };
    if !allowed {
        return Err(Errno::EBADF);
    }
    let lock = RangeLock {
        owner,
        process,
        kind,
        start: argument.start,
        end: argument.end,
    };
    match command {
        raw::F_SETLKW => {
            let result = acquire(call, file, true, || locks::lock_or_wait(file, lock));
            locks::stop_waiting(owner);
            result
        }
        // Descriptions are not threads of control: deadlocks are not looked for.
        raw::F_OFD_SETLKW => acquire(call, file, true, || locks::lock(file, lock)),
        _ => acquire(call, file, false, || locks::lock(file, lock)),
    }
}

/// `F_GETLK` and its form for descriptions.
pub fn do_test(call: &Call<'_>, file: &OpenFile, command: u32) -> CallResult {
    let argument = FlockArgument::read(call, file)?;
    let (owner, process) = owner_of(call, file, command, &argument)?;
    let kind = argument.kind.ok_or(Errno::EINVAL)?;
    let wanted = RangeLock {
        owner,
        process,
        kind,
        start: argument.start,
        end: argument.end,
    };
    let address = call.pointer(2);
    let Some(found) = locks::find_conflict(file, &wanted)? else {
        address.write(&u16::try_from(raw::F_UNLCK).unwrap_or(0).to_le_bytes())?;
        return Ok(0);
    };
    let kind = match found.kind {
        LockKind::Read => raw::F_RDLCK,
        LockKind::Write => raw::F_WRLCK,
    };
    let length = if found.end == LAST_BYTE {
        0
    } else {
        found.end - found.start + 1
    };
    let mut bytes = [0; FLOCK_BYTES];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[8..16].copy_from_slice(&found.start.to_le_bytes());
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[24..28].copy_from_slice(&found.process.to_le_bytes());
    address.write(&bytes)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{LAST_BYTE, range};
    use capsid_core::Errno;

    #[test]
    fn ranges_can_reach_back() {
        assert_eq!(range(0, 10, 5), Ok((10, 14)));
        assert_eq!(range(100, -10, 0), Ok((90, LAST_BYTE)));
        assert_eq!(range(0, 10, -5), Ok((5, 9)));
        assert_eq!(range(0, 3, -5), Err(Errno::EINVAL));
        assert_eq!(range(0, -1, 5), Err(Errno::EINVAL));
        assert_eq!(range(0, i64::MAX, 2), Err(Errno::EOVERFLOW));
        assert_eq!(range(0, i64::MAX, 1), Ok((LAST_BYTE, LAST_BYTE)));
    }
}
