//! Locks for library-OS memory, over [`crate::Platform::wait`] and [`crate::Platform::wake`].
//!
//! They work between guest processes, since the library OS's memory is shared between them. A
//! thread that holds one must not go to the guest or end.
#![expect(
    unsafe_code,
    reason = "lock_api's raw lock traits are unsafe to implement"
)]

mod mutex;
mod rw_lock;

pub use mutex::RawMutex;
pub use rw_lock::RawRwLock;

/// A mutual-exclusion lock.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
/// What [`Mutex::lock`] returns.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;
/// A lock for many readers or one writer.
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;
/// What [`RwLock::read`] returns.
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;
/// What [`RwLock::write`] returns.
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;

/// How often a lock is tried before the thread sleeps. Critical sections are short, and a sleep
/// costs two host calls.
const SPINS: u32 = 100;
