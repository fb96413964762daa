//! Resource limits, getrlimit(2).

use capsid_core::sync::Mutex;

/// A resource, with Linux's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "getrlimit(2) describes each")]
#[repr(usize)]
pub enum Resource {
    Cpu = 0,
    FileSize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    ResidentSet = 5,
    Processes = 6,
    OpenFiles = 7,
    LockedMemory = 8,
    AddressSpace = 9,
    Locks = 10,
    PendingSignals = 11,
    MessageQueues = 12,
    Nice = 13,
    RealTimePriority = 14,
    RealTimeTime = 15,
}

/// How many resources there are.
pub const RESOURCES: usize = 16;
/// No limit.
pub const UNLIMITED: u64 = u64::MAX;

/// A soft and a hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// What the soft limit may be raised to.
    pub hard: u64,
}

impl Limit {
    const fn both(value: u64) -> Limit {
        Limit {
            soft: value,
            hard: value,
        }
    }
}

/// The limits of a process.
#[derive(Debug)]
pub struct Limits(Mutex<[Limit; RESOURCES]>);

impl Limits {
    /// Limits of the first process, as on a usual Debian.
    #[must_use]
    pub fn initial(processes: u32) -> Limits {
        let mut limits = [Limit::both(UNLIMITED); RESOURCES];
        limits[Resource::Stack as usize].soft = 8 << 20;
        limits[Resource::Core as usize].soft = 0;
        limits[Resource::Processes as usize] = Limit::both(processes.into());
        limits[Resource::OpenFiles as usize] = Limit {
            soft: 1024,
            hard: 1 << 20,
        };
        limits[Resource::LockedMemory as usize] = Limit::both(8 << 20);
        limits[Resource::PendingSignals as usize] = Limit::both(32_768);
        limits[Resource::MessageQueues as usize] = Limit::both(819_200);
        limits[Resource::Nice as usize] = Limit::both(0);
        limits[Resource::RealTimePriority as usize] = Limit::both(0);
        Limits(Mutex::new(limits))
    }

    /// A copy for a child.
    #[must_use]
    pub fn copy(&self) -> Limits {
        Limits(Mutex::new(*self.0.lock()))
    }

    /// One limit.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Limit {
        self.0.lock()[resource as usize]
    }

    /// What is enforced.
    #[must_use]
    pub fn soft(&self, resource: Resource) -> u64 {
        self.get(resource).soft
    }

    /// What is enforced of several, of one moment.
    #[must_use]
    pub fn soft_of<const N: usize>(&self, resources: [Resource; N]) -> [u64; N] {
        let limits = self.0.lock();
        resources.map(|resource| limits[resource as usize].soft)
    }

    /// The limit with a number; `None` for an unknown one.
    #[must_use]
    pub fn by_number(&self, number: usize) -> Option<Limit> {
        self.0.lock().get(number).copied()
    }

    /// Replaces the limit with a number.
    pub fn set_by_number(&self, number: usize, limit: Limit) {
        if let Some(slot) = self.0.lock().get_mut(number) {
            *slot = limit;
        }
    }
}
