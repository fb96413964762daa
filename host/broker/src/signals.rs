//! Signals that capsid itself gets and passes on, as a descriptor.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgid, getppid, getsid};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The signals that are passed on to the first guest process. Those that would end capsid must not
/// leave a sandbox behind; the others are what programs use among themselves.
const FORWARDED: [Signal; 8] = [
    Signal::INT,
    Signal::TERM,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::TSTP,
];

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its number.
    pub signal: i32,
    /// No process sent it: the terminal did.
    pub from_terminal: bool,
}

/// Whether capsid was started with the signal ignored, as `nohup` does: then it is not for the
/// sandbox either.
fn is_ignored(signal: Signal) -> bool {
    // SAFETY: reads the disposition into a local structure.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(signal.as_raw(), std::ptr::null(), &raw mut action);
        action.sa_sigaction == libc::SIG_IGN
    }
}

/// Blocks or unblocks signals for the calling thread, and returns the set of them.
fn change_mask(how: i32, signals: impl IntoIterator<Item = Signal>) -> libc::sigset_t {
    // SAFETY: fills a local set, and changes the mask of this thread only.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, signal.as_raw());
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
        set
    }
}

/// The signals that arrive for capsid.
#[derive(Debug)]
pub struct SignalInbox(OwnedFd);

impl SignalInbox {
    /// Blocks the signals in the calling thread and those that it starts, and collects them. Call
    /// this before any thread is started.
    pub fn open() -> Result<SignalInbox, Errno> {
        let wanted = FORWARDED.into_iter().filter(|signal| !is_ignored(*signal));
        let set = change_mask(libc::SIG_BLOCK, wanted);
        // SAFETY: the call reads the set and makes a descriptor, which nobody else knows.
        unsafe {
            let number = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if number < 0 {
                return Err(Errno::MFILE);
            }
            Ok(SignalInbox(OwnedFd::from_raw_fd(number)))
        }
    }

    /// The next signal that arrived, if any.
    pub fn take(&self) -> Option<Arrived> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut info) {
            // The number is the first field, the code the third.
            Ok(length) if length == info.len() => {
                let (fields, _) = info.as_chunks::<4>();
                let field =
                    |index: usize| fields.get(index).map(|field| i32::from_ne_bytes(*field));
                Some(Arrived {
                    signal: field(0)?,
                    from_terminal: field(2)? == libc::SI_KERNEL,
                })
            }
            _ => None,
        }
    }
}

impl AsFd for SignalInbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for SignalInbox {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Whether a signal asks a program to end.
pub fn asks_to_end(signal: i32) -> bool {
    [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT]
        .iter()
        .any(|ending| ending.as_raw() == signal)
}

/// Stops capsid as a terminal's suspend key would have, until it is continued. The calling thread
/// blocks the signal, as all others do.
pub fn stop_self() {
    change_mask(libc::SIG_UNBLOCK, [Signal::TSTP]);
    // Fails for no signal to oneself.
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::TSTP);
    change_mask(libc::SIG_BLOCK, [Signal::TSTP]);
}

/// How many ancestors are asked, at most.
const ANCESTORS: usize = 64;

/// Whether a process of our session and of another process group watches over this group, as a
/// shell does over its jobs: it can continue capsid when that stops.
pub fn is_job() -> bool {
    let (Ok(group), Ok(session)) = (getpgid(None), getsid(None)) else {
        return false;
    };
    let mut ancestor = getppid();
    for _ in 0..ANCESTORS {
        let Some(process) = ancestor else {
            return false;
        };
        if getsid(Some(process)) != Ok(session) {
            return false;
        }
        if getpgid(Some(process)) != Ok(group) {
            return true;
        }
        ancestor = parent_of(process);
    }
    false
}

/// The parent of another process, proc_pid_stat(5).
fn parent_of(process: Pid) -> Option<Pid> {
    let path = format!("/proc/{}/stat", process.as_raw_nonzero());
    let stat = std::fs::read_to_string(path).ok()?;
    // The name, in parentheses, can hold anything; the state lies between.
    let (_, after) = stat.rsplit_once(')')?;
    Pid::from_raw(after.split_whitespace().nth(1)?.parse().ok()?)
}
