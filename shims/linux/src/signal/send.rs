//! Sending signals: who gets one, and what sending alone does.

use crate::files::signal_file;
use crate::signal::action::DEFAULT;
use crate::signal::info::SI_QUEUE;
use crate::signal::{Action, Pending, Signal, SignalInfo, SignalSet};
use crate::task::{ExitStatus, Process, ProcessState, Resource, Thread, continue_process};
use alloc::sync::Arc;
use capsid_core::Errno;
use core::sync::atomic::Ordering;

/// Whose queue a signal goes to.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// Any thread of the process.
    Process(&'a Arc<Process>),
    /// This thread.
    Thread(&'a Arc<Thread>),
}

/// Sends a signal to a process: `EAGAIN` if a queued one has no room. The caller does not hold
/// the lock of the tree.
pub fn send_to_process(process: &Arc<Process>, info: SignalInfo) -> Result<(), Errno> {
    send(Target::Process(process), info)
}

/// Sends a signal to one thread, as [`send_to_process`] does.
pub fn send_to_thread(thread: &Arc<Thread>, info: SignalInfo) -> Result<(), Errno> {
    send(Target::Thread(thread), info)
}

fn send(target: Target<'_>, info: SignalInfo) -> Result<(), Errno> {
    let process = match target {
        Target::Process(process) => process,
        Target::Thread(thread) => &thread.process,
    };
    let signal = info.signal;
    let mut state = process.state.lock();
    if state.exit.is_some() {
        return Ok(());
    }
    if signal == Signal::KILL {
        state.exit = Some(ExitStatus::killed(signal, false));
        state.stopped = None;
        state.notify_all();
        return Ok(());
    }
    let mut continued = false;
    if signal == Signal::CONT {
        discard(&mut state, SignalSet::STOPPING);
        continued = state.stopped.take().is_some();
        state.notify_all();
    } else if SignalSet::STOPPING.contains(signal) {
        discard(&mut state, SignalSet::of(Signal::CONT));
    }
    let result = enqueue(process, &mut state, target, info);
    drop(state);
    signal_file::announce();
    if continued {
        continue_process(process);
    }
    result
}

/// Forgets signals wherever in the process they are pending.
fn discard(state: &mut ProcessState, set: SignalSet) {
    state.pending.discard(set);
    for thread in &state.threads {
        thread.pending.lock().discard(set);
    }
}

fn enqueue(
    process: &Process,
    state: &mut ProcessState,
    target: Target<'_>,
    info: SignalInfo,
) -> Result<(), Errno> {
    let signal = info.signal;
    let takes = |thread: &Thread| {
        !thread.blocked().contains(signal)
            || thread.awaited.load(Ordering::SeqCst) & SignalSet::of(signal).0 != 0
    };
    let taker = match target {
        Target::Thread(thread) => takes(thread).then_some(thread),
        Target::Process(_) => state.threads.iter().find(|thread| takes(thread)),
    };
    // An ignored signal is forgotten, unless it is blocked: its action may change until then.
    if taker.is_some_and(|thread| !thread.blocked().contains(signal))
        && process.actions().get(signal).ignores(signal)
        && taker.is_some_and(|thread| {
            thread.awaited.load(Ordering::SeqCst) & SignalSet::of(signal).0 == 0
        })
    {
        return Ok(());
    }
    let full = |pending: &Pending| {
        let limit = process.limits.soft(Resource::PendingSignals);
        signal.is_real_time() && info.code == SI_QUEUE && pending.len() as u64 >= limit
    };
    let taker = taker.cloned();
    match target {
        Target::Thread(thread) => {
            let mut pending = thread.pending.lock();
            if full(&pending) {
                return Err(Errno::EAGAIN);
            }
            pending.add(info);
        }
        Target::Process(_) => {
            if full(&state.pending) {
                return Err(Errno::EAGAIN);
            }
            state.pending.add(info);
        }
    }
    if let Some(thread) = taker {
        if thread.blocked().contains(signal) {
            thread.parker.unpark();
        } else {
            thread.notify();
        }
    }
    Ok(())
}

/// Gives a thread a signal that it cannot avoid: one that is blocked or ignored ends the process.
pub fn force(thread: &Arc<Thread>, info: SignalInfo) {
    let process = &thread.process;
    let _state = process.state.lock();
    let signal = info.signal;
    let actions = process.actions();
    if thread.blocked().contains(signal) || actions.get(signal).ignores(signal) {
        let default = Action {
            handler: DEFAULT,
            ..Action::default()
        };
        actions.set(signal, default);
        let mut blocked = thread.blocked();
        blocked.remove(signal);
        thread.blocked.store(blocked.0, Ordering::SeqCst);
    }
    let mut pending = thread.pending.lock();
    pending.discard(SignalSet::of(signal));
    pending.add(info);
    thread.attention.store(true, Ordering::SeqCst);
}
