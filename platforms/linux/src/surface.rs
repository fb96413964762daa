//! The host interface: every system call that the sandbox may make, and with which arguments.
//!
//! This one table makes the filter, `capsid surface` and the table in SECURITY.md. Arguments that
//! are not named can have any value: what they can do is bounded by what the call can do at all.

use crate::boot::{
    FD_DONATIONS, FD_FIRST_DONATED, FD_IMAGE, FD_POOL, GUEST_END, GUEST_START, KICK_SIGNAL,
};
use crate::memory::{ADVICE, MAP_FLAGS, REMAP_FLAGS};
use crate::thread::{PROCESS_FLAGS, THREAD_FLAGS};
use crate::time::{CLOCKS, TIMERS};
use alloc::format;
use alloc::string::String;
use core::fmt;
use linux_raw_sys::general as raw;

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One of these, as a 32-bit number. (The host ignores the upper half of such arguments.)
    OneOf(&'static [u32]),
    /// At least this, and a non-negative 32-bit number.
    AtLeast(u32),
    /// [`Rule::OneOf`] or [`Rule::AtLeast`].
    OneOfOrAtLeast(&'static [u32], u32),
    /// No bits but these, and all of the second.
    Bits(u32, u32),
    /// An address in the guest range.
    GuestAddress,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, values: &[u32]| {
            for (index, value) in values.iter().enumerate() {
                let separator = if index == 0 { "" } else { ", " };
                match value {
                    &u32::MAX => write!(f, "{separator}-1")?,
                    0..4096 => write!(f, "{separator}{value}")?,
                    _ => write!(f, "{separator}{value:#x}")?,
                }
            }
            Ok(())
        };
        match self {
            Rule::OneOf([value]) => list(f, &[*value]),
            Rule::OneOf(values) => {
                f.write_str("one of ")?;
                list(f, values)
            }
            Rule::AtLeast(least) => write!(f, "{least} or more"),
            Rule::OneOfOrAtLeast(values, least) => {
                f.write_str("one of ")?;
                list(f, values)?;
                write!(f, ", or {least} or more")
            }
            Rule::Bits(allowed, 0) => write!(f, "only bits {allowed:#x}"),
            Rule::Bits(allowed, required) => {
                write!(f, "only bits {allowed:#x}, with {required:#x}")
            }
            Rule::GuestAddress => f.write_str("a guest address"),
        }
    }
}

/// When a call is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In every sandbox.
    Always,
    /// In a sandbox with host files.
    HostFiles,
    /// In a sandbox that is not process-confined: it asks the broker for kicks.
    BrokerKicks,
    /// In a sandbox that a PID namespace confines.
    DirectKicks,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            When::Always => "always",
            When::HostFiles => "with host files",
            When::BrokerKicks => "without a PID namespace",
            When::DirectKicks => "in a PID namespace",
        })
    }
}

/// One allowed call.
#[derive(Clone, Copy, Debug)]
pub struct HostCall {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// When it is allowed.
    pub when: When,
    /// Arguments by index, and their rules: all must hold.
    pub rules: &'static [(usize, Rule)],
    /// What it is needed for.
    pub reason: &'static str,
}

impl HostCall {
    /// What the filter demands of the arguments, for people: `1: one of …; 3: …`.
    #[must_use]
    pub fn arguments(&self) -> String {
        let mut text = String::new();
        for (index, rule) in self.rules {
            let separator = if text.is_empty() { "" } else { "; " };
            text.push_str(&format!("{separator}{}: {rule}", index + 1));
        }
        text
    }
}

/// Which sandbox a filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// It has host files.
    pub host_files: bool,
    /// It signals its own threads itself.
    pub direct_kick: bool,
}

/// Every host call. The most frequent ones come first: the filter looks in this order.
pub const HOST_CALLS: &[HostCall] = &[
    HostCall {
        number: raw::__NR_futex,
        name: "futex",
        when: When::Always,
        rules: &[(1, Rule::OneOf(&[raw::FUTEX_WAIT_BITSET, raw::FUTEX_WAKE]))],
        reason: "sleep and wake: locks, pipes, everything that blocks",
    },
    HostCall {
        number: raw::__NR_preadv2,
        name: "preadv2",
        when: When::HostFiles,
        rules: &[
            (0, Rule::AtLeast(FD_FIRST_DONATED.unsigned_abs())),
            (5, Rule::OneOf(&[0])),
        ],
        reason: "read a donated file",
    },
    HostCall {
        number: raw::__NR_pwritev2,
        name: "pwritev2",
        when: When::HostFiles,
        rules: &[
            (0, Rule::AtLeast(FD_FIRST_DONATED.unsigned_abs())),
            (5, Rule::OneOf(&[0])),
        ],
        reason: "write a donated file",
    },
    HostCall {
        number: raw::__NR_mmap,
        name: "mmap",
        when: When::Always,
        rules: &[
            (0, Rule::GuestAddress),
            (2, Rule::Bits(7, 0)),
            (3, Rule::Bits(MAP_FLAGS, raw::MAP_FIXED)),
            (
                4,
                Rule::OneOfOrAtLeast(
                    &[u32::MAX, FD_POOL.unsigned_abs(), FD_IMAGE.unsigned_abs()],
                    FD_FIRST_DONATED.unsigned_abs(),
                ),
            ),
        ],
        reason: "map anonymous memory, the page pool, the root image or a donated file",
    },
    HostCall {
        number: raw::__NR_munmap,
        name: "munmap",
        when: When::Always,
        rules: &[(0, Rule::GuestAddress)],
        reason: "unmap guest memory",
    },
    HostCall {
        number: raw::__NR_mprotect,
        name: "mprotect",
        when: When::Always,
        rules: &[(0, Rule::GuestAddress), (2, Rule::Bits(7, 0))],
        reason: "protect guest memory",
    },
    HostCall {
        number: raw::__NR_madvise,
        name: "madvise",
        when: When::Always,
        rules: &[(2, Rule::OneOf(&ADVICE))],
        reason: "drop, give back or fault in memory",
    },
    HostCall {
        number: raw::__NR_rt_sigreturn,
        name: "rt_sigreturn",
        when: When::Always,
        rules: &[],
        reason: "continue after a trap; set the signal mask and stack of a thread",
    },
    HostCall {
        number: raw::__NR_clone,
        name: "clone",
        when: When::Always,
        rules: &[(0, Rule::OneOf(&[THREAD_FLAGS, PROCESS_FLAGS]))],
        reason: "start a guest thread or a guest process",
    },
    HostCall {
        number: raw::__NR_exit,
        name: "exit",
        when: When::Always,
        rules: &[],
        reason: "end a thread",
    },
    HostCall {
        number: raw::__NR_prctl,
        name: "prctl",
        when: When::BrokerKicks,
        rules: &[
            (0, Rule::OneOf(&[linux_raw_sys::prctl::PR_SET_PDEATHSIG])),
            (1, Rule::OneOf(&[raw::SIGKILL])),
        ],
        reason: "die with the broker",
    },
    HostCall {
        number: raw::__NR_tgkill,
        name: "tgkill",
        when: When::DirectKicks,
        rules: &[(2, Rule::OneOf(&[KICK_SIGNAL.unsigned_abs()]))],
        reason: "interrupt a thread in guest code",
    },
    HostCall {
        number: raw::__NR_clock_gettime,
        name: "clock_gettime",
        when: When::Always,
        rules: &[(0, Rule::OneOf(&CLOCKS))],
        reason: "read CPU clocks, and all clocks where the vDSO cannot",
    },
    HostCall {
        number: raw::__NR_setitimer,
        name: "setitimer",
        when: When::Always,
        rules: &[(0, Rule::OneOf(&TIMERS))],
        reason: "interrupt guest code when a timer is due",
    },
    HostCall {
        number: raw::__NR_mremap,
        name: "mremap",
        when: When::Always,
        rules: &[
            (0, Rule::GuestAddress),
            (3, Rule::OneOf(&[REMAP_FLAGS])),
            (4, Rule::GuestAddress),
        ],
        reason: "move guest memory without copying it",
    },
    HostCall {
        number: raw::__NR_recvmsg,
        name: "recvmsg",
        when: When::HostFiles,
        rules: &[
            (0, Rule::OneOf(&[FD_DONATIONS.unsigned_abs()])),
            (2, Rule::OneOf(&[crate::broker::RECEIVE_FLAGS])),
        ],
        reason: "take a donated file",
    },
    HostCall {
        number: raw::__NR_close,
        name: "close",
        when: When::HostFiles,
        rules: &[(0, Rule::AtLeast(FD_FIRST_DONATED.unsigned_abs()))],
        reason: "close a donated file",
    },
];

/// The calls of one kind of sandbox.
pub fn calls(variant: Variant) -> impl Iterator<Item = &'static HostCall> {
    HOST_CALLS.iter().filter(move |call| match call.when {
        When::Always => true,
        When::HostFiles => variant.host_files,
        When::BrokerKicks => !variant.direct_kick,
        When::DirectKicks => variant.direct_kick,
    })
}

// `Rule::GuestAddress` compares whole upper halves.
const _: () = assert!(GUEST_END & 0xffff_ffff == 0 && GUEST_START < 1 << 32);

#[cfg(test)]
mod tests {
    use super::{Variant, calls};

    #[test]
    fn rules_are_readable() {
        let text = |name: &str| {
            let mut found = super::HOST_CALLS.iter().filter(|call| call.name == name);
            found.next().expect("a host call").arguments()
        };
        assert_eq!(text("exit"), "");
        assert_eq!(text("prctl"), "1: 1; 2: 9");
        assert_eq!(
            text("mmap"),
            "1: a guest address; 3: only bits 0x7; 4: only bits 0x4033, with 0x10; \
             5: one of -1, 5, 7, or 8 or more"
        );
    }

    #[test]
    fn the_surface_does_not_grow() {
        for direct_kick in [false, true] {
            let count = |host_files| {
                calls(Variant {
                    host_files,
                    direct_kick,
                })
                .count()
            };
            assert_eq!(count(false), 12);
            assert_eq!(count(true), 16);
        }
    }
}
