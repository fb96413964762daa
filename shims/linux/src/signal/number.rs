//! Signal numbers, sets and default actions, signal(7).

use capsid_core::Errno;
use core::ops::{BitAnd, BitOr, Not};

/// A signal, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What a signal does that has no handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// End the process.
    Terminate,
    /// End the process; Linux would write a core file.
    Core,
    /// Nothing.
    Ignore,
    /// Stop the process.
    Stop,
    /// Continue the process if it is stopped.
    Continue,
}

macro_rules! signals {
    ($($name:ident = $number:literal)*) => {
        #[expect(missing_docs, reason = "signal(7) describes each")]
        impl Signal {
            $(pub const $name: Signal = Signal($number);)*

            /// The name without `SIG`; `None` for real-time signals.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

signals! {
    HUP = 1 INT = 2 QUIT = 3 ILL = 4 TRAP = 5 ABRT = 6 BUS = 7 FPE = 8 KILL = 9 USR1 = 10
    SEGV = 11 USR2 = 12 PIPE = 13 ALRM = 14 TERM = 15 STKFLT = 16 CHLD = 17 CONT = 18 STOP = 19
    TSTP = 20 TTIN = 21 TTOU = 22 URG = 23 XCPU = 24 XFSZ = 25 VTALRM = 26 PROF = 27 WINCH = 28
    IO = 29 PWR = 30 SYS = 31
}

impl Signal {
    /// The first real-time signal as the kernel counts.
    pub const REAL_TIME_MIN: Signal = Signal(32);
    /// The last signal.
    pub const MAX: u8 = 64;

    /// Checks a number: `EINVAL`.
    pub fn new(number: i32) -> Result<Signal, Errno> {
        match u8::try_from(number) {
            Ok(number @ 1..=Signal::MAX) => Ok(Signal(number)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// As [`Signal::new`], with 0 for none, as kill(2) takes it.
    pub fn new_or_none(number: i32) -> Result<Option<Signal>, Errno> {
        if number == 0 {
            return Ok(None);
        }
        Signal::new(number).map(Some)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// The place in a table of 64.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0 - 1)
    }

    /// Whether the signal queues.
    #[must_use]
    pub fn is_real_time(self) -> bool {
        self >= Signal::REAL_TIME_MIN
    }

    /// What happens without a handler.
    #[must_use]
    pub fn default_action(self) -> DefaultAction {
        match self {
            Signal::CHLD | Signal::URG | Signal::WINCH => DefaultAction::Ignore,
            Signal::CONT => DefaultAction::Continue,
            Signal::STOP | Signal::TSTP | Signal::TTIN | Signal::TTOU => DefaultAction::Stop,
            Signal::QUIT
            | Signal::ILL
            | Signal::TRAP
            | Signal::ABRT
            | Signal::BUS
            | Signal::FPE
            | Signal::SEGV
            | Signal::XCPU
            | Signal::XFSZ
            | Signal::SYS => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }
}

impl core::fmt::Debug for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "SIGRT_{}", self.0 - 32),
        }
    }
}

/// A set of signals, with Linux's bits: signal n is bit n - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: SignalSet = SignalSet(0);
    /// `SIGKILL` and `SIGSTOP`, which nobody blocks, ignores or handles.
    pub const UNBLOCKABLE: SignalSet =
        SignalSet(1 << (Signal::KILL.0 - 1) | 1 << (Signal::STOP.0 - 1));
    /// The signals of faults, taken before all others.
    pub const SYNCHRONOUS: SignalSet = SignalSet(
        1 << (Signal::SEGV.0 - 1)
            | 1 << (Signal::BUS.0 - 1)
            | 1 << (Signal::ILL.0 - 1)
            | 1 << (Signal::TRAP.0 - 1)
            | 1 << (Signal::FPE.0 - 1)
            | 1 << (Signal::SYS.0 - 1),
    );
    /// The signals that stop.
    pub const STOPPING: SignalSet = SignalSet(
        1 << (Signal::STOP.0 - 1)
            | 1 << (Signal::TSTP.0 - 1)
            | 1 << (Signal::TTIN.0 - 1)
            | 1 << (Signal::TTOU.0 - 1),
    );

    /// The signals that capsid passes on to the sandbox.
    pub const FROM_HOST: SignalSet = SignalSet(
        1 << (Signal::HUP.0 - 1)
            | 1 << (Signal::INT.0 - 1)
            | 1 << (Signal::QUIT.0 - 1)
            | 1 << (Signal::USR1.0 - 1)
            | 1 << (Signal::USR2.0 - 1)
            | 1 << (Signal::TERM.0 - 1)
            | 1 << (Signal::WINCH.0 - 1),
    );

    /// The set of one signal.
    #[must_use]
    pub const fn of(signal: Signal) -> SignalSet {
        SignalSet(1 << (signal.0 - 1))
    }

    /// Whether the signal is in the set.
    #[must_use]
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & SignalSet::of(signal).0 != 0
    }

    /// Whether the set has no signal.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds a signal.
    pub fn insert(&mut self, signal: Signal) {
        self.0 |= SignalSet::of(signal).0;
    }

    /// Removes a signal.
    pub fn remove(&mut self, signal: Signal) {
        self.0 &= !SignalSet::of(signal).0;
    }

    /// The lowest signal.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most 63")]
    pub fn first(self) -> Option<Signal> {
        (self.0 != 0).then(|| Signal(self.0.trailing_zeros() as u8 + 1))
    }
}

impl BitAnd for SignalSet {
    type Output = SignalSet;
    fn bitand(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & other.0)
    }
}

impl BitOr for SignalSet {
    type Output = SignalSet;
    fn bitor(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 | other.0)
    }
}

impl Not for SignalSet {
    type Output = SignalSet;
    fn not(self) -> SignalSet {
        SignalSet(!self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Signal, SignalSet};

    #[test]
    fn numbers_and_sets_agree_with_linux() {
        assert!(Signal::new(0).is_err() && Signal::new(65).is_err() && Signal::new(-1).is_err());
        assert_eq!(SignalSet::of(Signal::HUP).0, 1);
        assert_eq!(SignalSet::UNBLOCKABLE.0, 0x40100);
        assert_eq!(SignalSet(0x100).first(), Some(Signal::KILL));
        assert_eq!(SignalSet(1 << 63).first().map(Signal::number), Some(64));
        assert_eq!(alloc::format!("{:?}", Signal::TERM), "SIGTERM");
    }
}
