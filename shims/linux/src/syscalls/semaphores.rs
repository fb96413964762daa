//! System V semaphores: semget(2), semop(2), semtimedop(2), semctl(2).

use super::shared_memory::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT};
use super::timeouts::read_timespec;
use crate::call::{Call, CallResult};
use crate::sysv::{
    Get, Header, Layout, Object, Operation, SETS_MAX, SemaphoreSet, VALUE_MAX, Wanted,
};
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::wait::Waiter;
use capsid_platform::{Clock, GuestAddr, platform};

/// Semaphores of one set (`SEMMSL`).
const COUNT_MAX: usize = 32_000;
/// Operations of one call (`SEMOPM`).
const OPERATIONS_MAX: usize = 500;
/// Semaphores of all sets (`SEMMNS`).
const ALL_MAX: u32 = 1_024_000_000;
/// What glibc's headers say an undo structure takes (`SEMUSZ`).
const UNDO_BYTES: u32 = 20;

const GETPID: u32 = 11;
const GETVAL: u32 = 12;
const GETALL: u32 = 13;
const GETNCNT: u32 = 14;
const GETZCNT: u32 = 15;
const SETVAL: u32 = 16;
const SETALL: u32 = 17;
const SEM_STAT: u32 = 18;
const SEM_INFO: u32 = 19;
const SEM_STAT_ANY: u32 = 20;

const IPC_NOWAIT: u16 = 0o4000;
const SEM_UNDO: u16 = 0x1000;

/// `struct sembuf`, in bytes.
const SEMBUF_BYTES: usize = 6;

/// semget(2).
pub fn sys_semget(call: &mut Call<'_>) -> CallResult {
    do_semget(call, call.int(0), call.int(1), call.uint(2))
}

fn do_semget(call: &Call<'_>, key: i32, count: i32, flags: u32) -> CallResult {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    if count > COUNT_MAX {
        return Err(Errno::EINVAL);
    }
    let request = Get {
        key,
        flags,
        credentials: &call.thread.credentials(),
    };
    let fits = |set: &SemaphoreSet| {
        if count > set.count() {
            return Err(Errno::EINVAL);
        }
        Ok(())
    };
    let id = call.kernel().ipc.semaphores.get(&request, fits, |header| {
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        Ok(SemaphoreSet::new(header, count))
    })?;
    Ok(u64::from(id.cast_unsigned()))
}

/// semop(2).
pub fn sys_semop(call: &mut Call<'_>) -> CallResult {
    do_semtimedop(call, call.int(0), call.pointer(1), call.size(2), None)
}

/// semtimedop(2).
pub fn sys_semtimedop(call: &mut Call<'_>) -> CallResult {
    let timeout = read_timespec(call.pointer(3))?;
    let now = platform().now(Clock::Monotonic);
    let deadline = timeout.map(|timeout| now.saturating_add(timeout));
    do_semtimedop(call, call.int(0), call.pointer(1), call.size(2), deadline)
}

fn read_operations(address: GuestAddr, count: usize) -> Result<Vec<Operation>, Errno> {
    let mut bytes = vec![0; count * SEMBUF_BYTES];
    address.read(&mut bytes)?;
    let (operations, _) = bytes.as_chunks::<SEMBUF_BYTES>();
    Ok(operations
        .iter()
        .map(|&[n0, n1, c0, c1, f0, f1]| {
            let flags = u16::from_le_bytes([f0, f1]);
            Operation {
                number: u16::from_le_bytes([n0, n1]),
                change: i16::from_le_bytes([c0, c1]),
                no_wait: flags & IPC_NOWAIT != 0,
                undo: flags & SEM_UNDO != 0,
            }
        })
        .collect())
}

fn do_semtimedop(
    call: &Call<'_>,
    id: i32,
    address: GuestAddr,
    count: usize,
    deadline: Option<u64>,
) -> CallResult {
    if count == 0 || id < 0 {
        return Err(Errno::EINVAL);
    }
    if count > OPERATIONS_MAX {
        return Err(Errno::E2BIG);
    }
    let operations = read_operations(address, count)?;
    let set = call.kernel().ipc.semaphores.find(id)?;
    let size = set.count();
    if operations.iter().any(|one| usize::from(one.number) >= size) {
        return Err(Errno::EFBIG);
    }
    let changes = operations.iter().any(|operation| operation.change != 0);
    let wanted = if changes { Wanted::WRITE } else { Wanted::READ };
    set.header().check(&call.thread.credentials(), wanted)?;
    let thread = call.thread;
    let Some(waiting) = set.operate(&operations, call.process().id, &thread.parker)? else {
        return Ok(0);
    };
    let result = thread.wait_until(deadline, || waiting.result());
    match (result, waiting.give_up()) {
        (Ok(result), _) | (_, Some(result)) => result?,
        (Err(Errno::ETIMEDOUT), None) => return Err(Errno::EAGAIN),
        // Never made again after a handler.
        (Err(error), None) => return Err(error),
    }
    Ok(0)
}

/// semctl(2).
pub fn sys_semctl(call: &mut Call<'_>) -> CallResult {
    let (id, number) = (call.int(0), call.int(1));
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    match call.uint(2) {
        IPC_INFO => do_info(call, false),
        SEM_INFO => do_info(call, true),
        command @ (IPC_STAT | SEM_STAT | SEM_STAT_ANY) => do_stat(call, id, command),
        command @ (IPC_SET | IPC_RMID) => do_change(call, id, command),
        command => do_values(call, id, number, command),
    }
}

fn do_info(call: &Call<'_>, of_use: bool) -> CallResult {
    let semaphores = &call.kernel().ipc.semaphores;
    let sets = semaphores.all();
    let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let (sixth, last) = if of_use {
        let used: usize = sets.iter().map(|set| set.count()).sum();
        (small(sets.len()), small(used))
    } else {
        (UNDO_BYTES, VALUE_MAX.cast_unsigned())
    };
    let info = Layout::default()
        .int(ALL_MAX)
        .int(small(SETS_MAX))
        .int(ALL_MAX)
        .int(ALL_MAX)
        .int(small(COUNT_MAX))
        .int(small(OPERATIONS_MAX))
        .int(small(OPERATIONS_MAX))
        .int(sixth)
        .int(VALUE_MAX.cast_unsigned())
        .int(last);
    call.pointer(3).write(&info.0)?;
    Ok(semaphores.highest_index().into())
}

fn do_stat(call: &Call<'_>, id: i32, command: u32) -> CallResult {
    let semaphores = &call.kernel().ipc.semaphores;
    let set = if command == IPC_STAT {
        semaphores.find(id)?
    } else {
        semaphores.at(id.cast_unsigned())?
    };
    if command != SEM_STAT_ANY {
        set.header()
            .check(&call.thread.credentials(), Wanted::READ)?;
    }
    call.pointer(3).write(&set.description())?;
    let id = u64::from(set.header().id.cast_unsigned());
    Ok(if command == IPC_STAT { 0 } else { id })
}

fn do_change(call: &Call<'_>, id: i32, command: u32) -> CallResult {
    let semaphores = &call.kernel().ipc.semaphores;
    let header: Option<[u8; Header::BYTES]> = match command {
        IPC_SET => Some(call.pointer(3).read_array()?),
        _ => None,
    };
    let set = semaphores.find(id)?;
    set.header().check_owner(&call.thread.credentials())?;
    match header {
        Some(header) => set.header().set(&header),
        None => {
            semaphores.remove(&set);
            set.removed();
        }
    }
    Ok(0)
}

fn do_values(call: &Call<'_>, id: i32, number: i32, command: u32) -> CallResult {
    let known = (GETPID..=SETALL).contains(&command);
    if !known {
        return Err(Errno::EINVAL);
    }
    let set = call.kernel().ipc.semaphores.find(id)?;
    let process = call.process().id;
    let credentials = call.thread.credentials();
    let changes = matches!(command, SETVAL | SETALL);
    let wanted = if changes { Wanted::WRITE } else { Wanted::READ };
    if command == SETVAL && !(0..=VALUE_MAX).contains(&call.int(3)) {
        return Err(Errno::ERANGE);
    }
    set.header().check(&credentials, wanted)?;
    let index = usize::try_from(number).map_err(|_| Errno::EINVAL);
    let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    match command {
        GETALL => {
            let mut bytes = Vec::new();
            for value in set.values() {
                let value = u16::try_from(value).unwrap_or(0);
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            call.pointer(3).write(&bytes)?;
            Ok(0)
        }
        SETALL => {
            let mut bytes = vec![0; set.count() * 2];
            call.pointer(3).read(&mut bytes)?;
            let (words, _) = bytes.as_chunks::<2>();
            let values: Vec<i32> = words
                .iter()
                .map(|word| u16::from_le_bytes(*word).into())
                .collect();
            if values.iter().any(|value| *value > VALUE_MAX) {
                return Err(Errno::ERANGE);
            }
            set.set_values(&values, process)?;
            Ok(0)
        }
        SETVAL => {
            set.set_value(index?, call.int(3), process)?;
            Ok(0)
        }
        GETVAL => Ok(u64::from(set.look(index?)?.0.cast_unsigned())),
        GETPID => Ok(set.look(index?)?.1.into()),
        GETNCNT => Ok(count(set.waiting(index?, false)?)),
        GETZCNT => Ok(count(set.waiting(index?, true)?)),
        _ => Err(Errno::EINVAL),
    }
}
