//! Threads held by another task, ptrace(2), as far as leak detectors need it: they stop the world
//! from a task that shares its memory, read all registers, and let go.

use crate::call::{Call, restart};
use crate::task::Thread;
use alloc::sync::{Arc, Weak};
use capsid_core::Errno;
use capsid_core::wait::{Events, Waiter};
use capsid_platform::{Registers, WaitMode, WaitOutcome, platform};
use core::sync::atomic::Ordering;

/// Who holds a thread.
#[derive(Debug)]
pub struct Attachment {
    holder: Weak<Thread>,
    /// Those of the guest, once the thread has stopped.
    stopped: Option<Stopped>,
    /// The holder has waited for the stop.
    reported: bool,
}

/// A thread that has stopped for its holder.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// The guest's registers, with the live thread pointer.
    pub registers: Registers,
    /// The call that the stop found, if it found one.
    pub call: Option<u64>,
}

impl Attachment {
    fn is_held_by(&self, thread: &Arc<Thread>) -> bool {
        core::ptr::eq(self.holder.as_ptr(), Arc::as_ptr(thread))
    }
}

/// Has `thread` stop where it is: `EPERM` if somebody holds it already, or the caller is of the
/// same process, or does not share its memory. What else a tracer may do is not there.
pub fn attach(caller: &Arc<Thread>, thread: &Arc<Thread>) -> Result<(), Errno> {
    let process = &thread.process;
    if Arc::ptr_eq(process, &caller.process)
        || !Arc::ptr_eq(&process.memory(), &caller.process.memory())
    {
        return Err(Errno::EPERM);
    }
    let _state = process.state.lock();
    let mut attachment = thread.attachment.lock();
    if attachment.is_some() {
        return Err(Errno::EPERM);
    }
    *attachment = Some(Attachment {
        holder: Arc::downgrade(caller),
        stopped: None,
        reported: false,
    });
    drop(attachment);
    caller.holds_threads.store(true, Ordering::Relaxed);
    thread.is_attached.store(true, Ordering::SeqCst);
    thread.notify();
    Ok(())
}

/// Lets a thread go on.
pub fn detach(thread: &Arc<Thread>) {
    let _state = thread.process.state.lock();
    *thread.attachment.lock() = None;
    thread.is_attached.store(false, Ordering::SeqCst);
    thread.parker.unpark();
}

/// The thread with an id, if `caller` holds it.
pub fn held(caller: &Arc<Thread>, id: u32) -> Option<Arc<Thread>> {
    if !caller.holds_threads.load(Ordering::Relaxed) {
        return None;
    }
    let thread = caller.process.kernel.thread(id)?;
    let is_held = thread
        .attachment
        .lock()
        .as_ref()
        .is_some_and(|attachment| attachment.is_held_by(caller));
    is_held.then_some(thread)
}

/// Where a held thread has stopped: `ESRCH` if it has not.
pub fn stopped(thread: &Thread) -> Result<Stopped, Errno> {
    let attachment = thread.attachment.lock();
    attachment
        .as_ref()
        .and_then(|attachment| attachment.stopped)
        .ok_or(Errno::ESRCH)
}

/// Waits until a held thread has stopped: `ECHILD` once it has ended.
pub fn wait_for_stop(call: &Call<'_>, thread: &Arc<Thread>) -> Result<(), Errno> {
    let caller = call.thread;
    let attempt = || {
        if held(caller, thread.id()).is_none() {
            return Some(Err(Errno::ECHILD));
        }
        let mut attachment = thread.attachment.lock();
        let attachment = attachment.as_mut()?;
        if attachment.stopped.is_none() || attachment.reported {
            return None;
        }
        attachment.reported = true;
        Some(Ok(()))
    };
    let queue = &caller.process.children_queue;
    let _registration = queue.register(caller.parker.clone(), Events::IN);
    match caller.wait_until(None, attempt) {
        Ok(result) => result,
        Err(_) => Err(restart::unless_handled()),
    }
}

/// Tells the holder, if there is one, that its thread has stopped or ended.
pub fn tell_holder(thread: &Thread) {
    let attachment = thread.attachment.lock();
    let holder = attachment
        .as_ref()
        .and_then(|attachment| attachment.holder.upgrade());
    drop(attachment);
    if let Some(holder) = holder {
        holder.process.children_queue.wake(Events::IN);
    }
}

/// Lets all threads go that an ending one holds.
pub fn let_go(holder: &Arc<Thread>) {
    if !holder.holds_threads.load(Ordering::Relaxed) {
        return;
    }
    let threads: alloc::vec::Vec<_> = {
        let tree = holder.process.kernel.tree.lock();
        tree.threads().cloned().collect()
    };
    for thread in threads {
        let is_held = thread
            .attachment
            .lock()
            .as_ref()
            .is_some_and(|attachment| attachment.is_held_by(holder));
        if is_held {
            detach(&thread);
        }
    }
}

/// Sleeps until the holder lets go, or the thread must end.
pub fn wait_while_attached(thread: &Arc<Thread>, registers: &Registers, call: Option<u64>) {
    let stop = Stopped {
        registers: Registers {
            fs_base: platform().thread_pointer(),
            ..*registers
        },
        call,
    };
    loop {
        thread.parker.clear();
        let mut is_new = false;
        {
            let state = thread.process.state.lock();
            let mut attachment = thread.attachment.lock();
            let Some(attachment) = attachment.as_mut() else {
                return;
            };
            if state.exit.is_some() || thread.must_end.load(Ordering::SeqCst) {
                return;
            }
            // Another holder may have come before this thread saw that the first let go.
            if attachment.stopped.is_none() {
                attachment.stopped = Some(stop);
                is_new = true;
            }
        }
        if is_new {
            tell_holder(thread);
        }
        if thread.parker.park(None, WaitMode::Interruptible) == WaitOutcome::Interrupted {
            thread.kicked();
        }
    }
}
