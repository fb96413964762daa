//! Signals about descriptors: who gets them, and when, fcntl(2) `F_SETOWN`, `F_SETSIG`, `O_ASYNC`.

use crate::kernel::Kernel;
use crate::signal::{Signal, SignalInfo, send_to_process, send_to_thread};
use crate::task::Process;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::credentials::Credentials;
use capsid_core::fs::stdio::StandardStream;
use capsid_core::fs::{DescriptionObserver, File, FileKind, OpenFile, StatusFlags};
use capsid_core::sync::Mutex;
use capsid_core::wait::{Events, Wake};
use core::any::Any;
use core::fmt;

/// What a signal says that it is about (`si_code`).
const POLL_IN: i32 = 1;
const POLL_OUT: i32 = 2;
const POLL_MSG: i32 = 3;
const POLL_HUP: i32 = 6;

/// Who gets the signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalOwner {
    /// Nobody.
    Nobody,
    /// A thread, by id.
    Thread(u32),
    /// A process, by id.
    Process(u32),
    /// A process group, by id.
    Group(u32),
}

/// What a description knows about the signals it sends.
pub struct AsyncSignals {
    kernel: Weak<Kernel>,
    /// For the queue, which wants to share it.
    this: Weak<AsyncSignals>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    owner: SignalOwner,
    /// Real and effective user of who named the owner.
    users: [u32; 2],
    /// The signal; `None` for a plain `SIGIO`.
    signal: Option<Signal>,
    /// The descriptor that `O_ASYNC` was set through, and what is told.
    told: Option<(i32, Interest)>,
}

/// What an object tells.
#[derive(Clone, Copy, Debug)]
struct Interest {
    events: Events,
    teller: Teller,
}

/// What kind of object tells, as it says some things in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Teller {
    /// That an end came or went is told to those who wait, and to nobody else.
    Pipe,
    /// The other end's leaving is told apart.
    Socket,
    /// That it changed is all that is known.
    Stream,
}

impl AsyncSignals {
    /// Those of a description, made on first use.
    pub fn of(file: &OpenFile, kernel: &Arc<Kernel>) -> Result<Arc<AsyncSignals>, Errno> {
        file.attachment
            .get_or_attach(|| {
                Arc::new_cyclic(|this| AsyncSignals {
                    kernel: Arc::downgrade(kernel),
                    this: this.clone(),
                    state: Mutex::new(State {
                        owner: SignalOwner::Nobody,
                        users: [0; 2],
                        signal: None,
                        told: None,
                    }),
                })
            })
            .ok_or(Errno::EINVAL)
    }

    /// Who gets them; nobody if that one has ended.
    #[must_use]
    pub fn owner(&self) -> SignalOwner {
        let owner = self.state.lock().owner;
        let kernel = self.kernel.upgrade();
        match kernel.is_some_and(|kernel| exists(&kernel, owner)) {
            true => owner,
            false => SignalOwner::Nobody,
        }
    }

    /// Names who gets them: `ESRCH` if there is no such task.
    pub fn set_owner(&self, owner: SignalOwner, credentials: &Credentials) -> Result<(), Errno> {
        let kernel = self.kernel.upgrade().ok_or(Errno::ESRCH)?;
        if owner != SignalOwner::Nobody && !exists(&kernel, owner) {
            return Err(Errno::ESRCH);
        }
        let mut state = self.state.lock();
        state.owner = owner;
        state.users = [credentials.user.real, credentials.user.effective];
        Ok(())
    }

    /// The signal; `None` for a plain `SIGIO`.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        self.state.lock().signal
    }

    /// Chooses the signal.
    pub fn set_signal(&self, signal: Option<Signal>) {
        self.state.lock().signal = signal;
    }

    fn tell(&self, events: Events) {
        let told = self.state.lock().told;
        let Some((fd, interest)) = told else {
            return;
        };
        if let Some((code, band)) = interest.reason(events) {
            self.send(fd, code, band.bits().into());
        }
    }

    /// Tells that a lease is to be let go.
    pub fn tell_of_lease(&self, fd: i32) {
        // POLLMSG, which nothing here is ready for otherwise.
        let message = Events::READABLE.bits() | 0x400;
        self.send(fd, POLL_MSG, message.into());
    }

    fn send(&self, fd: i32, code: i32, band: u64) {
        let (owner, users, signal) = {
            let state = self.state.lock();
            (state.owner, state.users, state.signal)
        };
        let Some(kernel) = self.kernel.upgrade() else {
            return;
        };
        let info = match signal {
            None => SignalInfo::kernel(Signal::IO),
            Some(signal) => SignalInfo::descriptor(signal, code, band, fd.cast_unsigned()),
        };
        send(&kernel, owner, users, info);
    }
}

impl Interest {
    /// What is told of `events`: a code and the events that stand for it.
    fn reason(self, events: Events) -> Option<(i32, Events)> {
        if events == Events::all() {
            return match self.teller {
                Teller::Pipe => None,
                Teller::Socket => Some((POLL_HUP, Events::HUP | Events::ERR)),
                Teller::Stream => Some((POLL_IN, Events::READABLE)),
            };
        }
        let wanted = events & self.events;
        if wanted.intersects(Events::READABLE) {
            Some((POLL_IN, Events::READABLE))
        } else if wanted.intersects(Events::WRITABLE) {
            Some((POLL_OUT, Events::WRITABLE | Events::WRBAND))
        } else {
            None
        }
    }
}

fn exists(kernel: &Arc<Kernel>, owner: SignalOwner) -> bool {
    match owner {
        SignalOwner::Nobody => false,
        SignalOwner::Thread(id) => kernel.thread(id).is_some(),
        SignalOwner::Process(id) => kernel.process(id).is_some(),
        SignalOwner::Group(id) => !members(kernel, id).is_empty(),
    }
}

fn members(kernel: &Arc<Kernel>, group: u32) -> Vec<Arc<Process>> {
    let tree = kernel.tree.lock();
    let members = tree.group(group).map(|node| node.process.clone());
    members.collect()
}

/// Sends a signal to whom the user that named them may signal.
fn send(kernel: &Arc<Kernel>, owner: SignalOwner, users: [u32; 2], info: SignalInfo) {
    let may = |process: &Process| {
        users[1] == 0
            || process.credentials().is_some_and(|theirs| {
                let reached = [theirs.user.real, theirs.user.saved];
                users.iter().any(|user| reached.contains(user))
            })
    };
    let targets = match owner {
        SignalOwner::Nobody => Vec::new(),
        SignalOwner::Thread(id) => {
            let thread = kernel.thread(id);
            if let Some(thread) = thread.filter(|thread| may(&thread.process)) {
                // A full queue loses it.
                let _ = send_to_thread(&thread, info);
            }
            return;
        }
        SignalOwner::Process(id) => kernel.process(id).into_iter().collect(),
        SignalOwner::Group(id) => members(kernel, id),
    };
    for process in targets.iter().filter(|process| may(process)) {
        let _ = send_to_process(process, info);
    }
}

impl Wake for AsyncSignals {
    fn wake(&self, events: Events) {
        self.tell(events);
    }
}

impl DescriptionObserver for AsyncSignals {
    fn description_closed(&self, file: &dyn File) {
        if self.state.lock().told.take().is_some() {
            self.leave(file);
        }
    }
}

impl AsyncSignals {
    fn leave(&self, file: &dyn File) {
        if let (Some(queue), Some(this)) = (file.wait_queue(), self.this.upgrade()) {
            let this: Arc<dyn Wake> = this;
            queue.remove(&this);
        }
    }

    /// Begins to tell what happens to `file`, or ends it: `ENOTTY` for objects that tell nothing.
    pub fn set_told(&self, file: &OpenFile, fd: i32, on: bool) -> Result<(), Errno> {
        let interest = interest(file)?.ok_or(Errno::ENOTTY)?;
        let (Some(queue), Some(this)) = (file.file.wait_queue(), self.this.upgrade()) else {
            return Err(Errno::ENOTTY);
        };
        let told = on.then_some((fd, interest));
        let before = core::mem::replace(&mut self.state.lock().told, told);
        match (before.is_some(), on) {
            (false, true) => {
                queue.add(this.clone(), interest.events);
                file.observe(this);
                file.file.watch(interest.events);
            }
            (true, false) => {
                let observer: Weak<dyn DescriptionObserver> = self.this.clone();
                file.unobserve(&observer);
                self.leave(&*file.file);
            }
            _ => {}
        }
        Ok(())
    }
}

/// What an object can tell: pipes, sockets and the standard streams can.
fn interest(file: &OpenFile) -> Result<Option<Interest>, Errno> {
    let flags = file.flags();
    let object: &dyn Any = &*file.file;
    let teller = if object.is::<StandardStream>() {
        Teller::Stream
    } else {
        match file.file.metadata()?.kind {
            FileKind::Fifo => Teller::Pipe,
            FileKind::Socket => Teller::Socket,
            _ => return Ok(None),
        }
    };
    let mut events = Events::empty();
    if flags.readable() {
        events |= Events::READABLE;
    }
    if flags.writable() && teller == Teller::Pipe {
        events |= Events::WRITABLE;
    }
    Ok(Some(Interest { events, teller }))
}

/// What `F_SETFL` and `FIOASYNC` do about `O_ASYNC`: `ENOTTY` for objects that tell nothing.
pub fn change_async(file: &OpenFile, kernel: &Arc<Kernel>, fd: i32, on: bool) -> Result<(), Errno> {
    if file.flags().contains(StatusFlags::ASYNC) == on {
        return Ok(());
    }
    AsyncSignals::of(file, kernel)?.set_told(file, fd, on)
}

impl fmt::Debug for AsyncSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncSignals")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Interest, POLL_HUP, POLL_IN, POLL_OUT, Teller};
    use capsid_core::wait::Events;

    #[test]
    fn each_kind_of_object_tells_in_its_way() {
        let code = |teller, events, happened| {
            let interest = Interest { events, teller };
            interest.reason(happened).map(|(code, _)| code)
        };
        let (reads, writes) = (Events::READABLE, Events::WRITABLE);
        assert_eq!(code(Teller::Pipe, reads, reads), Some(POLL_IN));
        assert_eq!(
            code(Teller::Pipe, reads, reads | Events::HUP),
            Some(POLL_IN)
        );
        assert_eq!(
            code(Teller::Pipe, writes, writes | Events::ERR),
            Some(POLL_OUT)
        );
        assert_eq!(code(Teller::Pipe, writes, reads), None);
        let all = Events::all();
        assert_eq!(code(Teller::Pipe, reads, all), None);
        assert_eq!(code(Teller::Socket, reads, all), Some(POLL_HUP));
        assert_eq!(code(Teller::Stream, reads, all), Some(POLL_IN));
    }
}
