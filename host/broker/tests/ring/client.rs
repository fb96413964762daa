//! A client of a live ring thread, in the place of a sandbox, and a scratch directory.

use capsid_broker::Log;
use capsid_broker::attributes::IdMap;
use capsid_broker::events::Events;
use capsid_broker::export::{Export, Readers, Scope, Stability, Tools};
use capsid_broker::outcome::Outcome;
use capsid_broker::processes::Processes;
use capsid_broker::reopen::Reopener;
use capsid_broker::ring::Ring;
use capsid_broker::service::{Broker, Shared};
use capsid_broker::shared_memory::RingMemory;
use capsid_broker::streams::{Streams, TerminalInput};
use capsid_wire::Operation;
use capsid_wire::layout::{
    BROKER_ASLEEP, BROKER_AWAKE, STATE_CLAIMED, STATE_DONE, STATE_FREE, STATE_SUBMITTED,
    STATE_WAITING,
};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use rustix::thread::futex;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

/// A directory that is removed at the end.
#[derive(Debug)]
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("capsid-broker-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Opens a place for export.
pub fn place(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("a place")
}

pub fn export(path: &Path, writable: bool) -> Export {
    Export::new(
        place(path),
        writable,
        Scope::Everything,
        Readers::Broker,
        Stability::Changing,
    )
    .expect("an export")
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The errno, or 0.
    pub error: i32,
    pub value: u64,
    pub data: Vec<u8>,
    pub donated: Option<OwnedFd>,
}

pub struct Client {
    pub memory: RingMemory,
    pub shared: Shared,
    donation: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Starts a ring thread that serves `exports`.
    pub fn start(exports: Vec<Export>, streams: [Option<OwnedFd>; 3]) -> Client {
        let (broker_memory, file) = RingMemory::create().expect("memory");
        let memory = RingMemory::map(&file).expect("a second mapping");
        let (theirs, donation) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .expect("sockets");
        let ring = Ring::new(broker_memory, theirs);
        let shared = Shared {
            events: Events::new(ring.clone()),
            ring,
            streams: Streams::new(streams, TerminalInput::Allowed).expect("streams"),
            log: Arc::new(Mutex::new(Log::new(None, false))),
            outcome: Arc::new(Outcome::new().expect("an outcome")),
            job_control: false,
        };
        let tools = Tools {
            reopener: Reopener::new().expect("procfs"),
            ids: IdMap::for_guest(0, 0),
        };
        let own = Processes::new(rustix::process::getpid());
        let processes = Arc::new(OnceLock::from(own));
        let mut broker = Broker::new(shared.clone(), processes, exports, tools, 64);
        let ring = shared.ring.clone();
        let thread = std::thread::spawn(move || ring.run(&mut broker));
        Client {
            memory,
            shared,
            donation,
            thread: Some(thread),
        }
    }

    /// Writes a request into a slot and rings, as a sandbox does.
    pub fn submit(&self, index: usize, operation: u32, args: &[u64], data: &[u8], data_len: u32) {
        let slot = &self.memory.slots()[index];
        slot.state.store(STATE_CLAIMED, Ordering::SeqCst);
        self.memory.write_data(index, data);
        slot.operation.store(operation, Ordering::Relaxed);
        for (place, arg) in slot
            .args
            .iter()
            .zip(args.iter().chain(std::iter::repeat(&0)))
        {
            place.store(*arg, Ordering::Relaxed);
        }
        slot.data_len.store(data_len, Ordering::Relaxed);
        slot.state.store(STATE_SUBMITTED, Ordering::SeqCst);
        self.ring(1 << index);
    }

    pub fn ring(&self, bits: u64) {
        let header = self.memory.header();
        header.submitted.fetch_or(bits, Ordering::SeqCst);
        if header.broker_state.swap(BROKER_AWAKE, Ordering::SeqCst) == BROKER_ASLEEP {
            let _ = futex::wake(&header.broker_state, futex::Flags::empty(), 1);
        }
    }

    /// Waits for the reply in a slot.
    pub fn wait(&self, index: usize) -> Reply {
        let slot = &self.memory.slots()[index];
        let mut spins = 0;
        loop {
            let state = slot.state.load(Ordering::Acquire);
            if state & 0xff == STATE_DONE {
                break;
            }
            spins += 1;
            if spins < 20_000 {
                std::hint::spin_loop();
                continue;
            }
            let waiting = slot.state.fetch_or(STATE_WAITING, Ordering::SeqCst) | STATE_WAITING;
            if waiting & 0xff != STATE_DONE {
                let _ = futex::wait(&slot.state, futex::Flags::empty(), waiting, None);
            }
        }
        let error = slot.error.load(Ordering::Relaxed).cast_signed();
        let mut data = Vec::new();
        let length = slot.data_len.load(Ordering::Relaxed);
        self.memory
            .read_data(index, usize::try_from(length).expect("fits"), &mut data);
        let donated = (slot.donated.load(Ordering::Relaxed) == 1).then(|| self.receive(index));
        let value = slot.value.load(Ordering::Relaxed);
        slot.state.store(STATE_FREE, Ordering::SeqCst);
        Reply {
            error,
            value,
            data,
            donated,
        }
    }

    /// Waits for whatever reply comes, and leaves a donation where it is. The value, if it was no
    /// error.
    pub fn wait_for_any(&self, index: usize) -> Option<u64> {
        let slot = &self.memory.slots()[index];
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while slot.state.load(Ordering::Acquire) & 0xff != STATE_DONE {
            assert!(std::time::Instant::now() < deadline, "no answer");
            std::hint::spin_loop();
        }
        let error = slot.error.load(Ordering::Relaxed);
        slot.state.store(STATE_FREE, Ordering::SeqCst);
        (error == 0).then(|| slot.value.load(Ordering::Relaxed))
    }

    fn receive(&self, index: usize) -> OwnedFd {
        let mut tag = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [std::io::IoSliceMut::new(&mut tag)];
        recvmsg(
            &self.donation,
            &mut buffers,
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
        .expect("a donation");
        assert_eq!(usize::try_from(u32::from_le_bytes(tag)), Ok(index));
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut files) = message {
                return files.next().expect("a descriptor");
            }
        }
        panic!("a donation without a descriptor");
    }

    /// Takes donations that nobody waits for.
    pub fn drop_donations(&self) {
        loop {
            let mut tag = [0; 4];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut buffers = [std::io::IoSliceMut::new(&mut tag)];
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            if recvmsg(&self.donation, &mut buffers, &mut control, flags).is_err() {
                return;
            }
        }
    }

    /// Sends a request and waits for its reply.
    pub fn call(&self, operation: Operation, args: &[u64], data: &[u8]) -> Reply {
        let length = u32::try_from(data.len()).expect("fits");
        self.submit(0, operation as u32, args, data, length);
        self.wait(0)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.ring.stop();
        self.shared.streams.stop();
        if let Some(thread) = self.thread.take() {
            let joined = thread.join();
            assert!(
                std::thread::panicking() || joined.is_ok(),
                "the ring thread panicked"
            );
        }
    }
}
