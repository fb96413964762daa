//! Process groups and sessions: setpgid(2), getpgid(2), getpgrp(2), setsid(2), getsid(2).

use crate::call::{Call, CallResult};
use crate::task::Process;
use alloc::sync::Arc;
use capsid_core::Errno;

/// The process that an id argument names; 0 is the caller.
fn process_of(call: &Call<'_>, index: usize) -> Result<Arc<Process>, Errno> {
    match call.int(index) {
        0 => Ok(call.process().clone()),
        id => {
            let id = u32::try_from(id).map_err(|_| Errno::ESRCH)?;
            call.kernel().process(id).ok_or(Errno::ESRCH)
        }
    }
}

/// setpgid(2).
pub fn sys_setpgid(call: &mut Call<'_>) -> CallResult {
    let caller = call.process();
    if call.int(1) < 0 {
        return Err(Errno::EINVAL);
    }
    let target = process_of(call, 0)?;
    let group = match call.int(1) {
        0 => target.id,
        group => group.unsigned_abs(),
    };
    let tree = call.kernel().tree.lock();
    if target.id != caller.id {
        if target.parent_id() != caller.id {
            return Err(Errno::ESRCH);
        }
        if target.session_id() != caller.session_id() {
            return Err(Errno::EPERM);
        }
        if tree.node(target.id).is_some_and(|node| node.executed) {
            return Err(Errno::EACCES);
        }
    }
    if target.session_id() == target.id {
        return Err(Errno::EPERM);
    }
    if group != target.id {
        let same_session = tree
            .group(group)
            .any(|node| node.process.session_id() == caller.session_id());
        if !same_session {
            return Err(Errno::EPERM);
        }
    }
    tree.set_group(&target, group);
    Ok(0)
}

/// getpgid(2).
pub fn sys_getpgid(call: &mut Call<'_>) -> CallResult {
    Ok(process_of(call, 0)?.group_id().into())
}

/// getpgrp(2).
pub fn sys_getpgrp(call: &mut Call<'_>) -> CallResult {
    Ok(call.process().group_id().into())
}

/// getsid(2).
pub fn sys_getsid(call: &mut Call<'_>) -> CallResult {
    Ok(process_of(call, 0)?.session_id().into())
}

/// setsid(2).
pub fn sys_setsid(call: &mut Call<'_>) -> CallResult {
    let caller = call.process();
    let tree = call.kernel().tree.lock();
    if tree.group(caller.id).next().is_some() {
        return Err(Errno::EPERM);
    }
    tree.set_session(caller);
    *caller.terminal.lock() = None;
    Ok(caller.id.into())
}
