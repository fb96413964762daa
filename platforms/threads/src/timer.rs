//! One-shot timers.

use crate::page::lock;
use crate::thread::Process;
use capsid_platform::HostTimer;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Arms or disarms a timer of a process. CPU timers count wall time: there is no guest code.
pub(crate) fn set(process: &Arc<Process>, timer: HostTimer, delay_ns: Option<u64>) {
    let index = timer as usize;
    let generation = {
        let mut timers = lock(&process.timers);
        timers[index] += 1;
        timers[index]
    };
    let Some(delay_ns) = delay_ns else { return };
    let process: Weak<Process> = Arc::downgrade(process);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_nanos(delay_ns));
        if let Some(process) = process.upgrade()
            && lock(&process.timers)[index] == generation
        {
            process.kick_any();
        }
    });
}
