//! A guest address space as processes share it.

use crate::syscalls::aio::AioContext;
use crate::task::{Process, Resource};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_core::fs::Path;
use capsid_core::fs::write_access::Hold;
use capsid_core::memory::{AddressSpace, MemoryLimits};
use capsid_core::sync::Mutex;
use core::sync::atomic::{AtomicU32, AtomicUsize};

/// An address space, and what is known about the program in it.
///
/// Each lies in a host process of its own.
#[derive(Debug)]
pub struct ProcessMemory {
    /// The mappings.
    pub space: AddressSpace,
    /// How many processes use it: more than one after `CLONE_VM`.
    pub(crate) users: AtomicUsize,
    /// The barriers that its processes registered for, membarrier(2).
    pub(crate) barriers: AtomicU32,
    /// What exec loaded.
    pub program: Mutex<Program>,
    /// What io_setup(2) made, by the address that names it.
    pub(crate) aio_contexts: Mutex<BTreeMap<u64, Arc<AioContext>>>,
}

impl ProcessMemory {
    /// Wraps an address space that one process uses.
    #[must_use]
    pub fn new(space: AddressSpace) -> ProcessMemory {
        ProcessMemory {
            space,
            users: AtomicUsize::new(1),
            barriers: AtomicU32::new(0),
            program: Mutex::new(Program::default()),
            aio_contexts: Mutex::default(),
        }
    }
}

impl Process {
    /// The limits on its memory.
    #[must_use]
    pub fn memory_limits(&self) -> MemoryLimits {
        let [address_space, data, stack, locked] = self.limits.soft_of([
            Resource::AddressSpace,
            Resource::Data,
            Resource::Stack,
            Resource::LockedMemory,
        ]);
        MemoryLimits {
            address_space,
            data,
            stack,
            locked,
        }
    }
}

/// The program that exec loaded, for procfs and prctl(2).
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The executable file.
    pub executable: Option<Path>,
    /// Keeps the executable file from being written.
    pub hold: Option<Arc<Hold>>,
    /// Where the arguments lie: start and end.
    pub arguments: (u64, u64),
    /// Where the environment lies: start and end.
    pub environment: (u64, u64),
    /// The arguments as exec copied them, each with its terminator.
    pub argument_strings: Arc<[u8]>,
    /// The environment likewise.
    pub environment_strings: Arc<[u8]>,
    /// The auxiliary vector: types and values.
    pub auxiliary: Vec<(u64, u64)>,
    /// Where the stack began.
    pub stack_start: u64,
    /// The code: start and end.
    pub code: (u64, u64),
    /// The data: start and end.
    pub data: (u64, u64),
    /// Where the heap began.
    pub heap_start: u64,
}
