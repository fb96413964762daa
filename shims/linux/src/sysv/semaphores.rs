//! Semaphores: sets of counters that are changed together, and who waits to change them.

use super::registry::Object;
use super::{Header, Layout, now_s};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::sync::Mutex;
use capsid_core::wait::Parker;

/// Sets of a sandbox (`SEMMNI`).
pub const SETS_MAX: usize = 32_000;
/// The largest value (`SEMVMX`), and the largest change that can be taken back (`SEMAEM`).
pub const VALUE_MAX: i32 = 32_767;

/// One change, `struct sembuf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which semaphore.
    pub number: u16,
    /// What is added; 0 waits for 0.
    pub change: i16,
    /// Fail rather than wait (`IPC_NOWAIT`).
    pub no_wait: bool,
    /// Take it back when the process ends (`SEM_UNDO`).
    pub undo: bool,
}

/// A set.
#[derive(Debug)]
pub struct SemaphoreSet {
    header: Header,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Semaphore {
    value: i32,
    /// The process that changed it last.
    user: u32,
}

#[derive(Debug)]
struct State {
    semaphores: Vec<Semaphore>,
    operated_s: u64,
    /// What is added for each process when it ends, per semaphore.
    undo: BTreeMap<u32, Vec<i32>>,
    /// In the order they came.
    pending: Vec<Pending>,
    removed: bool,
}

/// Operations that have to wait.
#[derive(Debug)]
struct Pending {
    ticket: Arc<Ticket>,
    operations: Vec<Operation>,
    process: u32,
    /// The operation that could not be done.
    blocked_at: usize,
    parker: Arc<Parker>,
}

/// How pending operations came out.
#[derive(Debug, Default)]
struct Ticket(Mutex<Option<Result<(), Errno>>>);

/// Operations that wait; dropping it gives up.
#[derive(Debug)]
pub struct Waiting<'a> {
    set: &'a SemaphoreSet,
    ticket: Arc<Ticket>,
}

/// How an attempt came out.
enum Attempt {
    Done,
    /// This operation has to wait.
    Blocked(usize),
}

impl SemaphoreSet {
    /// Makes a set of `count` semaphores, all 0.
    #[must_use]
    pub fn new(header: Header, count: usize) -> SemaphoreSet {
        SemaphoreSet {
            header,
            state: Mutex::new(State {
                semaphores: vec![Semaphore::default(); count],
                operated_s: 0,
                undo: BTreeMap::new(),
                pending: Vec::new(),
                removed: false,
            }),
        }
    }

    /// How many semaphores it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.lock().semaphores.len()
    }

    /// Does all operations at once for a process, or none; `Ok(Some)` says that they wait:
    /// `EFBIG`, `EAGAIN`, `ERANGE`, `EIDRM`.
    pub fn operate(
        &self,
        operations: &[Operation],
        process: u32,
        parker: &Arc<Parker>,
    ) -> Result<Option<Waiting<'_>>, Errno> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Errno::EIDRM);
        }
        let blocked_at = match state.attempt(operations, process)? {
            Attempt::Done => {
                state.settle();
                return Ok(None);
            }
            Attempt::Blocked(index) => index,
        };
        if operations
            .get(blocked_at)
            .is_some_and(|operation| operation.no_wait)
        {
            return Err(Errno::EAGAIN);
        }
        let ticket = Arc::new(Ticket::default());
        state.pending.push(Pending {
            ticket: ticket.clone(),
            operations: operations.to_vec(),
            process,
            blocked_at,
            parker: parker.clone(),
        });
        Ok(Some(Waiting { set: self, ticket }))
    }

    /// A semaphore's value and the process that changed it last: `EINVAL`.
    pub fn look(&self, number: usize) -> Result<(i32, u32), Errno> {
        let state = self.state.lock();
        let semaphore = state.semaphores.get(number).ok_or(Errno::EINVAL)?;
        Ok((semaphore.value, semaphore.user))
    }

    /// How many wait for a semaphore to become 0 (`zero`), or to grow: `EINVAL`.
    pub fn waiting(&self, number: usize, zero: bool) -> Result<usize, Errno> {
        let state = self.state.lock();
        state.semaphores.get(number).ok_or(Errno::EINVAL)?;
        let blocked = state
            .pending
            .iter()
            .filter_map(|pending| pending.operations.get(pending.blocked_at));
        Ok(blocked
            .filter(|operation| {
                usize::from(operation.number) == number && (operation.change == 0) == zero
            })
            .count())
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> Vec<i32> {
        let state = self.state.lock();
        state
            .semaphores
            .iter()
            .map(|semaphore| semaphore.value)
            .collect()
    }

    /// Sets one value, `SETVAL`: `EINVAL`, `EIDRM`.
    pub fn set_value(&self, number: usize, value: i32, process: u32) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let removed = state.removed;
        let semaphore = state.semaphores.get_mut(number).ok_or(Errno::EINVAL)?;
        if removed {
            return Err(Errno::EIDRM);
        }
        *semaphore = Semaphore {
            value,
            user: process,
        };
        for undo in state.undo.values_mut() {
            if let Some(adjustment) = undo.get_mut(number) {
                *adjustment = 0;
            }
        }
        state.settle();
        self.header.changed();
        Ok(())
    }

    /// Sets all values, `SETALL`: `EIDRM`.
    pub fn set_values(&self, values: &[i32], process: u32) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Errno::EIDRM);
        }
        for (semaphore, &value) in state.semaphores.iter_mut().zip(values) {
            *semaphore = Semaphore {
                value,
                user: process,
            };
        }
        state.undo.clear();
        state.settle();
        self.header.changed();
        Ok(())
    }

    /// Wakes all who wait, with `EIDRM`: the set was removed.
    pub fn removed(&self) {
        let mut state = self.state.lock();
        state.removed = true;
        state.undo.clear();
        for pending in core::mem::take(&mut state.pending) {
            pending.finish(Err(Errno::EIDRM));
        }
    }

    /// Takes back what a process did with `SEM_UNDO`.
    pub(super) fn undo(&self, process: u32) {
        let mut state = self.state.lock();
        let Some(adjustments) = state.undo.remove(&process) else {
            return;
        };
        for (semaphore, adjustment) in state.semaphores.iter_mut().zip(adjustments) {
            if adjustment != 0 {
                // POSIX leaves open what becomes of values out of range; Linux stops at the ends.
                semaphore.value = (semaphore.value + adjustment).clamp(0, VALUE_MAX);
                semaphore.user = process;
            }
        }
        state.operated_s = now_s();
        state.settle();
    }

    /// When operations were last done, in seconds.
    #[must_use]
    pub fn operated_s(&self) -> u64 {
        self.state.lock().operated_s
    }

    /// The set as `struct semid64_ds`.
    #[must_use]
    pub fn description(&self) -> Vec<u8> {
        let layout = Layout::default()
            .bytes(&self.header.bytes())
            .long(self.operated_s())
            .long(0)
            .long(self.header.changed_s())
            .long(0)
            .long(self.count() as u64);
        layout.long(0).long(0).0
    }
}

impl Object for SemaphoreSet {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl State {
    /// Does all operations, if none has to wait: `EFBIG`, `ERANGE`.
    fn attempt(&mut self, operations: &[Operation], process: u32) -> Result<Attempt, Errno> {
        let mut values: Vec<i32> = self.semaphores.iter().map(|one| one.value).collect();
        let mut undo = self.undo.get(&process).cloned().unwrap_or_default();
        undo.resize(values.len(), 0);
        let number = |operation: &Operation| usize::from(operation.number);
        if operations.iter().any(|one| number(one) >= values.len()) {
            return Err(Errno::EFBIG);
        }
        for (index, operation) in operations.iter().enumerate() {
            let at = number(operation);
            let change = i32::from(operation.change);
            let (Some(value), Some(adjustment)) = (values.get_mut(at), undo.get_mut(at)) else {
                return Err(Errno::EFBIG);
            };
            if (change == 0 && *value != 0) || *value + change < 0 {
                return Ok(Attempt::Blocked(index));
            }
            *value += change;
            if *value > VALUE_MAX {
                return Err(Errno::ERANGE);
            }
            if operation.undo {
                *adjustment -= change;
                if !(-VALUE_MAX - 1..=VALUE_MAX).contains(adjustment) {
                    return Err(Errno::ERANGE);
                }
            }
        }
        for (semaphore, value) in self.semaphores.iter_mut().zip(values) {
            semaphore.value = value;
        }
        for operation in operations {
            if let Some(semaphore) = self.semaphores.get_mut(number(operation)) {
                semaphore.user = process;
            }
        }
        if operations.iter().any(|operation| operation.undo) {
            self.undo.insert(process, undo);
        }
        self.operated_s = now_s();
        Ok(Attempt::Done)
    }

    /// Does what can be done of what waits, in the order it came, until nothing more can.
    fn settle(&mut self) {
        loop {
            let mut pending = core::mem::take(&mut self.pending);
            let before = pending.len();
            pending.retain_mut(|one| match self.attempt(&one.operations, one.process) {
                Ok(Attempt::Blocked(index)) => {
                    one.blocked_at = index;
                    let no_wait = one.operations.get(index).is_some_and(|one| one.no_wait);
                    if no_wait {
                        one.finish(Err(Errno::EAGAIN));
                    }
                    !no_wait
                }
                Ok(Attempt::Done) => {
                    one.finish(Ok(()));
                    false
                }
                Err(error) => {
                    one.finish(Err(error));
                    false
                }
            });
            let settled = pending.len() == before;
            self.pending = pending;
            if settled {
                return;
            }
        }
    }
}

impl Pending {
    fn finish(&self, result: Result<(), Errno>) {
        *self.ticket.0.lock() = Some(result);
        self.parker.unpark();
    }
}

impl Waiting<'_> {
    /// How the operations came out; `None` while they wait.
    #[must_use]
    pub fn result(&self) -> Option<Result<(), Errno>> {
        *self.ticket.0.lock()
    }

    /// Gives up, unless they came out meanwhile: then that counts.
    #[must_use]
    pub fn give_up(self) -> Option<Result<(), Errno>> {
        self.set.forget(&self.ticket);
        self.result()
    }
}

impl SemaphoreSet {
    fn forget(&self, ticket: &Arc<Ticket>) {
        let mut state = self.state.lock();
        state
            .pending
            .retain(|pending| !Arc::ptr_eq(&pending.ticket, ticket));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.set.forget(&self.ticket);
    }
}
