//! Leases: being told before somebody else opens a file, fcntl(2) `F_SETLEASE`.
//!
//! An open that a lease stands against breaks it: its holder is told, and the open fails with
//! `EAGAIN` until the holder lets go or was given time enough. Who may wait tries again then.

use crate::fs::locks::LockOwner;
use crate::fs::{Inode, OpenFile};
use crate::sync::Mutex;
use crate::wait::{Events, WaitQueue, Wake};
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::{Clock, Errno, platform};
use core::sync::atomic::{AtomicUsize, Ordering};

/// How long a holder may take to let go, in seconds (`/proc/sys/fs/lease-break-time`).
pub const BREAK_SECONDS: u64 = 45;

/// What a lease stands against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseKind {
    /// Opening for writing, and cutting.
    Read,
    /// Opening at all.
    Write,
}

/// What an open wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// To read.
    Reads,
    /// To write or cut.
    Writes,
}

struct Lease {
    inode: Arc<dyn Inode>,
    /// The description that holds it, by what it holds locks under.
    holder: LockOwner,
    kind: LeaseKind,
    breaking: Option<Breaking>,
    teller: Arc<dyn Wake>,
}

/// What the holder has to come down to, and until when.
#[derive(Clone, Copy)]
struct Breaking {
    to: Option<LeaseKind>,
    deadline_ns: u64,
}

static LEASES: Mutex<Vec<Lease>> = Mutex::new(Vec::new());

/// How many there are, so that opening without any costs one load.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Who waits for a lease to go.
pub static CHANGED: WaitQueue = WaitQueue::new();

impl Lease {
    fn is_of(&self, inode: &Arc<dyn Inode>) -> bool {
        core::ptr::addr_eq(Arc::as_ptr(&self.inode), Arc::as_ptr(inode))
    }

    fn stands_against(&self, breaker: Breaker) -> bool {
        self.kind == LeaseKind::Write || breaker == Breaker::Writes
    }

    /// Begins to break it, or goes on to, and tells the holder of anything new.
    fn break_for(&mut self, breaker: Breaker, now: u64) {
        let to = match breaker {
            Breaker::Reads => Some(LeaseKind::Read),
            Breaker::Writes => None,
        };
        match &mut self.breaking {
            Some(breaking) if breaking.to.is_none() || to.is_some() => return,
            Some(breaking) => breaking.to = None,
            None => {
                let deadline_ns = now.saturating_add(BREAK_SECONDS * 1_000_000_000);
                self.breaking = Some(Breaking { to, deadline_ns });
            }
        }
        self.teller.wake(Events::PRI);
    }
}

/// Takes a lease, changes its kind, or (with `None`) lets it go: `EAGAIN` if another description
/// has one that does not go with it, or if there is none to let go.
/// `teller` is told when it is to be broken. The caller has seen that nobody else has the file
/// open.
pub fn set(file: &OpenFile, kind: Option<LeaseKind>, teller: Arc<dyn Wake>) -> Result<(), Errno> {
    let inode = file.path().ok_or(Errno::EINVAL)?.inode();
    let holder = file.lock_owner();
    let mut leases = LEASES.lock();
    let others = leases
        .iter()
        .filter(|lease| lease.is_of(inode) && lease.holder != holder);
    let mut against = others.filter(|lease| {
        kind == Some(LeaseKind::Write) || lease.kind == LeaseKind::Write || lease.breaking.is_some()
    });
    if kind.is_some() && against.next().is_some() {
        return Err(Errno::EAGAIN);
    }
    let own = leases.iter().position(|lease| lease.holder == holder);
    let mut gone = None;
    match (own, kind) {
        (None, None) => return Err(Errno::EAGAIN),
        (None, Some(kind)) => leases.push(Lease {
            inode: inode.clone(),
            holder,
            kind,
            breaking: None,
            teller,
        }),
        (Some(index), None) => gone = Some(leases.remove(index)),
        (Some(index), Some(kind)) => {
            if let Some(lease) = leases.get_mut(index) {
                lease.kind = kind;
                // Coming down to what is asked for ends the break.
                if kind == LeaseKind::Read {
                    lease.breaking = lease.breaking.filter(|breaking| breaking.to.is_none());
                }
            }
        }
    }
    COUNT.store(leases.len(), Ordering::SeqCst);
    drop(leases);
    drop(gone);
    CHANGED.wake(Events::all());
    Ok(())
}

/// The lease of a description, or what is left of it where it is being broken.
#[must_use]
pub fn get(file: &OpenFile) -> Option<LeaseKind> {
    let holder = file.lock_owner();
    let leases = LEASES.lock();
    let lease = leases.iter().find(|lease| lease.holder == holder)?;
    lease
        .breaking
        .map_or(Some(lease.kind), |breaking| breaking.to)
}

/// Breaks the leases that stand against opening `inode`: `EAGAIN` until they are gone.
#[inline]
pub(super) fn check(inode: &Arc<dyn Inode>, breaker: Breaker) -> Result<(), Errno> {
    if COUNT.load(Ordering::SeqCst) == 0 {
        return Ok(());
    }
    break_all(inode, breaker)
}

#[cold]
fn break_all(inode: &Arc<dyn Inode>, breaker: Breaker) -> Result<(), Errno> {
    let now = platform().now(Clock::Monotonic);
    let mut leases = LEASES.lock();
    let mut gone = Vec::new();
    let mut index = 0;
    let mut stands = false;
    while let Some(lease) = leases.get_mut(index) {
        index += 1;
        if !lease.is_of(inode) {
            continue;
        }
        if let Some(breaking) = lease
            .breaking
            .filter(|breaking| breaking.deadline_ns <= now)
        {
            lease.breaking = None;
            match breaking.to {
                Some(kind) => lease.kind = kind,
                None => {
                    index -= 1;
                    gone.push(leases.remove(index));
                    continue;
                }
            }
        }
        if lease.stands_against(breaker) {
            stands = true;
            lease.break_for(breaker, now);
        }
    }
    COUNT.store(leases.len(), Ordering::SeqCst);
    drop(leases);
    drop(gone);
    if stands { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// When the time of the next holder is over (monotonic, ns); `None` if no lease is being broken.
#[must_use]
pub fn next_deadline() -> Option<u64> {
    if COUNT.load(Ordering::SeqCst) == 0 {
        return None;
    }
    let leases = LEASES.lock();
    let deadlines = leases
        .iter()
        .filter_map(|lease| Some(lease.breaking?.deadline_ns));
    deadlines.min()
}

/// Lets go of what an ended description held.
pub(super) fn release_owner(holder: LockOwner) {
    if COUNT.load(Ordering::SeqCst) == 0 {
        return;
    }
    let mut leases = LEASES.lock();
    let own = leases.iter().position(|lease| lease.holder == holder);
    let gone = own.map(|index| leases.remove(index));
    COUNT.store(leases.len(), Ordering::SeqCst);
    drop(leases);
    if gone.is_some() {
        CHANGED.wake(Events::all());
    }
}

#[cfg(test)]
mod tests {
    use super::{LeaseKind, get, set};
    use crate::fs::tests::World;
    use crate::fs::{CreationFlags, OpenFile, OpenOptions, StatusFlags};
    use crate::wait::Parker;
    use alloc::sync::Arc;
    use capsid_platform::Errno;

    fn open(world: &World, flags: StatusFlags) -> Result<OpenFile, Errno> {
        let mut options = OpenOptions::new(flags);
        options.creation = CreationFlags::CREATE;
        world.view().open(world.at("/leased"), &options)
    }

    #[test]
    fn leases_are_broken_and_let_go() {
        let world = World::new();
        let reading = StatusFlags::empty();
        let holder = open(&world, reading).unwrap();
        let teller = || Arc::new(Parker::default());
        set(&holder, Some(LeaseKind::Read), teller()).unwrap();
        let second = open(&world, reading).unwrap();
        assert_eq!(get(&second), None);
        assert_eq!(set(&second, None, teller()), Err(Errno::EAGAIN));
        let writing = || open(&world, StatusFlags::READ_WRITE).map(drop);
        assert_eq!(writing(), Err(Errno::EAGAIN));
        assert_eq!(get(&holder), None);
        // What is to go stays to go.
        set(&holder, Some(LeaseKind::Read), teller()).unwrap();
        assert_eq!(get(&holder), None);
        let joining = set(&second, Some(LeaseKind::Read), teller());
        assert_eq!(joining, Err(Errno::EAGAIN));
        drop(second);
        set(&holder, None, teller()).unwrap();
        assert_eq!(writing(), Ok(()));
        set(&holder, Some(LeaseKind::Write), teller()).unwrap();
        assert_eq!(open(&world, reading).map(drop), Err(Errno::EAGAIN));
        assert_eq!(get(&holder), Some(LeaseKind::Read));
        set(&holder, Some(LeaseKind::Read), teller()).unwrap();
        assert_eq!(open(&world, reading).map(drop), Ok(()));
        drop(holder);
        assert_eq!(writing(), Ok(()));
    }
}
