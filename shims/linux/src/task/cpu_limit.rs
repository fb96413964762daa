//! The limit on CPU time, `RLIMIT_CPU`: `SIGXCPU` each second from the soft limit on, `SIGKILL` at
//! the hard one.

use crate::signal::{Signal, SignalInfo, send_to_process};
use crate::task::{Process, Resource, UNLIMITED};
use crate::time::{SECOND_NS, Setting};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

impl Process {
    /// Does what the limit asks for by now, and has the process interrupted when more is due. Only
    /// for a thread of the process itself: the host counts the time of the caller.
    pub fn watch_cpu_limit(self: &Arc<Process>) {
        let limit = self.limits.get(Resource::Cpu);
        if limit.soft == UNLIMITED && limit.hard == UNLIMITED {
            self.timers.set_cpu_limit(self, Setting::default());
            return;
        }
        if self.usage.cpu_base_ns.load(Ordering::Relaxed) != 0 {
            // It runs on its parent's host process until it executes a program.
            return;
        }
        // Linux counts no limit as less than a second.
        let in_ns = |seconds: u64| seconds.max(1).saturating_mul(SECOND_NS);
        let (soft, hard) = (in_ns(limit.soft), in_ns(limit.hard));
        let used = self.cpu_ns(self);
        // A full queue of signals loses this one: the next second brings another.
        let mut next = soft;
        if used >= hard {
            let _ = send_to_process(self, SignalInfo::kernel(Signal::KILL));
            return;
        }
        if used >= soft {
            let _ = send_to_process(self, SignalInfo::kernel(Signal::XCPU));
            next = used.saturating_add(SECOND_NS);
        }
        let left = next.min(hard) - used;
        let deadline_ns = self.timers.cpu.now().saturating_add(left);
        let setting = Setting {
            deadline_ns,
            interval_ns: 0,
        };
        self.timers.set_cpu_limit(self, setting);
    }
}
