//! Locks with an owner: the priority-inheriting operations of futex(2).
//!
//! The word of such a lock holds its owner's thread id. Who finds it held queues here, and who lets
//! go of it hands it to the first in the queue, in the word as well. Nothing here has a priority
//! that could be inherited.

mod requeue;
#[cfg(test)]
mod tests;

pub(super) use requeue::Target;
pub use requeue::{requeue_to_lock, wait_then_lock};

use super::Location;
use super::bucket::bucket_index;
use crate::sync::{Mutex, MutexGuard};
use crate::wait::{Parker, Waiter};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::{AtomicOp, Errno, GuestAddr, platform};
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The owner's thread id in the word (`FUTEX_TID_MASK`).
const OWNER: u32 = 0x3fff_ffff;
/// Somebody waits (`FUTEX_WAITERS`).
const WAITERS: u32 = 0x8000_0000;
/// The owner ended without letting go (`FUTEX_OWNER_DIED`).
const OWNER_DIED: u32 = 0x4000_0000;

/// What is known of the thread that a word names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// It runs.
    Alive,
    /// It is ending, and letting go of what it holds.
    Ending,
    /// There is no such thread.
    Gone,
}

/// A lock as the calling thread sees it.
#[derive(Clone, Copy)]
pub struct Lock<'a> {
    /// What the word is.
    pub location: Location,
    /// Where the calling process sees it.
    pub address: GuestAddr,
    /// The thread that takes or has it.
    pub thread: u32,
    /// Says what became of an owner.
    pub owner_state: &'a dyn Fn(u32) -> OwnerState,
}

impl fmt::Debug for Lock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("location", &self.location)
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

/// How far a thread that wants a lock has come.
#[derive(Debug)]
pub(super) struct Claim {
    thread: u32,
    parker: Arc<Parker>,
    state: AtomicU32,
}

const WAITING: u32 = 0;
const GRANTED: u32 = 1;
/// Granted by a thread that ended: the word does not say so yet.
const INHERITED: u32 = 2;
/// Given up.
const CANCELLED: u32 = 3;
/// It could not be queued by another thread that tried.
const FAILED: u32 = 4;

/// A lock that somebody waits for.
#[derive(Debug)]
struct Contended {
    location: Location,
    owner: u32,
    claims: VecDeque<Arc<Claim>>,
}

const BUCKETS: usize = 64;

static TABLE: [Mutex<Vec<Contended>>; BUCKETS] = [const { Mutex::new(Vec::new()) }; BUCKETS];

/// How many locks are contended, so that the end of a thread seldom has to look.
static CONTENDED: AtomicUsize = AtomicUsize::new(0);

/// The locks that hash alike, with the lock over them held.
struct Bucket(MutexGuard<'static, Vec<Contended>>);

impl Bucket {
    fn of(location: &Location) -> Bucket {
        let index = bucket_index(location) % BUCKETS;
        Bucket(TABLE[index].lock())
    }

    fn find(&mut self, location: &Location) -> Option<&mut Contended> {
        self.0.iter_mut().find(|one| one.location == *location)
    }

    /// The state of a lock that `owner` has, made if there is none.
    fn find_or_add(&mut self, location: &Location, owner: u32) -> Option<&mut Contended> {
        if self.find(location).is_none() {
            CONTENDED.fetch_add(1, Ordering::SeqCst);
            self.0.push(Contended {
                location: *location,
                owner,
                claims: VecDeque::new(),
            });
        }
        self.find(location)
    }

    /// Forgets locks that nobody waits for.
    fn tidy(&mut self) {
        let before = self.0.len();
        self.0.retain(|one| !one.claims.is_empty());
        CONTENDED.fetch_sub(before - self.0.len(), Ordering::SeqCst);
    }
}

impl Claim {
    pub(super) fn new(thread: u32, parker: &Arc<Parker>) -> Arc<Claim> {
        Arc::new(Claim {
            thread,
            parker: parker.clone(),
            state: AtomicU32::new(WAITING),
        })
    }

    fn state(&self) -> u32 {
        self.state.load(Ordering::Acquire)
    }

    /// Whether there is nothing more to wait for.
    fn is_settled(&self) -> bool {
        self.state() != WAITING
    }

    fn grant(&self, how: u32) {
        self.state.store(how, Ordering::Release);
        self.parker.unpark();
    }
}

fn load(address: GuestAddr) -> Result<u32, Errno> {
    platform().guest_atomic(address, AtomicOp::Load)
}

/// Replaces the word; `false` if it has changed.
fn replace(address: GuestAddr, expected: u32, new: u32) -> Result<bool, Errno> {
    let operation = AtomicOp::CompareExchange { expected, new };
    Ok(platform().guest_atomic(address, operation)? == expected)
}

/// How an attempt came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// The thread has the lock.
    Taken,
    /// It has to wait.
    Held,
    /// The word changed meanwhile, or its owner is ending: again.
    Again,
    /// The thread does not want it any more.
    Cancelled,
}

/// Takes the lock for `claim`, or queues it (unless `queue` says not to): `EDEADLK`, `ESRCH`,
/// `EINVAL`, `EFAULT`.
fn enter(lock: &Lock<'_>, claim: &Arc<Claim>, queue: bool) -> Result<Entered, Errno> {
    let mut bucket = Bucket::of(&lock.location);
    if claim.is_settled() {
        return Ok(Entered::Cancelled);
    }
    let word = load(lock.address)?;
    let owner = word & OWNER;
    if owner == claim.thread {
        return Err(Errno::EDEADLK);
    }
    match bucket.find(&lock.location) {
        Some(contended) => {
            // Between the end of an owner and the next one's wake-up the word lags behind.
            let is_wrong = owner != contended.owner
                && word & OWNER_DIED == 0
                && (lock.owner_state)(owner) == OwnerState::Alive;
            if is_wrong {
                return Err(Errno::EINVAL);
            }
            if word & WAITERS == 0 && !replace(lock.address, word, word | WAITERS)? {
                return Ok(Entered::Again);
            }
        }
        None if owner == 0 => {
            let new = word & OWNER_DIED | claim.thread;
            let taken = replace(lock.address, word, new)?;
            return Ok(if taken {
                Entered::Taken
            } else {
                Entered::Again
            });
        }
        None => {
            if !replace(lock.address, word, word | WAITERS)? {
                return Ok(Entered::Again);
            }
            match (lock.owner_state)(owner) {
                OwnerState::Alive => {}
                OwnerState::Ending => return Ok(Entered::Again),
                OwnerState::Gone if load(lock.address)? != word | WAITERS => {
                    return Ok(Entered::Again);
                }
                OwnerState::Gone => return Err(Errno::ESRCH),
            }
        }
    }
    if queue && let Some(contended) = bucket.find_or_add(&lock.location, owner) {
        contended.claims.push_back(claim.clone());
    }
    Ok(Entered::Held)
}

/// As [`enter`], until the word holds still.
pub(super) fn enter_patiently(
    lock: &Lock<'_>,
    claim: &Arc<Claim>,
    queue: bool,
) -> Result<Entered, Errno> {
    loop {
        match enter(lock, claim, queue)? {
            Entered::Again => platform().yield_now(),
            entered => return Ok(entered),
        }
    }
}

/// Takes a lock, `FUTEX_LOCK_PI`, waiting for it until `deadline_ns` (monotonic): `EDEADLK` if the
/// thread has it, `ESRCH` if its owner is gone, `EINTR`, `ETIMEDOUT`, `EFAULT`.
pub fn lock(waiter: &impl Waiter, lock: &Lock<'_>, deadline_ns: Option<u64>) -> Result<(), Errno> {
    let claim = Claim::new(lock.thread, waiter.parker());
    match enter_patiently(lock, &claim, true)? {
        Entered::Held => await_grant(waiter, lock, &claim, deadline_ns),
        _ => Ok(()),
    }
}

/// Sleeps until a queued claim is granted.
pub(super) fn await_grant(
    waiter: &impl Waiter,
    lock: &Lock<'_>,
    claim: &Arc<Claim>,
    deadline_ns: Option<u64>,
) -> Result<(), Errno> {
    let result = waiter.wait_until(deadline_ns, || claim.is_settled().then_some(()));
    settle(lock, claim, result)
}

/// What came of a claim whose wait ended with `result`: what was granted meanwhile counts.
fn settle(lock: &Lock<'_>, claim: &Arc<Claim>, result: Result<(), Errno>) -> Result<(), Errno> {
    if result.is_err() {
        let mut bucket = Bucket::of(&lock.location);
        if !claim.is_settled() {
            claim.state.store(CANCELLED, Ordering::Release);
            if let Some(contended) = bucket.find(&lock.location) {
                contended.claims.retain(|other| !Arc::ptr_eq(other, claim));
            }
            bucket.tidy();
            return result;
        }
    }
    match claim.state() {
        INHERITED => take_from_the_dead(lock),
        FAILED => Err(Errno::EAGAIN),
        _ => Ok(()),
    }
}

/// Puts the new owner into a word whose owner ended.
fn take_from_the_dead(lock: &Lock<'_>) -> Result<(), Errno> {
    loop {
        let word = load(lock.address)?;
        if replace(lock.address, word, lock.thread | WAITERS | OWNER_DIED)? {
            return Ok(());
        }
    }
}

/// Takes a lock if that needs no waiting, `FUTEX_TRYLOCK_PI`: `EAGAIN`, and as [`lock`].
pub fn try_lock(waiter: &impl Waiter, lock: &Lock<'_>) -> Result<(), Errno> {
    let claim = Claim::new(lock.thread, waiter.parker());
    match enter_patiently(lock, &claim, false)? {
        Entered::Held => Err(Errno::EAGAIN),
        _ => Ok(()),
    }
}

/// Lets go of a lock, or hands it to who waits longest, `FUTEX_UNLOCK_PI`: `EPERM` if the thread
/// does not have it, `EFAULT`.
pub fn unlock(lock: &Lock<'_>) -> Result<(), Errno> {
    loop {
        let mut bucket = Bucket::of(&lock.location);
        let word = load(lock.address)?;
        if word & OWNER != lock.thread {
            return Err(Errno::EPERM);
        }
        let Some(contended) = bucket.find(&lock.location) else {
            if replace(lock.address, word, 0)? {
                return Ok(());
            }
            continue;
        };
        if contended.owner != lock.thread {
            return Err(Errno::EINVAL);
        }
        let next = contended.claims.front().cloned();
        let new = next.as_ref().map_or(0, |next| next.thread | WAITERS);
        if !replace(lock.address, word, new)? {
            continue;
        }
        if let Some(next) = next {
            contended.owner = next.thread;
            contended.claims.pop_front();
            bucket.tidy();
            next.grant(GRANTED);
        }
        return Ok(());
    }
}

/// Hands every lock that an ended thread held to who waits for it. What nobody waits for keeps the
/// thread's id, and is `ESRCH` from now on, unless the thread's robust list named it.
pub fn thread_ended(thread: u32) {
    if CONTENDED.load(Ordering::SeqCst) == 0 {
        return;
    }
    for bucket in &TABLE {
        let mut bucket = Bucket(bucket.lock());
        let mut heirs = Vec::new();
        for contended in bucket.0.iter_mut().filter(|one| one.owner == thread) {
            if let Some(heir) = contended.claims.pop_front() {
                contended.owner = heir.thread;
                heirs.push(heir);
            }
        }
        bucket.tidy();
        for heir in heirs {
            heir.grant(INHERITED);
        }
    }
}
