//! A guest thread.

use crate::files::{DescriptorTable, FsContext};
use crate::signal::{AlternateStack, Pending, Restarts, SignalSet, TrapState};
use crate::task::attached::Attachment;
use crate::task::{Barriers, Process, Scheduling};
use alloc::sync::Arc;
use capsid_core::credentials::Credentials;
use capsid_core::sync::Mutex;
use capsid_core::wait::{Parker, Waiter};
use capsid_platform::{GuestAddr, ThreadToken, platform};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Bytes of a thread's name, with the terminator (`TASK_COMM_LEN`).
pub const NAME_BYTES: usize = 16;

/// A guest thread (a task, in Linux's words).
#[derive(Debug)]
pub struct Thread {
    /// The thread id; see [`Thread::id`].
    pub(super) id: AtomicU32,
    /// The process.
    pub process: Arc<Process>,
    /// Where it sleeps.
    pub parker: Arc<Parker>,
    /// Its name to the platform while it runs.
    pub token: Mutex<Option<ThreadToken>>,
    /// Set when something must be done before the guest goes on: an unblocked signal is pending,
    /// or the thread must stop or end. Looked at on every way out of the library OS. Cleared only
    /// under the lock of [`Process::state`].
    pub attention: AtomicBool,
    /// The descriptors (shared by `CLONE_FILES`).
    pub files: Mutex<Arc<DescriptorTable>>,
    /// Root, working directory and umask (shared by `CLONE_FS`).
    pub fs: Mutex<Arc<FsContext>>,
    /// Who it acts as; see [`Thread::credentials`].
    pub(crate) credentials: Mutex<Arc<Credentials>>,
    /// The signal mask. Stored only by the thread itself, under the lock of [`Process::state`].
    pub(crate) blocked: AtomicU64,
    /// Signals for this thread. Changed only under the lock of [`Process::state`].
    pub(crate) pending: Mutex<Pending>,
    /// What only the thread itself uses.
    pub(crate) own: Mutex<OwnState>,
    /// The name, `PR_SET_NAME`.
    pub(crate) name: Mutex<[u8; NAME_BYTES]>,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub(crate) no_new_privileges: AtomicBool,
    /// How it asked to be scheduled.
    pub(crate) scheduling: Mutex<Scheduling>,
    /// Monotonic time at which the last call's deadline passes, for a call that goes on after it
    /// was interrupted; 0 for none.
    pub(crate) restart_deadline_ns: AtomicU64,
    /// Signals that the thread waits for though it blocks them, sigtimedwait(2).
    pub(crate) awaited: AtomicU64,
    /// Barriers that others wait for the thread to pass, and those that it passed.
    pub(crate) barriers: Barriers,
    /// The thread is letting go of the locks it holds, and takes no more.
    pub(crate) releases_locks: AtomicBool,
    /// Who holds it, ptrace(2). Changed only under the lock of [`Process::state`], but for where it
    /// has stopped.
    pub(crate) attachment: Mutex<Option<Attachment>>,
    /// Whether somebody holds it.
    pub(crate) is_attached: AtomicBool,
    /// Whether it has ever held others.
    pub(crate) holds_threads: AtomicBool,
    /// The thread was told to end while the process lives on (by another thread's exec).
    pub(crate) must_end: AtomicBool,
}

/// State that only the thread itself uses.
#[derive(Debug, Default)]
pub struct OwnState {
    /// The alternate signal stack.
    pub(crate) alternate_stack: AlternateStack,
    /// The mask to go back to after a call that replaced it, as sigsuspend(2) does.
    pub(crate) saved_mask: Option<SignalSet>,
    /// Cleared and woken at the thread's end, set_tid_address(2).
    pub(crate) clear_at_end: GuestAddr,
    /// Head and length given to set_robust_list(2).
    pub(crate) robust_list: (GuestAddr, u64),
    /// Calls that go on when a handler returns.
    pub(crate) restarts: Restarts,
    /// The last exception.
    pub(crate) trap: TrapState,
    /// `PR_SET_TIMERSLACK`.
    pub(crate) timer_slack_ns: u64,
    /// `PR_SET_KEEPCAPS`.
    pub(crate) keep_capabilities: bool,
}

/// What a new thread starts with.
#[derive(Debug)]
pub struct ThreadSeed {
    /// The descriptors.
    pub files: Arc<DescriptorTable>,
    /// Root, working directory and umask.
    pub fs: Arc<FsContext>,
    /// Who it acts as.
    pub credentials: Arc<Credentials>,
    /// The signal mask.
    pub blocked: SignalSet,
    /// The name.
    pub name: [u8; NAME_BYTES],
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
    /// How it is scheduled.
    pub scheduling: Scheduling,
}

impl Thread {
    /// Makes a thread that does not run yet.
    #[must_use]
    pub fn new(id: u32, process: Arc<Process>, seed: ThreadSeed) -> Arc<Thread> {
        Arc::new(Thread {
            id: AtomicU32::new(id),
            process,
            parker: Arc::default(),
            token: Mutex::new(None),
            attention: AtomicBool::new(false),
            files: Mutex::new(seed.files),
            fs: Mutex::new(seed.fs),
            credentials: Mutex::new(seed.credentials),
            blocked: AtomicU64::new(seed.blocked.0),
            pending: Mutex::new(Pending::default()),
            own: Mutex::new(OwnState {
                timer_slack_ns: 50_000,
                ..OwnState::default()
            }),
            name: Mutex::new(seed.name),
            no_new_privileges: AtomicBool::new(seed.no_new_privileges),
            scheduling: Mutex::new(seed.scheduling),
            restart_deadline_ns: AtomicU64::new(0),
            awaited: AtomicU64::new(0),
            barriers: Barriers::default(),
            releases_locks: AtomicBool::new(false),
            attachment: Mutex::new(None),
            is_attached: AtomicBool::new(false),
            holds_threads: AtomicBool::new(false),
            must_end: AtomicBool::new(false),
        })
    }

    /// The thread id; equals the process id for the first thread, and for the one that stays
    /// after exec.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    /// Who the thread acts as.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.lock().clone()
    }

    /// Acts as somebody else from now on.
    pub fn set_credentials(&self, credentials: Credentials) {
        *self.credentials.lock() = Arc::new(credentials);
    }

    /// The descriptor table.
    #[must_use]
    pub fn files(&self) -> Arc<DescriptorTable> {
        self.files.lock().clone()
    }

    /// Root, working directory and umask.
    #[must_use]
    pub fn fs(&self) -> Arc<FsContext> {
        self.fs.lock().clone()
    }

    /// The signal mask.
    #[must_use]
    pub fn blocked(&self) -> SignalSet {
        SignalSet(self.blocked.load(Ordering::Relaxed))
    }

    /// Replaces the signal mask; signals that it lets through are taken before the guest goes on.
    pub fn set_blocked(&self, mask: SignalSet) {
        let mask = mask & !SignalSet::UNBLOCKABLE;
        if mask == self.blocked() {
            return;
        }
        let state = self.process.state.lock();
        self.blocked.store(mask.0, Ordering::SeqCst);
        if state.needs_attention(self) {
            self.attention.store(true, Ordering::SeqCst);
        }
    }

    /// Blocks signals for the length of a call: the old mask comes back before a handler runs.
    pub fn set_blocked_for_call(&self, mask: SignalSet) {
        let old = self.blocked();
        self.own.lock().saved_mask = Some(old);
        self.set_blocked(mask);
        // Even without a signal the old mask must come back.
        self.attention.store(true, Ordering::SeqCst);
    }

    /// Makes the thread look at what is there for it, wherever it is.
    pub fn notify(&self) {
        self.attention.store(true, Ordering::SeqCst);
        self.parker.unpark();
        let token = *self.token.lock();
        if let Some(token) = token
            && token != platform().current_thread()
        {
            platform().kick(token);
        }
    }

    /// The name, without the terminator.
    #[must_use]
    pub fn name(&self) -> alloc::vec::Vec<u8> {
        let name = *self.name.lock();
        name.split(|byte| *byte == 0).next().unwrap_or(&[]).to_vec()
    }

    /// Replaces the name, cutting it to fit.
    pub fn set_name(&self, name: &[u8]) {
        let mut bytes = [0; NAME_BYTES];
        for (byte, new) in bytes.iter_mut().zip(name.iter().take(NAME_BYTES - 1)) {
            *byte = *new;
        }
        *self.name.lock() = bytes;
    }
}

impl Waiter for Thread {
    fn parker(&self) -> &Arc<Parker> {
        &self.parker
    }

    fn interrupted(&self) -> bool {
        if !self.attention.load(Ordering::SeqCst) {
            return false;
        }
        self.barriers.pass();
        self.process.state.lock().needs_attention(self)
    }

    fn kicked(&self) {
        self.process.expire_timers();
    }
}
