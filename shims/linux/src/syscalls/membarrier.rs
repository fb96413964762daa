//! Barriers in other threads: membarrier(2).
//!
//! Commands that also make instruction fetches consistent (`SYNC_CORE`) are not offered: a thread
//! leaves the library OS by a jump, which serializes nothing. Restartable sequences do not exist
//! here, nor does their command.

use crate::call::{Call, CallResult, restart};
use crate::task::{Thread, await_barrier};
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use core::sync::atomic::Ordering;

const QUERY: u32 = 0;
const GLOBAL: u32 = 1;
const GLOBAL_EXPEDITED: u32 = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: u32 = 1 << 2;
const PRIVATE_EXPEDITED: u32 = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;
const GET_REGISTRATIONS: u32 = 1 << 9;

const KNOWN: u32 = GLOBAL
    | GLOBAL_EXPEDITED
    | REGISTER_GLOBAL_EXPEDITED
    | PRIVATE_EXPEDITED
    | REGISTER_PRIVATE_EXPEDITED
    | GET_REGISTRATIONS;

/// membarrier(2).
pub fn sys_membarrier(call: &mut Call<'_>) -> CallResult {
    if call.uint(1) != 0 {
        return Err(Errno::EINVAL);
    }
    do_membarrier(call, call.uint(0))
}

fn do_membarrier(call: &Call<'_>, command: u32) -> CallResult {
    let memory = call.process().memory();
    match command {
        QUERY => Ok(KNOWN.into()),
        GLOBAL => barrier(call, &everybody(call, 0)),
        GLOBAL_EXPEDITED => barrier(call, &everybody(call, REGISTER_GLOBAL_EXPEDITED)),
        PRIVATE_EXPEDITED => {
            let registered = memory.barriers.load(Ordering::SeqCst);
            if registered & REGISTER_PRIVATE_EXPEDITED == 0 {
                return Err(Errno::EPERM);
            }
            barrier(call, &sharers(call))
        }
        REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE_EXPEDITED => {
            memory.barriers.fetch_or(command, Ordering::SeqCst);
            Ok(0)
        }
        GET_REGISTRATIONS => Ok(memory.barriers.load(Ordering::SeqCst).into()),
        _ => Err(Errno::EINVAL),
    }
}

/// The threads of every process whose memory has these registrations.
fn everybody(call: &Call<'_>, registered: u32) -> Vec<Arc<Thread>> {
    let processes = call.kernel().processes();
    let has_them = processes.iter().filter(|process| {
        process.memory().barriers.load(Ordering::SeqCst) & registered == registered
    });
    has_them.flat_map(|process| process.threads()).collect()
}

/// The threads that share the caller's memory.
fn sharers(call: &Call<'_>) -> Vec<Arc<Thread>> {
    let memory = call.process().memory();
    if memory.users.load(Ordering::SeqCst) <= 1 {
        return call.process().threads();
    }
    let processes = call.kernel().processes();
    let same = processes
        .iter()
        .filter(|process| Arc::ptr_eq(&process.memory(), &memory));
    same.flat_map(|process| process.threads()).collect()
}

fn barrier(call: &Call<'_>, threads: &[Arc<Thread>]) -> CallResult {
    match await_barrier(call.thread, threads) {
        Ok(()) => Ok(0),
        // A signal's handler first, and then the barrier anew.
        Err(_) => Err(restart::always()),
    }
}
