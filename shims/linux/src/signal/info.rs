//! What is told about a signal: `siginfo_t`, sigaction(2).

use crate::signal::Signal;

/// Sent by kill(2).
pub const SI_USER: i32 = 0;
/// Sent by the kernel.
pub const SI_KERNEL: i32 = 0x80;
/// Sent by sigqueue(3).
pub const SI_QUEUE: i32 = -1;
/// A POSIX timer expired.
pub const SI_TIMER: i32 = -2;
/// A message came to a POSIX queue.
pub const SI_MESGQ: i32 = -3;
/// Sent by tkill(2) or tgkill(2).
pub const SI_TKILL: i32 = -6;

/// Child has exited.
pub const CLD_EXITED: i32 = 1;
/// Child was killed.
pub const CLD_KILLED: i32 = 2;
/// Child was killed and would have left a core file.
pub const CLD_DUMPED: i32 = 3;
/// Child has stopped.
pub const CLD_STOPPED: i32 = 5;
/// Child has continued.
pub const CLD_CONTINUED: i32 = 6;

/// A `siginfo_t`: 128 bytes on x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalInfo {
    /// `si_signo`.
    pub signal: Signal,
    /// `si_errno`.
    pub errno: i32,
    /// `si_code`.
    pub code: i32,
    /// The union behind them, from byte 16 on.
    pub fields: [u64; 14],
}

/// Size of a `siginfo_t`, in bytes.
pub const INFO_BYTES: usize = 128;

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl SignalInfo {
    fn with_fields(signal: Signal, code: i32, first: &[u64]) -> SignalInfo {
        let mut fields = [0; 14];
        for (field, value) in fields.iter_mut().zip(first) {
            *field = *value;
        }
        SignalInfo {
            signal,
            errno: 0,
            code,
            fields,
        }
    }

    /// A signal that the kernel sends, with nothing to tell.
    #[must_use]
    pub fn kernel(signal: Signal) -> SignalInfo {
        SignalInfo::with_fields(signal, SI_KERNEL, &[])
    }

    /// A signal that a process sends; `code` is [`SI_USER`] or [`SI_TKILL`].
    #[must_use]
    pub fn sent(signal: Signal, code: i32, process: u32, user: u32) -> SignalInfo {
        SignalInfo::with_fields(signal, code, &[pair(process, user)])
    }

    /// A timer's signal: its number, how often it expired unheard, and the value set with it.
    #[must_use]
    pub fn timer(signal: Signal, timer: u32, overrun: u32, value: u64) -> SignalInfo {
        SignalInfo::with_fields(signal, SI_TIMER, &[pair(timer, overrun), value])
    }

    /// A message to a queue: process and user of its sender, and the value that was asked for.
    #[must_use]
    pub fn message_queue(signal: Signal, sender: (u32, u32), value: u64) -> SignalInfo {
        SignalInfo::with_fields(signal, SI_MESGQ, &[pair(sender.0, sender.1), value])
    }

    /// A child's change of state; times in clock ticks.
    #[must_use]
    pub fn child(code: i32, process: u32, user: u32, status: u32, ticks: [u64; 2]) -> SignalInfo {
        let fields = [pair(process, user), status.into(), ticks[0], ticks[1]];
        SignalInfo::with_fields(Signal::CHLD, code, &fields)
    }

    /// A fault at an address.
    #[must_use]
    pub fn fault(signal: Signal, code: i32, address: u64) -> SignalInfo {
        SignalInfo::with_fields(signal, code, &[address])
    }

    /// An event on a descriptor, as `F_SETSIG` asks for.
    #[must_use]
    pub fn descriptor(signal: Signal, code: i32, band: u64, fd: u32) -> SignalInfo {
        SignalInfo::with_fields(signal, code, &[band, fd.into()])
    }

    /// The low half of the first field: the sender, or a timer's number.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
    pub fn sender(&self) -> u32 {
        self.fields[0] as u32
    }

    /// Encodes as `siginfo_t`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; INFO_BYTES] {
        let mut bytes = [0; INFO_BYTES];
        let head = [i32::from(self.signal.number()), self.errno, self.code];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(head) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        for (chunk, word) in bytes.chunks_exact_mut(8).skip(2).zip(self.fields) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Decodes what sigqueue(3) hands in; `signal` is the call's own argument.
    #[must_use]
    pub fn from_bytes(signal: Signal, bytes: &[u8; INFO_BYTES]) -> SignalInfo {
        let mut words = [0u64; 16];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        let mut fields = [0; 14];
        fields.copy_from_slice(&words[2..]);
        let half = |word: u64| i32::from_le_bytes(word.to_le_bytes().as_chunks::<4>().0[0]);
        SignalInfo {
            signal,
            errno: half(words[0] >> 32),
            code: half(words[1]),
            fields,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CLD_EXITED, SI_QUEUE, SignalInfo};
    use crate::signal::Signal;

    #[test]
    fn the_layout_is_that_of_linux() {
        let bytes = SignalInfo::child(CLD_EXITED, 77, 1000, 3, [5, 6]).to_bytes();
        assert_eq!(bytes[0], 17);
        assert_eq!(bytes[8], 1);
        assert_eq!(bytes[16], 77);
        assert_eq!(bytes[20..22], 1000u16.to_le_bytes());
        assert_eq!((bytes[24], bytes[32], bytes[40]), (3, 5, 6));
    }

    #[test]
    fn bytes_survive() {
        let mut info = SignalInfo::sent(Signal::USR1, SI_QUEUE, 1, 2);
        info.errno = -4;
        info.fields[13] = u64::MAX;
        assert_eq!(SignalInfo::from_bytes(Signal::USR1, &info.to_bytes()), info);
    }
}
