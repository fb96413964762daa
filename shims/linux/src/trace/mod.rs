//! `--trace` and `--stats`: watching the calls go by.

mod format;
mod statistics;

use crate::call::{After, Call, CallResult, restart};
use crate::kernel::Kernel;
use crate::signal::SignalInfo;
use crate::table;
use crate::task::Thread;
use alloc::format;
use alloc::string::String;
use capsid_platform::{Clock, platform};
use capsid_wire::{BootConfig, Operation, Request};
use core::sync::atomic::{AtomicBool, Ordering};

static TRACED: AtomicBool = AtomicBool::new(false);
static COUNTED: AtomicBool = AtomicBool::new(false);

/// Which log a line belongs to, as [`Operation::Log`] takes it.
#[derive(Clone, Copy, Debug)]
enum Log {
    Trace = 1,
    Statistics = 2,
}

/// Starts what the boot configuration asks for.
pub fn start(config: &BootConfig) {
    TRACED.store(config.trace, Ordering::Relaxed);
    COUNTED.store(config.statistics, Ordering::Relaxed);
}

/// Whether calls are watched at all.
#[must_use]
pub fn is_on() -> bool {
    TRACED.load(Ordering::Relaxed) || COUNTED.load(Ordering::Relaxed)
}

/// Makes a call, watching it.
#[cold]
pub fn observe(call: &mut Call<'_>) -> CallResult {
    let number = call.registers.rax;
    let entry = table::lookup(number);
    let traced = TRACED.load(Ordering::Relaxed);
    // Before the call: it may change what the arguments point to, or never return.
    let shown = traced.then(|| format::call(number, entry, call));
    let began = platform().now(Clock::Monotonic);
    let result = (entry.function)(call);
    if COUNTED.load(Ordering::Relaxed) {
        let spent = platform().now(Clock::Monotonic).saturating_sub(began);
        statistics::count(number, spent, &result);
    }
    if let Some(shown) = shown {
        let outcome = outcome(call, result);
        line(
            Log::Trace,
            &format!("[{}] {shown} = {outcome}", call.thread.id()),
        );
    }
    result
}

fn outcome(call: &Call<'_>, result: CallResult) -> String {
    match (&call.after, result) {
        (After::End(_), _) => String::from("?"),
        (After::Execute(_), _) => String::from("0 (new program)"),
        (After::BecomeChild(child, _), _) => format!("{} (in its place)", child.id()),
        (_, Err(error)) if restart::is_restart(error) => String::from("? (interrupted)"),
        (_, Err(error)) => format!("-1 {error}"),
        (_, Ok(value)) if value > 1 << 31 => format!("{value:#x}"),
        (_, Ok(value)) => format!("{value}"),
    }
}

/// Sends a line to one of the logs.
fn line(log: Log, text: &str) {
    let mut bytes = text.as_bytes().to_vec();
    bytes.truncate(capsid_wire::layout::DATA_BYTES);
    let request = Request {
        operation: Operation::Log,
        args: [log as u64, 0, 0, 0, 0, 0],
        data_len: u32::try_from(bytes.len()).unwrap_or(0),
    };
    // A log that cannot be written has nowhere to complain.
    let _ = platform().broker_call(&request, &mut bytes);
}

/// Traces a signal that is taken.
pub fn signal(thread: &Thread, info: &SignalInfo) {
    if TRACED.load(Ordering::Relaxed) {
        let text = format!(
            "[{}] --- {:?} code {} fields {:#x} ---",
            thread.id(),
            info.signal,
            info.code,
            info.fields[0]
        );
        line(Log::Trace, &text);
    }
}

/// Prints the statistics, at the end.
pub fn report(kernel: &Kernel) {
    if COUNTED.load(Ordering::Relaxed) {
        statistics::report(kernel, |text| line(Log::Statistics, text));
    }
}
