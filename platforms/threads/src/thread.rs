//! Guest threads on std threads, and how they sleep.

use crate::memory::GuestMemory;
use crate::page::lock;
use crate::world::World;
use capsid_platform::{
    Entry, Exception, GuestAddr, GuestThread, Registers, Resume, ThreadToken, WaitMode, WaitOutcome,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

/// One guest process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) world: Arc<World>,
    pub(crate) memory: Mutex<GuestMemory>,
    pub(crate) threads: Mutex<Vec<Weak<Thread>>>,
    /// Bumped at each arming or disarming, by timer.
    pub(crate) timers: Mutex<[u64; 3]>,
}

/// One guest thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) token: ThreadToken,
    pub(crate) process: Arc<Process>,
    pub(crate) thread_pointer: AtomicU64,
    pub(crate) extended_state: Mutex<Vec<u8>>,
    sleep: Mutex<Sleep>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Sleep {
    woken: bool,
    /// A kick came that has not ended a wait.
    kicked: bool,
    /// A kick ended a wait, and the guest has not been interrupted yet.
    pending: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Thread>>> = const { RefCell::new(None) };
}

fn threads() -> &'static Mutex<HashMap<u64, Weak<Thread>>> {
    static THREADS: OnceLock<Mutex<HashMap<u64, Weak<Thread>>>> = OnceLock::new();
    THREADS.get_or_init(Mutex::default)
}

impl Process {
    pub(crate) fn new(world: Arc<World>, memory: GuestMemory) -> Arc<Process> {
        Arc::new(Process {
            world,
            memory: Mutex::new(memory),
            threads: Mutex::default(),
            timers: Mutex::default(),
        })
    }

    /// Interrupts one of the threads.
    pub(crate) fn kick_any(&self) {
        let thread = lock(&self.threads).iter().find_map(Weak::upgrade);
        if let Some(thread) = thread {
            thread.kick();
        }
    }
}

impl Thread {
    pub(crate) fn new(process: Arc<Process>, parent: Option<&Thread>) -> Arc<Thread> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let state = parent.map(|parent| lock(&parent.extended_state).clone());
        let thread = Arc::new(Thread {
            token: ThreadToken(NEXT.fetch_add(1, Ordering::Relaxed)),
            process,
            thread_pointer: AtomicU64::new(0),
            extended_state: Mutex::new(state.unwrap_or_default()),
            sleep: Mutex::default(),
            changed: Condvar::new(),
        });
        lock(&thread.process.threads).push(Arc::downgrade(&thread));
        lock(threads()).insert(thread.token.0, Arc::downgrade(&thread));
        thread
    }

    /// The calling thread; one that the platform did not start gets a process of its own.
    pub(crate) fn current() -> Arc<Thread> {
        CURRENT.with_borrow_mut(|current| {
            current
                .get_or_insert_with(|| {
                    let process = Process::new(Arc::default(), GuestMemory::default());
                    Thread::new(process, None)
                })
                .clone()
        })
    }

    /// Makes the calling std thread a further guest thread of the process of `other`.
    pub(crate) fn join(other: ThreadToken) {
        if let Some(other) = Thread::find(other) {
            let thread = Thread::new(other.process.clone(), None);
            CURRENT.with_borrow_mut(|current| *current = Some(thread));
        }
    }

    pub(crate) fn find(token: ThreadToken) -> Option<Arc<Thread>> {
        lock(threads()).get(&token.0)?.upgrade()
    }

    pub(crate) fn kick(&self) {
        lock(&self.sleep).kicked = true;
        self.changed.notify_all();
    }

    /// Takes a kick that came since the last one was taken.
    pub(crate) fn take_kick(&self) -> bool {
        let mut sleep = lock(&self.sleep);
        std::mem::take(&mut sleep.kicked) | std::mem::take(&mut sleep.pending)
    }

    /// Runs a guest thread to its end, on the calling std thread.
    pub(crate) fn run(self: Arc<Thread>, mut guest: Box<dyn GuestThread>, registers: Registers) {
        let mut registers = registers;
        self.thread_pointer
            .store(registers.fs_base, Ordering::Relaxed);
        CURRENT.with_borrow_mut(|current| *current = Some(self.clone()));
        let mut entry = Entry::Start;
        while guest.enter(entry, &mut registers) == Resume::Guest {
            entry = if self.take_kick() {
                Entry::Interrupt
            } else {
                match self.process.world.instruction(registers.rip) {
                    Some(instruction) => instruction(&mut registers),
                    None => Entry::Exception(Exception {
                        vector: 14,
                        error_code: 0x14,
                        address: GuestAddr(registers.rip),
                        beyond_backing: false,
                    }),
                }
            };
        }
        drop(guest);
        lock(threads()).remove(&self.token.0);
        lock(&self.process.threads).retain(|thread| thread.as_ptr() != Arc::as_ptr(&self));
    }
}

/// Those who sleep on the words that hash alike, longest first.
type Bucket = Mutex<Vec<(usize, Arc<Thread>)>>;

/// The table of sleeping threads.
#[derive(Debug)]
pub(crate) struct Sleepers([Bucket; 64]);

impl Sleepers {
    pub(crate) fn new() -> Sleepers {
        Sleepers(std::array::from_fn(|_| Mutex::default()))
    }

    fn bucket(&self, word: &AtomicU32) -> (usize, &Bucket) {
        let key = std::ptr::from_ref(word).addr();
        (key, &self.0[(key >> 2) % self.0.len()])
    }

    pub(crate) fn wait(
        &self,
        word: &AtomicU32,
        expected: u32,
        deadline: Option<Instant>,
        mode: WaitMode,
    ) -> WaitOutcome {
        let thread = Thread::current();
        let (key, bucket) = self.bucket(word);
        {
            let mut bucket = lock(bucket);
            if word.load(Ordering::SeqCst) != expected {
                return WaitOutcome::Woken;
            }
            lock(&thread.sleep).woken = false;
            bucket.push((key, thread.clone()));
        }
        let mut sleep = lock(&thread.sleep);
        let outcome = loop {
            if sleep.woken {
                break WaitOutcome::Woken;
            }
            if sleep.kicked && mode == WaitMode::Interruptible {
                // Only once: a wait that goes on after the look for signals must sleep.
                sleep.kicked = false;
                sleep.pending = true;
                break WaitOutcome::Interrupted;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break WaitOutcome::TimedOut;
            }
            // The bound keeps a test that would hang debuggable: it shows up as spinning.
            let left = left.unwrap_or(Duration::from_secs(3600));
            sleep = match thread.changed.wait_timeout(sleep, left) {
                Ok((sleep, _)) => sleep,
                Err(poisoned) => poisoned.into_inner().0,
            };
        };
        drop(sleep);
        lock(bucket).retain(|(_, sleeper)| !Arc::ptr_eq(sleeper, &thread));
        // A wake-up that came after a kick or the deadline counts: it was taken from the queue.
        if lock(&thread.sleep).woken {
            WaitOutcome::Woken
        } else {
            outcome
        }
    }

    pub(crate) fn wake(&self, word: &AtomicU32, count: u32) {
        let (key, bucket) = self.bucket(word);
        let mut bucket = lock(bucket);
        let mut left = count;
        bucket.retain(|(sleeping_on, thread)| {
            if left == 0 || *sleeping_on != key {
                return true;
            }
            left -= 1;
            lock(&thread.sleep).woken = true;
            thread.changed.notify_all();
            false
        });
    }
}
