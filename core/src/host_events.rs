//! Events that the broker announces: signals for the first guest process, and standard streams
//! that became ready.
//!
//! One thread of the library OS waits for them at the broker. It is started when somebody first
//! cares: most programs never do. It runs in a host process of its own, so that no guest process
//! has a thread that is not the guest's.

use crate::fs::stdio;
use alloc::boxed::Box;
use capsid_platform::{Entry, Errno, GuestThread, Registers, Resume, SpawnKind, platform};
use capsid_wire::message::{EVENT_STREAM, EVENT_TERMINAL};
use capsid_wire::{Operation, Reply, Request};
use core::sync::atomic::{AtomicBool, Ordering};

static LISTENING: AtomicBool = AtomicBool::new(false);
static SIGNALLED: spin::Once<fn(u32, SignalOrigin)> = spin::Once::new();

/// Where a signal for the sandbox came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalOrigin {
    /// Somebody sent it to capsid: it is for the first guest process.
    Process,
    /// A key of the terminal, its change of size, or its loss: it is for the foreground group.
    Terminal,
}

/// Calls `deliver` with each signal number that arrives for the first guest process. The first
/// call wins. Listening starts with [`listen`]; until then capsid itself acts on signals, as their
/// default action does.
pub fn on_signal(deliver: fn(u32, SignalOrigin)) {
    SIGNALLED.call_once(|| deliver);
}

/// Starts listening, unless that was done. A host that refuses the thread leaves waits for streams
/// without an end but signals: it is tried again the next time.
pub fn listen() {
    if LISTENING.load(Ordering::Relaxed) || LISTENING.swap(true, Ordering::AcqRel) {
        return;
    }
    // A signal that comes before the listener runs must not be answered by capsid.
    if wait_events(1).is_err() {
        return;
    }
    let listener = Box::new(Listener);
    if platform()
        .spawn(SpawnKind::EmptyProcess, listener, &Registers::default())
        .is_err()
    {
        LISTENING.store(false, Ordering::Release);
    }
}

/// Shows the user a line about what went wrong, on capsid's standard error.
pub fn show(line: &str) {
    let mut bytes = line.as_bytes().to_vec();
    let request = Request {
        operation: Operation::Log,
        args: [3, 0, 0, 0, 0, 0],
        data_len: u32::try_from(bytes.len()).unwrap_or(0),
    };
    // Without a broker there is nobody to read it.
    let _ = platform().broker_call(&request, &mut bytes);
}

struct Listener;

impl GuestThread for Listener {
    fn enter(&mut self, _entry: Entry, _registers: &mut Registers) -> Resume {
        loop {
            match wait_events(0) {
                Ok(reply) => dispatch(reply.value),
                Err(Errno::EINTR) => {}
                Err(_) => return Resume::Exit,
            }
        }
    }
}

fn wait_events(announce_only: u64) -> Result<Reply, Errno> {
    let request = Request {
        operation: Operation::WaitEvents,
        args: [announce_only, 0, 0, 0, 0, 0],
        data_len: 0,
    };
    platform().broker_call(&request, &mut [])
}

fn dispatch(events: u64) {
    for index in 0..3 {
        if events & (EVENT_STREAM << index) != 0 {
            stdio::announce(index);
        }
    }
    if let Some(deliver) = SIGNALLED.get() {
        let origin = if events & EVENT_TERMINAL == 0 {
            SignalOrigin::Process
        } else {
            SignalOrigin::Terminal
        };
        for signal in (1..32).filter(|signal| events & (1 << signal) != 0) {
            deliver(signal, origin);
        }
    }
}
