//! How a thread asked to be scheduled: sched(7).
//!
//! The host schedules, and does not hear of this. It is kept because programs read back what they
//! set, and count the processors they may use.

use alloc::vec::Vec;
use capsid_platform::platform;
use linux_raw_sys::general as raw;

/// A set of processors, as the bytes of a `cpu_set_t`: whole 64-bit words for the processors there
/// are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessorSet(Vec<u8>);

/// Policy and processors of a thread.
#[derive(Clone, Debug)]
pub struct Scheduling {
    /// `SCHED_NORMAL`, `SCHED_BATCH` or `SCHED_IDLE`: the others need a right that nobody has.
    pub policy: u32,
    /// `SCHED_RESET_ON_FORK`: children start with the ordinary policy.
    pub reset_on_fork: bool,
    /// The processors it may use: never none.
    pub processors: ProcessorSet,
}

impl ProcessorSet {
    /// All processors there are.
    #[must_use]
    pub fn all() -> ProcessorSet {
        let count = platform().info().processors.max(1);
        let words = count.div_ceil(64) as usize;
        let mut set = ProcessorSet(alloc::vec![0; words * 8]);
        for processor in 0..count {
            set.0[processor as usize / 8] |= 1 << (processor % 8);
        }
        set
    }

    /// One processor; none if it does not exist.
    #[must_use]
    pub fn one(processor: u32) -> ProcessorSet {
        let mut set = ProcessorSet::all();
        for (index, byte) in (0..).zip(&mut set.0) {
            *byte &= if processor / 8 == index {
                1 << (processor % 8)
            } else {
                0
            };
        }
        set
    }

    /// Those processors of `bytes` that exist; none if there are none.
    #[must_use]
    pub fn existing(bytes: &[u8]) -> Option<ProcessorSet> {
        let mut set = ProcessorSet::all();
        let asked = bytes.iter().chain(core::iter::repeat(&0));
        for (byte, asked) in set.0.iter_mut().zip(asked) {
            *byte &= asked;
        }
        set.lowest().map(|_| set)
    }

    /// The bytes, lowest processor first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The processors in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.0).flat_map(|(index, byte): (u32, _)| {
            (0..8)
                .filter(move |bit| byte & (1 << bit) != 0)
                .map(move |bit| index * 8 + bit)
        })
    }

    /// The first processor in the set.
    #[must_use]
    pub fn lowest(&self) -> Option<u32> {
        self.iter().next()
    }
}

impl Default for Scheduling {
    fn default() -> Scheduling {
        Scheduling {
            policy: raw::SCHED_NORMAL,
            reset_on_fork: false,
            processors: ProcessorSet::all(),
        }
    }
}

impl Scheduling {
    /// What a new thread or process gets.
    #[must_use]
    pub fn inherited(&self) -> Scheduling {
        Scheduling {
            policy: self.policy,
            reset_on_fork: false,
            processors: self.processors.clone(),
        }
    }
}
