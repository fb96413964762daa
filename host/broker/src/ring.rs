//! The ring thread: takes requests out of shared memory, and puts replies there.

use crate::shared_memory::RingMemory;
use capsid_wire::layout::{
    BROKER_ASLEEP, BROKER_AWAKE, DATA_BYTES, SLOTS, STATE_ACCEPTED, STATE_CANCEL, STATE_DONE,
    STATE_SUBMITTED, STATE_WAITING,
};
use rustix::io::Errno;
use rustix::thread::futex;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long the thread looks at the ring before it sleeps. Waking a sleeping thread costs tens of
/// microseconds, and requests come in bursts: a walk, an open, a read.
const SPIN: Duration = Duration::from_micros(50);

/// One request as the sandbox sent it: read once, any value possible.
#[derive(Debug)]
pub struct RawRequest<'a> {
    /// The slot it came in.
    pub slot: usize,
    /// The operation's number.
    pub operation: u32,
    /// The arguments.
    pub args: [u64; 6],
    /// The data.
    pub data: &'a [u8],
}

/// What is sent back for a request.
#[derive(Debug, Default)]
pub struct Answer {
    /// The value.
    pub value: u64,
    /// A descriptor to donate.
    pub donated: Option<Arc<OwnedFd>>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Disposition {
    /// It is answered; the reply's data was appended to the buffer.
    Answered(Result<Answer, Errno>),
    /// It is answered later, by [`Ring::complete`].
    Later,
}

/// Serves requests.
pub trait Service {
    /// Serves one request. `reply` is empty, and what is appended becomes the reply's data.
    fn serve(&mut self, request: &RawRequest<'_>, reply: &mut Vec<u8>) -> Disposition;

    /// The sandbox wants the request in `slot`, which was put off, cancelled.
    fn cancel(&mut self, slot: usize);
}

/// The ring as the broker's threads share it.
#[derive(Debug)]
pub struct Ring {
    memory: RingMemory,
    /// Where descriptors are donated: a connected `SOCK_SEQPACKET` socket.
    donation: OwnedFd,
    stop: AtomicBool,
}

impl Ring {
    /// Makes a ring over mapped memory.
    pub fn new(memory: RingMemory, donation: OwnedFd) -> Arc<Ring> {
        Arc::new(Ring {
            memory,
            donation,
            stop: AtomicBool::new(false),
        })
    }

    /// Makes [`Ring::run`] return soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let state = &self.memory.header().broker_state;
        state.store(BROKER_AWAKE, Ordering::SeqCst);
        wake(state);
    }

    /// Serves requests until [`Ring::stop`].
    pub fn run(&self, service: &mut dyn Service) {
        let header = self.memory.header();
        let mut request = Vec::with_capacity(DATA_BYTES);
        let mut reply = Vec::with_capacity(DATA_BYTES);
        let mut last_work = Instant::now();
        // Not std's count of processors, which reads half a dozen files of cgroups first.
        let spin = match rustix::thread::sched_getaffinity(None) {
            Ok(processors) if processors.count() > 1 => SPIN,
            _ => Duration::ZERO,
        };
        while !self.stop.load(Ordering::SeqCst) {
            let submitted = header.submitted.swap(0, Ordering::SeqCst);
            if submitted != 0 {
                for slot in (0..SLOTS).filter(|slot| submitted & (1 << slot) != 0) {
                    self.take(slot, service, &mut request, &mut reply);
                }
                last_work = Instant::now();
                continue;
            }
            if last_work.elapsed() < spin {
                std::hint::spin_loop();
                continue;
            }
            header.broker_state.store(BROKER_ASLEEP, Ordering::SeqCst);
            // A submitter sets its bit before it looks at the state, so one of us sees the other.
            if header.submitted.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
                // Woken, changed or interrupted: look again in any case.
                let _ = futex::wait(
                    &header.broker_state,
                    futex::Flags::empty(),
                    BROKER_ASLEEP,
                    None,
                );
            }
            header.broker_state.store(BROKER_AWAKE, Ordering::SeqCst);
            last_work = Instant::now();
        }
    }

    /// Looks at one slot that the sandbox pointed to.
    fn take(
        &self,
        index: usize,
        service: &mut dyn Service,
        request: &mut Vec<u8>,
        reply: &mut Vec<u8>,
    ) {
        let Some(slot) = self.memory.slots().get(index) else {
            return;
        };
        let state = slot.state.load(Ordering::Acquire);
        let flags = state & (STATE_WAITING | STATE_CANCEL);
        match state & !(STATE_WAITING | STATE_CANCEL) {
            STATE_SUBMITTED => {
                let accepted = STATE_ACCEPTED | flags;
                let exchange = slot.state.compare_exchange(
                    state,
                    accepted,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                if exchange.is_err() {
                    // The sandbox added a flag just now: look again at once.
                    let bit = 1 << index;
                    self.memory
                        .header()
                        .submitted
                        .fetch_or(bit, Ordering::SeqCst);
                    return;
                }
            }
            STATE_ACCEPTED if flags & STATE_CANCEL != 0 => return service.cancel(index),
            _ => return,
        }
        let length = usize::try_from(slot.data_len.load(Ordering::Relaxed)).unwrap_or(0);
        self.memory.read_data(index, length, request);
        let raw = RawRequest {
            slot: index,
            operation: slot.operation.load(Ordering::Relaxed),
            args: std::array::from_fn(|i| slot.args[i].load(Ordering::Relaxed)),
            data: request,
        };
        reply.clear();
        match service.serve(&raw, reply) {
            Disposition::Answered(answer) => self.complete(index, answer, reply),
            Disposition::Later if slot.state.load(Ordering::Acquire) & STATE_CANCEL != 0 => {
                service.cancel(index);
            }
            Disposition::Later => {}
        }
    }

    /// Puts a reply into a slot and wakes who waits for it.
    pub fn complete(&self, index: usize, answer: Result<Answer, Errno>, data: &[u8]) {
        let Some(slot) = self.memory.slots().get(index) else {
            return;
        };
        let answer = answer.and_then(|answer| {
            let donated = match &answer.donated {
                Some(file) => {
                    self.donate(index, file.as_fd())?;
                    1
                }
                None => 0,
            };
            Ok((answer.value, donated))
        });
        let (value, error, donated) = match answer {
            Ok((value, donated)) => (value, 0, donated),
            Err(error) => (0, error.raw_os_error().unsigned_abs(), 0),
        };
        let length = if error == 0 {
            self.memory.write_data(index, data)
        } else {
            0
        };
        slot.value.store(value, Ordering::Relaxed);
        slot.error.store(error, Ordering::Relaxed);
        slot.donated.store(donated, Ordering::Relaxed);
        slot.data_len
            .store(u32::try_from(length).unwrap_or(0), Ordering::Relaxed);
        if slot.state.swap(STATE_DONE, Ordering::AcqRel) & STATE_WAITING != 0 {
            wake(&slot.state);
        }
    }

    /// Sends a descriptor, tagged with the slot's index. Never waits: a sandbox that takes none
    /// fills its own socket, and gets `EAGAIN`.
    fn donate(&self, index: usize, file: BorrowedFd<'_>) -> Result<(), Errno> {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let tag = u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes();
        let files = [file];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(Errno::NOBUFS);
        }
        sendmsg(
            &self.donation,
            &[std::io::IoSlice::new(&tag)],
            &mut control,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        )?;
        Ok(())
    }

    /// Tells the sandbox that it must end.
    pub fn announce_shutdown(&self) {
        self.memory.header().shutdown.store(1, Ordering::SeqCst);
    }
}

/// Wakes everyone who sleeps on a word of the shared memory.
fn wake(word: &AtomicU32) {
    // Cannot fail on a mapped, aligned word.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX.unsigned_abs());
}
