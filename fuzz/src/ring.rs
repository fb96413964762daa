//! A hostile sandbox: whatever it asks of a live broker, nothing panics, and nothing changes
//! outside the export that it may write.

use crate::input::{Input, put_number, put_short_bytes};
use capsid_broker::Log;
use capsid_broker::attributes::IdMap;
use capsid_broker::events::Events;
use capsid_broker::export::{Export, Readers, Scope, Stability, Tools};
use capsid_broker::outcome::Outcome;
use capsid_broker::processes::Processes;
use capsid_broker::reopen::Reopener;
use capsid_broker::ring::{Disposition, RawRequest, Ring, Service};
use capsid_broker::service::{Broker, Shared};
use capsid_broker::shared_memory::RingMemory;
use capsid_broker::streams::{Streams, TerminalInput};
use capsid_wire::Operation;
use capsid_wire::layout::{SLOTS, STATE_SUBMITTED};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

/// The slot whose request ends the input; those below hold the input's requests.
const LAST: usize = SLOTS - 1;
/// Space that one request may reserve: the directory lies on a disk that others use.
const ALLOCATION_BYTES_MAX: u64 = 1 << 20;

const FORGES_STATE: u8 = 2;
const LIES_ABOUT_LENGTH: u8 = 4;
/// Its first argument is what an earlier request brought: a handle.
const USES_VALUE: u8 = 0x80;

/// Puts requests into a ring and serves all of them, on one thread, so that an input always does
/// the same. What races with the broker do is for the property test of the live ring.
pub fn run(bytes: &[u8]) {
    let scratch = Scratch::new();
    let outside = || ["outside", "readable"].map(|name| snapshot(&scratch.0.join(name)));
    let before = outside();
    serve(&scratch, Input::new(bytes));
    assert_eq!(before, outside());
}

fn serve(scratch: &Scratch, mut input: Input<'_>) {
    let (broker_memory, file) = RingMemory::create().expect("memory");
    let memory = RingMemory::map(&file).expect("a second mapping");
    let kind = SocketType::SEQPACKET;
    let sockets = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
    let (theirs, _donations) = sockets.expect("sockets");
    let ring = Ring::new(broker_memory, theirs);
    let null = || {
        let file = File::options().read(true).write(true).open("/dev/null");
        Some(file.expect("there is a null device").into())
    };
    let shared = Shared {
        events: Events::new(ring.clone()),
        ring: ring.clone(),
        streams: Streams::new([null(), null(), None], TerminalInput::Allowed).expect("streams"),
        log: Arc::new(Mutex::new(Log::new(None, false))),
        outcome: Arc::new(Outcome::new().expect("an outcome")),
        // A request to stop is refused: it would stop this process.
        job_control: false,
    };
    let tools = Tools {
        reopener: Reopener::new().expect("procfs"),
        ids: IdMap::for_guest(0, 0),
    };
    let exports = vec![
        export(&scratch.0.join("writable"), true),
        export(&scratch.0.join("readable"), false),
    ];
    let processes = Arc::new(OnceLock::from(Processes::new(rustix::process::getpid())));
    let mut hostile = Hostile {
        broker: Broker::new(shared.clone(), processes, exports, tools, 64),
        ring: ring.clone(),
        uses_value: [false; SLOTS],
        values: vec![0],
    };
    let mut submitted = 1 << LAST;
    for slot in 0..LAST {
        if input.is_empty() {
            break;
        }
        hostile.uses_value[slot] = submit(&memory, slot, &mut input);
        submitted |= 1 << slot;
    }
    memory.slots()[LAST]
        .state
        .store(STATE_SUBMITTED, Ordering::SeqCst);
    memory.header().submitted.store(submitted, Ordering::SeqCst);
    ring.run(&mut hostile);
    shared.streams.stop();
    // It still works.
    let mut reply = Vec::new();
    let request = RawRequest {
        slot: 0,
        operation: Operation::Lookup as u32,
        args: [1, 0, 0, 0, 0, 0],
        data: b"a/f",
    };
    let answer = hostile.broker.serve(&request, &mut reply);
    assert!(matches!(answer, Disposition::Answered(Ok(_))));
}

/// Writes a request into a slot, and says whether it uses an earlier value.
fn submit(memory: &RingMemory, slot: usize, input: &mut Input<'_>) -> bool {
    let flags = input.byte();
    let place = &memory.slots()[slot];
    let operation = match input.byte() {
        0xff => input.number() as u32,
        operation => operation.into(),
    };
    place.operation.store(operation, Ordering::Relaxed);
    for arg in &place.args {
        arg.store(input.number(), Ordering::Relaxed);
    }
    let data = input.short_bytes();
    memory.write_data(slot, data);
    let length = if flags & LIES_ABOUT_LENGTH != 0 {
        input.number() as u32
    } else {
        data.len() as u32
    };
    place.data_len.store(length, Ordering::Relaxed);
    let state = if flags & FORGES_STATE != 0 {
        input.number() as u32
    } else {
        STATE_SUBMITTED
    };
    place.state.store(state, Ordering::SeqCst);
    flags & USES_VALUE != 0
}

/// The broker, with the values that a sandbox would remember.
struct Hostile {
    broker: Broker,
    ring: Arc<Ring>,
    uses_value: [bool; SLOTS],
    values: Vec<u64>,
}

impl Service for Hostile {
    fn serve(&mut self, request: &RawRequest<'_>, reply: &mut Vec<u8>) -> Disposition {
        if request.slot == LAST {
            self.ring.stop();
            return Disposition::Answered(Err(rustix::io::Errno::CANCELED));
        }
        let mut args = request.args;
        if self.uses_value[request.slot] {
            args[0] = self.values[args[0] as usize % self.values.len()];
        }
        if is_left_out(request.operation, &args) {
            return Disposition::Later;
        }
        let request = RawRequest { args, ..*request };
        let answer = self.broker.serve(&request, reply);
        if let Disposition::Answered(Ok(answer)) = &answer {
            self.values.push(answer.value);
        }
        answer
    }

    fn cancel(&mut self, slot: usize) {
        self.broker.cancel(slot);
    }
}

/// Requests that would end this process or fill its surroundings: a kick goes to its own threads, a
/// log to its standard error.
fn is_left_out(operation: u32, args: &[u64; 6]) -> bool {
    match Operation::from_number(operation) {
        Some(Operation::Kick | Operation::Log) => true,
        Some(Operation::Allocate) => args[2].saturating_add(args[3]) > ALLOCATION_BYTES_MAX,
        _ => false,
    }
}

fn export(path: &Path, writable: bool) -> Export {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place: OwnedFd = rustix::fs::open(path, flags, Mode::empty()).expect("a directory");
    let (scope, readers) = (Scope::Everything, Readers::Broker);
    Export::new(place, writable, scope, readers, Stability::Changing).expect("an export")
}

/// Two exports with links that lead out of them, and what lies outside; gone in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let name = format!("capsid-fuzz-{}", std::process::id());
        let top = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&top);
        for directory in ["outside/a", "writable/a/b", "readable/a/b"] {
            fs::create_dir_all(top.join(directory)).expect("a directory");
        }
        let files = [
            "outside/passwd",
            "outside/a/b",
            "writable/a/f",
            "readable/a/f",
        ];
        for file in files {
            fs::write(top.join(file), file).expect("a file");
        }
        for export in ["writable", "readable"] {
            symlink("../outside", top.join(export).join("up")).expect("a link");
            symlink(top.join("outside"), top.join(export).join("a/out")).expect("a link");
            symlink("a/f", top.join(export).join("link")).expect("a link");
        }
        Scratch(top)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Everything below a directory: path, mode and size, and contents of files.
fn snapshot(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("readable").flatten() {
            let path = entry.path();
            let metadata = path.symlink_metadata().expect("there");
            let contents = if metadata.is_file() {
                fs::read(&path).expect("readable")
            } else {
                Vec::new()
            };
            let name = path.to_string_lossy().into_owned();
            found.insert(name, (metadata.mode(), contents));
            if metadata.is_dir() {
                directories.push(path);
            }
        }
    }
    found
}

/// A session that uses every operation as it is meant, and one that goes out wherever it can.
pub fn seeds() -> Vec<Vec<u8>> {
    use Operation::*;
    let request =
        |bytes: &mut Vec<u8>, flags: u8, operation: Operation, args: &[u64], data: &[u8]| {
            bytes.extend([flags, operation as u8, 0]);
            for index in 0..6 {
                put_number(bytes, args.get(index).copied().unwrap_or(0));
            }
            put_short_bytes(bytes, data);
        };
    let handle = USES_VALUE;
    let sessions: [&[(u8, Operation, &[u64], &[u8])]; 5] = [
        &[
            (0, Lookup, &[0, 3], b"a/f"),
            (0, Lookup, &[0], b"link"),
            (0, Open, &[0, 0], b"a/f"),
            (handle, StatHandle, &[3], b""),
            (handle, SetHandleAttributes, &[3, 3, 0o600 | 9 << 12], b""),
            (handle, Sync, &[3, 1], b""),
            (handle, Allocate, &[3, 0, 0, 4096], b""),
            (handle, Close, &[3], b""),
        ],
        &[
            (0, Open, &[0, 0o200_000, 0, 1], b"a"),
            (handle, ReadDirectory, &[1], b""),
            (0, ReadLink, &[0], b"link"),
            (0, FileSystemStat, &[0], b""),
        ],
        &[
            (0, Open, &[0, 0o302, 0o600], b"a/new"),
            (0, MakeDirectory, &[0, 0o755], b"d"),
            (0, Rename, &[0, 5], b"a/newd/new"),
            (0, Link, &[0, 5], b"d/newold"),
            (0, Symlink, &[0, 3], b"../s"),
            (0, MakeNode, &[0, 0o010_644], b"fifo"),
            (
                0,
                SetAttributes,
                &[0, 31, 0o644 | 5 << 12, 0, 1, u64::MAX],
                b"d/new",
            ),
            (0, Unlink, &[0], b"old"),
            (0, Unlink, &[0, 1], b"a/b"),
        ],
        &[
            (0, PollStream, &[0, 1, 1], b""),
            (0, ReadInput, &[10], b""),
            (0, WriteOutput, &[1, 3], b"out"),
            (0, StatStream, &[1], b""),
            (0, TerminalAttributes, &[0, 1], &[0; 36]),
            (0, WindowSize, &[1], b""),
            (0, WaitEvents, &[1], b""),
            (0, Stopped, &[19], b""),
            (0, Exit, &[0], b""),
        ],
        &[
            (0, Open, &[0, 0o1102, 0o600], b"up/passwd"),
            (0, Open, &[0, 0o1102, 0o600], b"a/out/passwd"),
            (0, Open, &[0, 0o1102, 0o600], b"../outside/passwd"),
            (0, Unlink, &[0], b"a/out/a/b"),
            (0, Rename, &[0, 3], b"a/fup/a/b"),
            (0, Link, &[0, 9], b"up/passwdx"),
            (0, SetAttributes, &[0, 1, 0o777], b"up"),
            (0, SetAttributes, &[1, 1, 0o777], b"a/f"),
            (0, Unlink, &[1], b"a/f"),
        ],
    ];
    let session = |requests: &&[(u8, Operation, &[u64], &[u8])]| {
        let mut bytes = Vec::new();
        for (flags, operation, args, data) in *requests {
            request(&mut bytes, *flags, *operation, args, data);
        }
        bytes
    };
    sessions.iter().map(session).collect()
}
