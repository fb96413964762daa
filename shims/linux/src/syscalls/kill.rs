//! Signals to others: kill(2), tkill(2), tgkill(2), rt_sigqueueinfo(2), rt_tgsigqueueinfo(2),
//! pidfd_open(2), pidfd_send_signal(2).

use crate::call::{Call, CallResult};
use crate::files::{open_pidfd, process_to_signal};
use crate::signal::info::{SI_TKILL, SI_USER};
use crate::signal::{Signal, SignalInfo, send_to_process, send_to_thread};
use crate::task::{Process, Thread};
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::credentials::{Capabilities, Credentials};
use capsid_core::fs::StatusFlags;
use capsid_platform::GuestAddr;

fn own_info(call: &Call<'_>, signal: Signal, code: i32) -> SignalInfo {
    let user = call.thread.credentials().user.real;
    SignalInfo::sent(signal, code, call.process().id, user)
}

/// Whether the caller may send `signal` to a process with these credentials.
fn may_signal(call: &Call<'_>, target: &Process, signal: Option<Signal>) -> bool {
    let own = call.thread.credentials();
    if target.id == call.process().id || own.has(Capabilities::KILL) {
        return true;
    }
    let theirs = target.credentials();
    let same = |own: &Credentials, other: &Credentials| {
        [own.user.effective, own.user.real]
            .iter()
            .any(|id| *id == other.user.real || *id == other.user.saved)
    };
    theirs.is_none_or(|theirs| same(&own, &theirs))
        || (signal == Some(Signal::CONT) && target.session_id() == call.process().session_id())
}

fn signal_process(
    call: &Call<'_>,
    target: &Arc<Process>,
    signal: Option<Signal>,
    info: impl FnOnce(Signal) -> SignalInfo,
) -> Result<(), Errno> {
    if !may_signal(call, target, signal) {
        return Err(Errno::EPERM);
    }
    match signal {
        Some(signal) => send_to_process(target, info(signal)),
        None => Ok(()),
    }
}

/// kill(2).
pub fn sys_kill(call: &mut Call<'_>) -> CallResult {
    let signal = Signal::new_or_none(call.int(1))?;
    let targets: Vec<Arc<Process>> = match call.int(0) {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => others(call),
        0 => group(call, call.process().group_id()),
        id if id < 0 => group(call, id.unsigned_abs()),
        id => {
            let target = call.kernel().process(id.unsigned_abs());
            let target = target.or_else(|| {
                let thread = call.kernel().thread(id.unsigned_abs())?;
                Some(thread.process.clone())
            });
            target.into_iter().collect()
        }
    };
    if targets.is_empty() {
        return Err(Errno::ESRCH);
    }
    let mut result = Err(Errno::EPERM);
    for target in &targets {
        let sent = signal_process(call, target, signal, |signal| {
            own_info(call, signal, SI_USER)
        });
        match sent {
            Ok(()) => result = Ok(0),
            Err(error) if result.is_err() => result = Err(error),
            Err(_) => {}
        }
    }
    result
}

fn group(call: &Call<'_>, group: u32) -> Vec<Arc<Process>> {
    let tree = call.kernel().tree.lock();
    tree.nodes()
        .filter(|node| node.process.group_id() == group)
        .map(|node| node.process.clone())
        .collect()
}

/// All processes but the first and the caller.
fn others(call: &Call<'_>) -> Vec<Arc<Process>> {
    let spared = [crate::kernel::FIRST_PROCESS, call.process().id];
    let mut processes = call.kernel().processes();
    processes.retain(|process| !spared.contains(&process.id));
    processes
}

fn find_thread(call: &Call<'_>, group: Option<i32>, id: i32) -> Result<Arc<Thread>, Errno> {
    if id <= 0 || group.is_some_and(|group| group <= 0) {
        return Err(Errno::EINVAL);
    }
    let thread = call
        .kernel()
        .thread(id.unsigned_abs())
        .ok_or(Errno::ESRCH)?;
    if group.is_some_and(|group| thread.process.id != group.unsigned_abs()) {
        return Err(Errno::ESRCH);
    }
    Ok(thread)
}

fn signal_thread(
    call: &Call<'_>,
    target: &Arc<Thread>,
    signal: Option<Signal>,
    info: impl FnOnce(Signal) -> SignalInfo,
) -> CallResult {
    if !may_signal(call, &target.process, signal) {
        return Err(Errno::EPERM);
    }
    if let Some(signal) = signal {
        send_to_thread(target, info(signal))?;
    }
    Ok(0)
}

/// tkill(2).
pub fn sys_tkill(call: &mut Call<'_>) -> CallResult {
    let target = find_thread(call, None, call.int(0))?;
    let signal = Signal::new_or_none(call.int(1))?;
    signal_thread(call, &target, signal, |signal| {
        own_info(call, signal, SI_TKILL)
    })
}

/// tgkill(2).
pub fn sys_tgkill(call: &mut Call<'_>) -> CallResult {
    let target = find_thread(call, Some(call.int(0)), call.int(1))?;
    let signal = Signal::new_or_none(call.int(2))?;
    signal_thread(call, &target, signal, |signal| {
        own_info(call, signal, SI_TKILL)
    })
}

/// Reads what the sender says about its signal. Only the kernel may claim to be the kernel, or
/// kill(2), towards others.
fn read_info(
    call: &Call<'_>,
    address: GuestAddr,
    number: i32,
    to_itself: bool,
) -> Result<Option<SignalInfo>, Errno> {
    let bytes = address.read_array()?;
    let Some(signal) = Signal::new_or_none(number)? else {
        return Ok(None);
    };
    let info = SignalInfo::from_bytes(signal, &bytes);
    let _ = call;
    if (info.code >= 0 || info.code == SI_TKILL) && !to_itself {
        return Err(Errno::EPERM);
    }
    Ok(Some(info))
}

/// rt_sigqueueinfo(2).
pub fn sys_rt_sigqueueinfo(call: &mut Call<'_>) -> CallResult {
    let id = u32::try_from(call.int(0)).map_err(|_| Errno::ESRCH)?;
    let to_itself = id == call.process().id;
    let info = read_info(call, call.pointer(2), call.int(1), to_itself)?;
    let target = call.kernel().process(id).ok_or(Errno::ESRCH)?;
    signal_process(call, &target, info.map(|info| info.signal), |signal| {
        info.unwrap_or_else(|| SignalInfo::kernel(signal))
    })?;
    Ok(0)
}

/// rt_tgsigqueueinfo(2).
pub fn sys_rt_tgsigqueueinfo(call: &mut Call<'_>) -> CallResult {
    let to_itself = call.int(0).unsigned_abs() == call.process().id;
    let info = read_info(call, call.pointer(3), call.int(2), to_itself)?;
    let target = find_thread(call, Some(call.int(0)), call.int(1))?;
    signal_thread(call, &target, info.map(|info| info.signal), |signal| {
        info.unwrap_or_else(|| SignalInfo::kernel(signal))
    })
}

/// pidfd_open(2).
pub fn sys_pidfd_open(call: &mut Call<'_>) -> CallResult {
    let flags = StatusFlags::from_bits(call.uint(1)).ok_or(Errno::EINVAL)?;
    if !(flags - StatusFlags::NONBLOCK).is_empty() || call.int(0) <= 0 {
        return Err(Errno::EINVAL);
    }
    let id = call.int(0).unsigned_abs();
    let process = call.kernel().process(id).ok_or_else(|| {
        // A thread that is no leader.
        match call.kernel().thread(id) {
            Some(_) => Errno::EINVAL,
            None => Errno::ESRCH,
        }
    })?;
    let fd = open_pidfd(call.thread, &process, flags)?;
    Ok(u64::from(fd.cast_unsigned()))
}

/// pidfd_send_signal(2).
pub fn sys_pidfd_send_signal(call: &mut Call<'_>) -> CallResult {
    if call.uint(3) != 0 {
        return Err(Errno::EINVAL);
    }
    let target = process_to_signal(call.thread, call.int(0))?;
    if call.kernel().process(target.id).is_none() {
        return Err(Errno::ESRCH);
    }
    let signal = Signal::new_or_none(call.int(1))?;
    let info = if call.pointer(2).is_null() {
        signal.map(|signal| own_info(call, signal, SI_USER))
    } else {
        let to_itself = target.id == call.process().id;
        read_info(call, call.pointer(2), call.int(1), to_itself)?
    };
    signal_process(call, &target, signal, |signal| {
        info.unwrap_or_else(|| SignalInfo::kernel(signal))
    })?;
    Ok(0)
}
