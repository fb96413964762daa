//! Properties of a task: prctl(2), arch_prctl(2), personality(2), set_tid_address(2).

use crate::call::{Call, CallResult};
use crate::task::NAME_BYTES;
use capsid_core::Errno;
use capsid_core::credentials::Capabilities;
use capsid_platform::platform;
use core::sync::atomic::Ordering;
use linux_raw_sys::prctl as raw;

const ARCH_SET_GS: u32 = 0x1001;
const ARCH_SET_FS: u32 = 0x1002;
const ARCH_GET_FS: u32 = 0x1003;
const ARCH_GET_GS: u32 = 0x1004;

/// arch_prctl(2). The base of GS belongs to the library OS; no C library uses it.
pub fn sys_arch_prctl(call: &mut Call<'_>) -> CallResult {
    match call.uint(0) {
        ARCH_SET_FS => platform().set_thread_pointer(call.raw(1))?,
        ARCH_GET_FS => call.pointer(1).write_u64(platform().thread_pointer())?,
        ARCH_GET_GS => call.pointer(1).write_u64(0)?,
        ARCH_SET_GS => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// set_tid_address(2).
pub fn sys_set_tid_address(call: &mut Call<'_>) -> CallResult {
    call.thread.own.lock().clear_at_end = call.pointer(0);
    Ok(call.thread.id().into())
}

/// personality(2).
pub fn sys_personality(call: &mut Call<'_>) -> CallResult {
    const QUERY: u32 = u32::MAX;
    /// The execution domain; only Linux's own.
    const DOMAIN: u32 = 0xff;
    let storage = &call.process().personality;
    let old = storage.load(Ordering::Relaxed);
    let new = call.uint(0);
    if new != QUERY {
        if new & DOMAIN != 0 {
            return Err(Errno::EINVAL);
        }
        storage.store(new, Ordering::Relaxed);
    }
    Ok(old.into())
}

/// `EINVAL` unless the arguments from `first` on are zero.
fn rest_is_zero(call: &Call<'_>, first: usize) -> Result<(), Errno> {
    if (first..5).all(|index| call.raw(index) == 0) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

fn flag(value: u64) -> Result<bool, Errno> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::EINVAL),
    }
}

/// The capability with a number: `EINVAL`.
fn capability(number: u64) -> Result<Capabilities, Errno> {
    let bit = u32::try_from(number).ok().and_then(|n| 1u64.checked_shl(n));
    bit.and_then(Capabilities::from_bits).ok_or(Errno::EINVAL)
}

/// prctl(2).
pub fn sys_prctl(call: &mut Call<'_>) -> CallResult {
    let process = call.process();
    let thread = call.thread;
    match call.uint(0) {
        raw::PR_SET_NAME => {
            let mut name = [0; NAME_BYTES];
            let wanted = NAME_BYTES - 1;
            let copied = platform().copy_from_guest(&mut name[..wanted], call.pointer(1));
            let end = name[..copied].iter().position(|byte| *byte == 0);
            if end.is_none() && copied < wanted {
                return Err(Errno::EFAULT);
            }
            thread.set_name(&name[..end.unwrap_or(copied)]);
        }
        raw::PR_GET_NAME => {
            let name = *thread.name.lock();
            call.pointer(1).write(&name)?;
        }
        raw::PR_SET_PDEATHSIG => {
            if call.raw(1) > 64 {
                return Err(Errno::EINVAL);
            }
            process
                .parent_death_signal
                .store(call.uint(1), Ordering::Relaxed);
        }
        raw::PR_GET_PDEATHSIG => {
            let signal = process.parent_death_signal.load(Ordering::Relaxed);
            call.pointer(1).write_u32(signal)?;
        }
        raw::PR_GET_DUMPABLE => return Ok(process.dumpable.load(Ordering::Relaxed).into()),
        raw::PR_SET_DUMPABLE => {
            let dumpable = flag(call.raw(1))?;
            process.dumpable.store(dumpable.into(), Ordering::Relaxed);
        }
        raw::PR_SET_NO_NEW_PRIVS => {
            rest_is_zero(call, 2)?;
            if call.raw(1) != 1 {
                return Err(Errno::EINVAL);
            }
            thread.no_new_privileges.store(true, Ordering::Relaxed);
        }
        raw::PR_GET_NO_NEW_PRIVS => {
            rest_is_zero(call, 1)?;
            return Ok(thread.no_new_privileges.load(Ordering::Relaxed).into());
        }
        raw::PR_SET_CHILD_SUBREAPER => {
            process
                .adopts_orphans
                .store(call.raw(1) != 0, Ordering::Relaxed);
        }
        raw::PR_GET_CHILD_SUBREAPER => {
            let adopts = process.adopts_orphans.load(Ordering::Relaxed);
            call.pointer(1).write_u32(adopts.into())?;
        }
        raw::PR_GET_KEEPCAPS => return Ok(thread.own.lock().keep_capabilities.into()),
        raw::PR_SET_KEEPCAPS => thread.own.lock().keep_capabilities = flag(call.raw(1))?,
        raw::PR_CAPBSET_READ => {
            let capability = capability(call.raw(1))?;
            return Ok(thread.credentials().bounding.contains(capability).into());
        }
        raw::PR_CAPBSET_DROP => {
            let capability = capability(call.raw(1))?;
            let mut new = (*thread.credentials()).clone();
            if !new.has(Capabilities::SETPCAP) {
                return Err(Errno::EPERM);
            }
            new.bounding -= capability;
            thread.set_credentials(new);
        }
        raw::PR_CAP_AMBIENT => return ambient(call),
        raw::PR_GET_TIMERSLACK => return Ok(thread.own.lock().timer_slack_ns),
        raw::PR_SET_TIMERSLACK => {
            const DEFAULT_NS: u64 = 50_000;
            let slack = call.raw(1);
            let slack = if slack == 0 { DEFAULT_NS } else { slack };
            thread.own.lock().timer_slack_ns = slack;
        }
        raw::PR_GET_SECUREBITS | raw::PR_GET_THP_DISABLE | raw::PR_GET_SECCOMP => return Ok(0),
        raw::PR_GET_TSC => call.pointer(1).write_u32(raw::PR_TSC_ENABLE)?,
        // Hints, names of mappings, and who may trace: without effect here.
        raw::PR_SET_THP_DISABLE | raw::PR_SET_VMA | raw::PR_SET_PTRACER => {}
        raw::PR_MCE_KILL_GET => return Ok(raw::PR_MCE_KILL_DEFAULT.into()),
        raw::PR_GET_TID_ADDRESS => {
            let address = thread.own.lock().clear_at_end;
            call.pointer(1).write_u64(address.0)?;
        }
        raw::PR_SET_SECUREBITS => return Err(Errno::EPERM),
        // Filters would have to run here; a program that installs one must hear that it cannot.
        raw::PR_SET_SECCOMP => return Err(Errno::EINVAL),
        raw::PR_SET_MM => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// `PR_CAP_AMBIENT`.
fn ambient(call: &Call<'_>) -> CallResult {
    let mut new = (*call.thread.credentials()).clone();
    match call.uint(1) {
        raw::PR_CAP_AMBIENT_CLEAR_ALL => {
            rest_is_zero(call, 2)?;
            new.ambient = Capabilities::empty();
        }
        raw::PR_CAP_AMBIENT_IS_SET => {
            return Ok(new.ambient.contains(capability(call.raw(2))?).into());
        }
        raw::PR_CAP_AMBIENT_RAISE => {
            let capability = capability(call.raw(2))?;
            if !(new.permitted & new.inheritable).contains(capability) {
                return Err(Errno::EPERM);
            }
            new.ambient |= capability;
        }
        raw::PR_CAP_AMBIENT_LOWER => new.ambient -= capability(call.raw(2))?,
        _ => return Err(Errno::EINVAL),
    }
    call.thread.set_credentials(new);
    Ok(0)
}
