//! A task's own signals: rt_sigaction(2), rt_sigprocmask(2), rt_sigpending(2), rt_sigsuspend(2),
//! rt_sigtimedwait(2), rt_sigreturn(2), sigaltstack(2), pause(2), restart_syscall(2).

use crate::call::{After, Call, CallResult, restart};
use crate::signal::{
    Action, ActionFlags, AlternateStack, MIN_STACK_BYTES, Signal, SignalInfo, SignalSet,
    StackFlags, force, restore_frame, take_pending,
};
use crate::syscalls::timeouts::read_timespec;
use crate::task::Thread;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::host_events;
use capsid_core::wait::Waiter;
use capsid_platform::GuestAddr;
use core::sync::atomic::Ordering;

/// Size of the kernel's `sigset_t`, in bytes.
const SET_BYTES: usize = 8;

fn check_set_size(call: &Call<'_>, index: usize) -> Result<(), Errno> {
    if call.size(index) == SET_BYTES {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// rt_sigaction(2).
pub fn sys_rt_sigaction(call: &mut Call<'_>) -> CallResult {
    check_set_size(call, 3)?;
    let signal = Signal::new(call.int(0))?;
    let (new, old) = (call.pointer(1), call.pointer(2));
    let actions = call.process().actions();
    let before = if new.is_null() {
        actions.get(signal)
    } else {
        let words: [u8; 32] = new.read_array()?;
        let word = |at: usize| u64::from_le_bytes(words.as_chunks::<8>().0[at]);
        if SignalSet::UNBLOCKABLE.contains(signal) {
            return Err(Errno::EINVAL);
        }
        let action = Action {
            handler: word(0),
            flags: ActionFlags::from_bits_retain(word(1)),
            restorer: word(2),
            mask: SignalSet(word(3)) & !SignalSet::UNBLOCKABLE,
        };
        let before = actions.set(signal, action);
        if SignalSet::FROM_HOST.contains(signal) && !action.is_default() {
            // Until somebody cares, capsid does what the default action does.
            host_events::listen();
        }
        if action.ignores(signal) {
            discard(call, signal);
        }
        before
    };
    if !old.is_null() {
        let words = [
            before.handler,
            before.flags.bits(),
            before.restorer,
            before.mask.0,
        ];
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        old.write(&bytes)?;
    }
    Ok(0)
}

/// Forgets pending signals that are ignored from now on.
fn discard(call: &Call<'_>, signal: Signal) {
    let set = SignalSet::of(signal);
    let mut state = call.process().state.lock();
    state.pending.discard(set);
    for thread in &state.threads {
        thread.pending.lock().discard(set);
    }
}

const SIG_BLOCK: i32 = 0;
const SIG_UNBLOCK: i32 = 1;
const SIG_SETMASK: i32 = 2;

/// rt_sigprocmask(2).
pub fn sys_rt_sigprocmask(call: &mut Call<'_>) -> CallResult {
    check_set_size(call, 3)?;
    let before = call.thread.blocked();
    let (new, old) = (call.pointer(1), call.pointer(2));
    if !new.is_null() {
        let set = SignalSet(new.read_u64()?);
        let mask = match call.int(0) {
            SIG_BLOCK => before | set,
            SIG_UNBLOCK => before & !set,
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        call.thread.set_blocked(mask);
    }
    if !old.is_null() {
        old.write_u64(before.0)?;
    }
    Ok(0)
}

/// rt_sigpending(2).
pub fn sys_rt_sigpending(call: &mut Call<'_>) -> CallResult {
    let size = call.size(1);
    if size > SET_BYTES {
        return Err(Errno::EINVAL);
    }
    let set = {
        let state = call.process().state.lock();
        (state.pending.set() | call.thread.pending.lock().set()) & call.thread.blocked()
    };
    call.pointer(0).write(&set.0.to_le_bytes()[..size])?;
    Ok(0)
}

/// rt_sigsuspend(2).
pub fn sys_rt_sigsuspend(call: &mut Call<'_>) -> CallResult {
    check_set_size(call, 1)?;
    let mask = SignalSet(call.pointer(0).read_u64()?);
    call.thread.set_blocked_for_call(mask);
    sys_pause(call)
}

/// pause(2).
pub fn sys_pause(call: &mut Call<'_>) -> CallResult {
    let _ = call.thread.wait_until(None, || None::<()>);
    Err(restart::if_no_handler())
}

/// rt_sigtimedwait(2).
pub fn sys_rt_sigtimedwait(call: &mut Call<'_>) -> CallResult {
    check_set_size(call, 3)?;
    let set = SignalSet(call.pointer(0).read_u64()?) & !SignalSet::UNBLOCKABLE;
    let deadline = read_timespec(call.pointer(2))?.map(|timeout| call.deadline(timeout));
    let thread = call.thread;
    if set.0 & SignalSet::FROM_HOST.0 != 0 {
        host_events::listen();
    }
    thread.awaited.store(set.0, Ordering::SeqCst);
    let result = thread.wait_until(deadline, || take_pending(thread, set));
    thread.awaited.store(0, Ordering::SeqCst);
    let info = result.map_err(|error| match error {
        Errno::ETIMEDOUT => Errno::EAGAIN,
        error => error,
    })?;
    if !call.pointer(1).is_null() {
        call.pointer(1).write(&info.to_bytes())?;
    }
    Ok(info.signal.number().into())
}

/// rt_sigreturn(2).
pub fn sys_rt_sigreturn(call: &mut Call<'_>) -> CallResult {
    // The handler's return took the first word of the frame.
    let frame = GuestAddr(call.registers.rsp.wrapping_sub(8));
    let thread = call.thread;
    match restore_frame(thread, frame, call.registers) {
        Ok(restored) => {
            thread.set_blocked(restored.mask);
            let mut own = thread.own.lock();
            if let Some(stack) = restored.alternate_stack {
                own.alternate_stack = stack;
            }
            let registers = &call.registers;
            let again = own.restarts.take(frame.0, registers.rip, registers.rax);
            drop(own);
            if again {
                call.then(After::CallAgain);
            }
        }
        Err(_) => force(thread, SignalInfo::kernel(Signal::SEGV)),
    }
    Ok(call.registers.rax)
}

/// restart_syscall(2): calls go on by themselves here.
pub fn sys_restart_syscall(_call: &mut Call<'_>) -> CallResult {
    Err(Errno::EINTR)
}

/// sigaltstack(2).
pub fn sys_sigaltstack(call: &mut Call<'_>) -> CallResult {
    let stack_pointer = call.registers.rsp;
    let old = call.thread.own.lock().alternate_stack;
    let (new, old_at) = (call.pointer(0), call.pointer(1));
    if !new.is_null() {
        let bytes: [u8; 24] = new.read_array()?;
        let word = |at: usize| u64::from_le_bytes(bytes.as_chunks::<8>().0[at]);
        let flags = u32::try_from(word(1) & 0xffff_ffff).map_err(|_| Errno::EINVAL)?;
        set_stack(call.thread, stack_pointer, word(0), flags, word(2))?;
    }
    if !old_at.is_null() {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&old.base.to_le_bytes());
        let flags = old.reported_flags(stack_pointer).bits();
        bytes[8..12].copy_from_slice(&flags.to_le_bytes());
        bytes[16..].copy_from_slice(&old.size.to_le_bytes());
        old_at.write(&bytes)?;
    }
    Ok(0)
}

fn set_stack(
    thread: &Arc<Thread>,
    stack_pointer: u64,
    base: u64,
    flags: u32,
    size: u64,
) -> Result<(), Errno> {
    let mut own = thread.own.lock();
    if own.alternate_stack.in_use(stack_pointer) {
        return Err(Errno::EPERM);
    }
    let flags = StackFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let mode = flags - StackFlags::AUTO_DISARM;
    own.alternate_stack = if mode == StackFlags::DISABLE {
        AlternateStack::default()
    } else if mode.contains(StackFlags::DISABLE) {
        return Err(Errno::EINVAL);
    } else if size < MIN_STACK_BYTES {
        return Err(Errno::ENOMEM);
    } else {
        AlternateStack {
            base,
            size,
            flags: flags & StackFlags::AUTO_DISARM,
        }
    };
    Ok(())
}
