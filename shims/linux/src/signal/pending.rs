//! Signals that were sent and not yet taken.

use crate::signal::{SignalInfo, SignalSet};
use alloc::collections::VecDeque;

/// Pending signals of a thread or a process, in the order sent.
#[derive(Debug, Default)]
pub struct Pending {
    set: SignalSet,
    queue: VecDeque<SignalInfo>,
}

impl Pending {
    /// Which signals are pending.
    #[must_use]
    pub fn set(&self) -> SignalSet {
        self.set
    }

    /// How many signals are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Adds a signal; a second one of a standard signal is lost, as on Linux. Returns whether it
    /// was added.
    pub fn add(&mut self, info: SignalInfo) -> bool {
        if self.set.contains(info.signal) && !info.signal.is_real_time() {
            return false;
        }
        self.set.insert(info.signal);
        self.queue.push_back(info);
        true
    }

    /// Takes the next signal of `wanted`: faults first, then the lowest number.
    pub fn take(&mut self, wanted: SignalSet) -> Option<SignalInfo> {
        let set = self.set & wanted;
        let signal = (set & SignalSet::SYNCHRONOUS).first().or(set.first())?;
        let index = self.queue.iter().position(|info| info.signal == signal)?;
        let info = self.queue.remove(index)?;
        if !self.queue.iter().any(|info| info.signal == signal) {
            self.set.remove(signal);
        }
        Some(info)
    }

    /// Forgets all signals of `set`.
    pub fn discard(&mut self, set: SignalSet) {
        if !(self.set & set).is_empty() {
            self.queue.retain(|info| !set.contains(info.signal));
            self.set = self.set & !set;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pending;
    use crate::signal::{Signal, SignalInfo, SignalSet};

    #[test]
    fn real_time_signals_queue_in_order_and_standard_ones_merge() {
        let mut pending = Pending::default();
        let real_time = Signal::new(40).unwrap();
        for sender in 1..=3 {
            assert!(pending.add(SignalInfo::sent(real_time, 0, sender, 0)));
        }
        assert!(pending.add(SignalInfo::sent(Signal::USR2, 0, 9, 0)));
        assert!(!pending.add(SignalInfo::sent(Signal::USR2, 0, 10, 0)));
        pending.add(SignalInfo::kernel(Signal::SEGV));
        let all = !SignalSet::EMPTY;
        let mut taken = alloc::vec::Vec::new();
        while let Some(info) = pending.take(all) {
            taken.push((info.signal, info.sender()));
        }
        assert_eq!(
            taken,
            [
                (Signal::SEGV, 0),
                (Signal::USR2, 9),
                (real_time, 1),
                (real_time, 2),
                (real_time, 3)
            ]
        );
        assert!(pending.is_empty());
    }

    #[test]
    fn blocked_signals_stay() {
        let mut pending = Pending::default();
        pending.add(SignalInfo::kernel(Signal::TERM));
        assert_eq!(pending.take(!SignalSet::of(Signal::TERM)), None);
        pending.discard(SignalSet::of(Signal::TERM));
        assert!(pending.is_empty());
    }
}
