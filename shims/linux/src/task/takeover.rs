//! Exec in a process with several threads: the caller is the one that stays.

use crate::task::Thread;
use alloc::sync::Arc;
use capsid_core::Errno;
use capsid_core::wait::Waiter;
use capsid_platform::{WaitMode, WaitOutcome};
use core::sync::atomic::Ordering;

/// Ends all other threads of the process and gives the caller the leader's id. `EINTR` if the
/// process is ending, or another thread was first.
pub fn take_over_process(thread: &Arc<Thread>) -> Result<(), Errno> {
    let process = &thread.process;
    {
        let mut state = process.state.lock();
        if state.exit.is_some() || state.executing || thread.must_end.load(Ordering::SeqCst) {
            return Err(Errno::EINTR);
        }
        if state.threads.len() == 1 && thread.id() == process.id {
            return Ok(());
        }
        state.executing = true;
        for other in state
            .threads
            .iter()
            .filter(|other| !Arc::ptr_eq(other, thread))
        {
            other.must_end.store(true, Ordering::SeqCst);
            other.notify();
        }
    }
    loop {
        thread.parker.clear();
        thread.barriers.pass();
        {
            let mut state = process.state.lock();
            if state.exit.is_some() {
                return Err(Errno::EINTR);
            }
            if state.threads.len() == 1 {
                state.executing = false;
                break;
            }
        }
        if thread.parker.park(None, WaitMode::Interruptible) == WaitOutcome::Interrupted {
            thread.kicked();
        }
    }
    process.kernel.tree.lock().promote(thread);
    Ok(())
}
