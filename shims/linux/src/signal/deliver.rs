//! Taking signals on the way to the guest.

use crate::call::restart;
use crate::signal::{
    ActionFlags, DefaultAction, Signal, SignalInfo, SignalSet, build_frame, force,
};
use crate::task::attached;
use crate::task::{ExitStatus, Thread, begin_group_exit, stop_process};
use crate::trace;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::wait::Waiter;
use capsid_platform::{GuestAddr, Registers, WaitMode, WaitOutcome};
use core::sync::atomic::Ordering;

/// The call that a signal found, if it found one, and what it returned.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted {
    /// The call's number.
    pub number: u64,
    /// Its error: one of [`restart`], or `EINTR`.
    pub error: Errno,
}

/// What to do after [`deliver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Go to the guest.
    Guest,
    /// Make the interrupted call again.
    Repeat,
    /// End the thread.
    End,
}

/// Does what is there to do before the guest goes on: ends, stops, or runs handlers.
pub fn deliver(
    thread: &Arc<Thread>,
    registers: &mut Registers,
    mut interrupted: Option<Interrupted>,
) -> Delivered {
    if interrupted.is_none() {
        restore_mask(thread);
    }
    let process = &thread.process;
    let memory = process.memory();
    loop {
        thread.barriers.pass();
        memory.space.cut_shrunk();
        process.watch_cpu_limit();
        let mut state = process.state.lock();
        if state.exit.is_some() || thread.must_end.load(Ordering::SeqCst) {
            return Delivered::End;
        }
        if thread.is_attached.load(Ordering::SeqCst) {
            drop(state);
            let call = interrupted.map(|interrupted| interrupted.number);
            attached::wait_while_attached(thread, registers, call);
            continue;
        }
        if state.stopped.is_some() {
            drop(state);
            wait_while_stopped(thread);
            continue;
        }
        let wanted = !thread.blocked();
        let own = thread.pending.lock().take(wanted);
        let info = own.or_else(|| state.pending.take(wanted));
        let Some(info) = info else {
            let mask = thread.own.lock().saved_mask.take();
            if let Some(mask) = mask {
                thread.blocked.store(mask.0, Ordering::SeqCst);
                if state.needs_attention(thread) {
                    continue;
                }
            }
            let has_more = thread.barriers.is_wanted()
                || memory.space.has_shrunk()
                || process.timers.cpu_limit_changed.load(Ordering::SeqCst);
            if has_more {
                // Asked for while the lock was not held.
                continue;
            }
            thread.attention.store(false, Ordering::SeqCst);
            drop(state);
            return finish(registers, interrupted);
        };
        drop(state);
        if act(thread, registers, info, &mut interrupted) == Delivered::End {
            return Delivered::End;
        }
    }
}

/// Puts back the mask that a call had replaced.
fn restore_mask(thread: &Thread) {
    let mask = thread.own.lock().saved_mask.take();
    if let Some(mask) = mask {
        let _state = thread.process.state.lock();
        thread.blocked.store(mask.0, Ordering::SeqCst);
    }
}

/// Decides what becomes of an interrupted call when no handler ran.
fn finish(registers: &mut Registers, interrupted: Option<Interrupted>) -> Delivered {
    match interrupted {
        Some(call) if restart::is_restart(call.error) => {
            registers.rax = call.number;
            Delivered::Repeat
        }
        _ => Delivered::Guest,
    }
}

/// Does what one signal's action says.
fn act(
    thread: &Arc<Thread>,
    registers: &mut Registers,
    info: SignalInfo,
    interrupted: &mut Option<Interrupted>,
) -> Delivered {
    let process = &thread.process;
    let signal = info.signal;
    let actions = process.actions();
    let action = actions.get(signal);
    trace::signal(thread, &info);
    if action.ignores(signal) {
        return Delivered::Guest;
    }
    if !action.has_handler() {
        match signal.default_action() {
            DefaultAction::Ignore | DefaultAction::Continue => {}
            DefaultAction::Stop => stop_process(process, signal),
            DefaultAction::Terminate => {
                begin_group_exit(process, ExitStatus::killed(signal, false));
                return Delivered::End;
            }
            DefaultAction::Core => {
                begin_group_exit(process, ExitStatus::killed(signal, false));
                return Delivered::End;
            }
        }
        return Delivered::Guest;
    }
    if action.flags.contains(ActionFlags::RESET_HANDLER) {
        actions.set(signal, crate::signal::Action::default());
    }
    let mut again = None;
    if let Some(call) = interrupted.take() {
        thread.restart_deadline_ns.store(0, Ordering::Relaxed);
        let restarts =
            restart::after_handler(call.error, action.flags.contains(ActionFlags::RESTART));
        if restarts {
            registers.rax = call.number;
            if follows_syscall(thread, registers.rip) {
                registers.rip -= 2;
            } else {
                again = Some(call.number);
            }
        } else {
            registers.rax = Errno::EINTR.as_return_value();
        }
    }
    let mask = thread.own.lock().saved_mask.take();
    let mask = mask.unwrap_or_else(|| thread.blocked());
    let rip = registers.rip;
    match build_frame(thread, registers, &action, &info, mask) {
        Ok(frame) => {
            if let Some(number) = again {
                thread.own.lock().restarts.note(frame, number, rip);
            }
            let mut blocked = thread.blocked() | action.mask;
            if !action.flags.contains(ActionFlags::NO_DEFER) {
                blocked.insert(signal);
            }
            thread.set_blocked(blocked);
        }
        Err(_) => {
            thread.set_blocked(mask);
            if signal == Signal::SEGV {
                actions.set(signal, crate::signal::Action::default());
            }
            force(thread, SignalInfo::kernel(Signal::SEGV));
        }
    }
    Delivered::Guest
}

/// Whether the instruction before `rip` is `syscall`, or what a patch put in its place.
fn follows_syscall(thread: &Thread, rip: u64) -> bool {
    let site = GuestAddr(rip.wrapping_sub(2));
    site.read_array() == Ok([0x0f, 0x05]) || thread.process.memory().space.is_patched_call(site)
}

/// Sleeps until the process goes on or ends.
fn wait_while_stopped(thread: &Arc<Thread>) {
    loop {
        thread.parker.clear();
        thread.barriers.pass();
        {
            let state = thread.process.state.lock();
            if state.stopped.is_none()
                || state.exit.is_some()
                || thread.must_end.load(Ordering::SeqCst)
            {
                return;
            }
        }
        if thread.parker.park(None, WaitMode::Interruptible) == WaitOutcome::Interrupted {
            thread.kicked();
        }
    }
}

/// Takes a signal of `set` that is pending for the thread, sigtimedwait(2).
pub fn take_pending(thread: &Arc<Thread>, set: SignalSet) -> Option<SignalInfo> {
    let mut state = thread.process.state.lock();
    let own = thread.pending.lock().take(set);
    own.or_else(|| state.pending.take(set))
}
