//! Making and ending tasks: clone(2), clone3(2), fork(2), vfork(2), exit(2), exit_group(2).

use crate::call::{After, Call, CallResult};
use crate::signal::Signal;
use crate::task::{CloneFlags, CloneRequest, ExitStatus, begin_group_exit, do_clone};
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_platform::GuestAddr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The exit signal, in the flags of clone(2).
const EXIT_SIGNAL: u64 = 0xff;

/// exit(2).
pub fn sys_exit(call: &mut Call<'_>) -> CallResult {
    let code = ExitStatus::exited(call.uint(0));
    call.then(After::End(code));
    Ok(0)
}

/// exit_group(2).
pub fn sys_exit_group(call: &mut Call<'_>) -> CallResult {
    let code = ExitStatus::exited(call.uint(0));
    begin_group_exit(call.process(), code);
    call.then(After::End(code));
    Ok(0)
}

fn plain(flags: CloneFlags) -> CloneRequest {
    CloneRequest {
        flags,
        exit_signal: Some(Signal::CHLD),
        stack_pointer: 0,
        thread_pointer: 0,
        parent_id_at: GuestAddr::NULL,
        child_id_at: GuestAddr::NULL,
        pidfd_at: GuestAddr::NULL,
    }
}

/// fork(2).
pub fn sys_fork(call: &mut Call<'_>) -> CallResult {
    do_clone(call, &plain(CloneFlags::empty()))
}

/// vfork(2).
pub fn sys_vfork(call: &mut Call<'_>) -> CallResult {
    do_clone(call, &plain(CloneFlags::VFORK | CloneFlags::MEMORY))
}

/// clone(2).
pub fn sys_clone(call: &mut Call<'_>) -> CallResult {
    let raw = call.raw(0) & 0xffff_ffff;
    // The bits of the exit signal mean nothing else; unknown flags are ignored, as on Linux.
    let flags = CloneFlags::from_bits_truncate(raw & !EXIT_SIGNAL);
    let exit_signal = i32::try_from(raw & EXIT_SIGNAL).map_err(|_| Errno::EINVAL)?;
    if flags.contains(CloneFlags::PIDFD | CloneFlags::PARENT_SET_TID) {
        // Both would be stored in the same place.
        return Err(Errno::EINVAL);
    }
    let request = CloneRequest {
        flags,
        exit_signal: Signal::new(exit_signal).ok(),
        stack_pointer: call.raw(1),
        parent_id_at: call.pointer(2),
        pidfd_at: call.pointer(2),
        child_id_at: call.pointer(3),
        thread_pointer: call.raw(4),
    };
    do_clone(call, &request)
}

/// unshare(2): `EPERM` for namespaces, which only the host could make; `EINVAL` for what a process
/// with several threads cannot unshare.
pub fn sys_unshare(call: &mut Call<'_>) -> CallResult {
    let namespaces = CloneFlags::NEW_MOUNTS | CloneFlags::NEW_OTHERS | CloneFlags::NEW_TIME;
    let alone = CloneFlags::THREAD | CloneFlags::ACTIONS | CloneFlags::MEMORY;
    let own = CloneFlags::FS | CloneFlags::FILES | CloneFlags::SEMAPHORES;
    let flags = CloneFlags::from_bits(call.raw(0)).ok_or(Errno::EINVAL)?;
    if !(namespaces | alone | own).contains(flags) {
        return Err(Errno::EINVAL);
    }
    if flags.intersects(alone) && call.process().threads().len() > 1 {
        return Err(Errno::EINVAL);
    }
    if flags.intersects(namespaces) {
        return Err(Errno::EPERM);
    }
    let thread = call.thread;
    if flags.contains(CloneFlags::FS) {
        let copy = Arc::new(thread.fs().duplicate());
        *thread.fs.lock() = copy;
    }
    if flags.contains(CloneFlags::FILES) {
        let copy = Arc::new(thread.files().duplicate());
        let shared = core::mem::replace(&mut *thread.files.lock(), copy);
        // Outside the lock: it may have been the last.
        drop(shared);
    }
    Ok(0)
}

/// `struct clone_args`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// The first version of `struct clone_args`, in bytes.
const CLONE_ARGUMENTS_MIN: usize = 64;

/// clone3(2).
pub fn sys_clone3(call: &mut Call<'_>) -> CallResult {
    let size = call.size(1);
    if size > capsid_platform::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    if size < CLONE_ARGUMENTS_MIN {
        return Err(Errno::EINVAL);
    }
    let mut given = alloc::vec![0; size];
    call.pointer(0).read(&mut given)?;
    let mut arguments = CloneArguments::default();
    let bytes = arguments.as_mut_bytes();
    let known = size.min(bytes.len());
    bytes[..known].copy_from_slice(&given[..known]);
    if given[known..].iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let a = arguments;
    let flags = CloneFlags::from_bits(a.flags).ok_or(Errno::EINVAL)?;
    if flags.contains(CloneFlags::DETACHED) || a.set_tid_size != 0 || a.exit_signal > EXIT_SIGNAL {
        return Err(Errno::EINVAL);
    }
    if flags.intersects(CloneFlags::THREAD | CloneFlags::PARENT) && a.exit_signal != 0 {
        return Err(Errno::EINVAL);
    }
    if (a.stack == 0) != (a.stack_size == 0) {
        return Err(Errno::EINVAL);
    }
    let exit_signal = i32::try_from(a.exit_signal).map_err(|_| Errno::EINVAL)?;
    let request = CloneRequest {
        flags,
        exit_signal: Signal::new_or_none(exit_signal)?,
        stack_pointer: a.stack.checked_add(a.stack_size).ok_or(Errno::EINVAL)?,
        thread_pointer: a.tls,
        parent_id_at: GuestAddr(a.parent_tid),
        child_id_at: GuestAddr(a.child_tid),
        pidfd_at: GuestAddr(a.pidfd),
    };
    do_clone(call, &request)
}
