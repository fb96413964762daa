//! The least broker there can be: starts the test kernel, answers what it asks, and reports.

use capsid_platform_linux::boot;
use capsid_wire::layout::{
    BOOT_OFFSET, BROKER_ASLEEP, BROKER_AWAKE, DATA_BYTES, DATA_OFFSET, Header, SLOTS, SLOTS_OFFSET,
    STATE_CANCEL, STATE_DONE, STATE_SUBMITTED, STATE_WAITING, Slot, TOTAL_BYTES,
};
use capsid_wire::{BootConfig, Export, ExportAccess, Operation};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How a sandbox ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It said so, with this wait status.
    Exit(u64),
    /// It found itself broken.
    ShutDown,
    /// A process of it ended in another way, with this wait status.
    Died(i32),
    /// It did not end in time.
    TimedOut,
}

/// What a scenario gave.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Its log.
    pub lines: Vec<String>,
}

impl Outcome {
    /// The values logged as `name=0x…`.
    pub fn values(&self, name: &str) -> Vec<u64> {
        let number = |line: &String| {
            let value = line.strip_prefix(name)?.strip_prefix("=0x")?;
            u64::from_str_radix(value, 16).ok()
        };
        self.lines.iter().filter_map(number).collect()
    }
}

/// Which kind of sandbox to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Without host files.
    Sealed,
    /// With them.
    HostFiles,
}

/// Builds the test kernel, once per test program.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kernel");
        let status = Command::new(env!("CARGO"))
            .current_dir(&directory)
            .args(["build", "--quiet", "--release"])
            .args(["-p", "capsid-test-kernel", "--features", "program"])
            .arg("--target-dir")
            .arg(&target)
            .env_remove("RUSTFLAGS")
            .status()
            .expect("cargo can be run");
        assert!(status.success(), "the test kernel does not build");
        target.join("release/capsid-test-kernel")
    })
}

fn memfd(bytes: u64) -> i32 {
    // SAFETY: makes a descriptor.
    let descriptor = unsafe { libc::memfd_create(c"test".as_ptr(), 0) };
    assert!(descriptor >= 0);
    // SAFETY: sets the length of our own file.
    assert_eq!(unsafe { libc::ftruncate(descriptor, bytes as i64) }, 0);
    // Above all numbers that the sandbox gets.
    // SAFETY: duplicates our own descriptor.
    let high = unsafe { libc::fcntl(descriptor, libc::F_DUPFD, 100) };
    // SAFETY: closes our own descriptor.
    unsafe { libc::close(descriptor) };
    high
}

/// The shared memory, and our end of the donation socket.
struct Wire(*mut u8, i32);

impl Wire {
    fn header(&self) -> &Header {
        // SAFETY: the mapping is as long as the layout says and lives to the end.
        unsafe { &*self.0.cast() }
    }

    fn slot(&self, index: usize) -> &Slot {
        // SAFETY: as above.
        unsafe { &*self.0.add(SLOTS_OFFSET).cast::<Slot>().add(index) }
    }

    fn data(&self, index: usize, length: usize) -> &[u8] {
        let start = DATA_OFFSET + index * DATA_BYTES;
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.0.add(start), length.min(DATA_BYTES)) }
    }
}

/// Runs one scenario.
pub fn run(scenario: &str, kind: Kind) -> Outcome {
    let program = program();
    let wire_fd = memfd(TOTAL_BYTES as u64);
    let mut sockets = [0; 2];
    // SAFETY: makes two descriptors.
    let result =
        unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, sockets.as_mut_ptr()) };
    assert_eq!(result, 0);
    // SAFETY: duplicates our own descriptor, above all numbers that the sandbox gets.
    let theirs = unsafe { libc::fcntl(sockets[1], libc::F_DUPFD, 100) };
    let descriptors = [
        (theirs, boot::FD_DONATIONS),
        (wire_fd, boot::FD_WIRE),
        (memfd(boot::HEAP_OFFSET + (1 << 30)), boot::FD_KERNEL),
        (memfd(64 << 20), boot::FD_POOL),
    ];
    // SAFETY: maps our own file.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            TOTAL_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            wire_fd,
            0,
        )
    };
    assert_ne!(memory, libc::MAP_FAILED);
    let wire = Wire(memory.cast(), sockets[0]);
    let mut config = BootConfig {
        arguments: vec![scenario.into()],
        ..BootConfig::default()
    };
    if kind == Kind::HostFiles {
        config.exports.push(Export {
            mount_point: b"/".to_vec(),
            access: ExportAccess::ReadOnly,
            stable: false,
            directory: true,
        });
    }
    let bytes = postcard::to_allocvec(&config).expect("the configuration can be encoded");
    // SAFETY: the boot area is large enough.
    unsafe {
        wire.0
            .add(BOOT_OFFSET)
            .copy_from(bytes.as_ptr(), bytes.len())
    };
    let length = u32::try_from(bytes.len()).expect("it is short");
    wire.header().boot_len.store(length, Ordering::SeqCst);

    let mut command = Command::new(program);
    command.env_clear();
    for stream in 0..3 {
        let null = || std::process::Stdio::null();
        match stream {
            0 => command.stdin(null()),
            1 => command.stdout(null()),
            _ => command.stderr(null()),
        };
    }
    // SAFETY: only async-signal-safe calls.
    unsafe {
        command.pre_exec(move || {
            libc::setsid();
            for (from, to) in descriptors {
                libc::dup2(from, to);
            }
            libc::close(boot::FD_IMAGE);
            libc::syscall(libc::SYS_close_range, 8, 1000, 4);
            Ok(())
        });
    }
    #[expect(clippy::zombie_processes, reason = "`serve` reaps by process group")]
    let child = command.spawn().expect("the kernel starts");
    let first = i32::try_from(child.id()).expect("a process number");
    let mut outcome = Outcome {
        end: End::TimedOut,
        lines: Vec::new(),
    };
    serve(&wire, first, &mut outcome);
    // SAFETY: kills the session that the child started, and reaps its first process.
    unsafe {
        libc::kill(-first, libc::SIGKILL);
        libc::kill(first, libc::SIGKILL);
        libc::waitpid(first, std::ptr::null_mut(), 0);
        libc::munmap(memory, TOTAL_BYTES);
        libc::close(sockets[0]);
        libc::close(sockets[1]);
        for (descriptor, _) in descriptors {
            libc::close(descriptor);
        }
    }
    outcome
}

fn serve(wire: &Wire, first: i32, outcome: &mut Outcome) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let header = wire.header();
    while Instant::now() < deadline {
        let submitted = header.submitted.swap(0, Ordering::SeqCst);
        for index in (0..SLOTS).filter(|index| submitted >> index & 1 == 1) {
            if let Some(end) = answer(wire, index, outcome) {
                outcome.end = end;
                return;
            }
        }
        if header.shutdown.load(Ordering::SeqCst) != 0 {
            outcome.end = End::ShutDown;
            return;
        }
        let mut status = 0;
        // SAFETY: reaps a process of this sandbox: they all are in its group.
        let ended = unsafe { libc::waitpid(-first, &raw mut status, libc::WNOHANG) };
        if ended > 0 && status != 0 {
            outcome.end = End::Died(status);
            return;
        }
        if submitted == 0 {
            header.broker_state.store(BROKER_ASLEEP, Ordering::SeqCst);
            if header.submitted.load(Ordering::SeqCst) == 0 {
                let timeout = libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 2_000_000,
                };
                // SAFETY: sleeps on a word of the shared mapping.
                unsafe {
                    libc::syscall(
                        libc::SYS_futex,
                        header.broker_state.as_ptr(),
                        libc::FUTEX_WAIT,
                        BROKER_ASLEEP,
                        &raw const timeout,
                    )
                };
            }
            header.broker_state.store(BROKER_AWAKE, Ordering::SeqCst);
        }
    }
}

fn answer(wire: &Wire, index: usize, outcome: &mut Outcome) -> Option<End> {
    let slot = wire.slot(index);
    if slot.state.load(Ordering::SeqCst) & 0xff != STATE_SUBMITTED {
        return None;
    }
    let argument = |number: usize| slot.args[number].load(Ordering::SeqCst);
    let mut end = None;
    let mut error = 0;
    match Operation::from_number(slot.operation.load(Ordering::SeqCst)) {
        Some(Operation::Log) => {
            let length = slot.data_len.load(Ordering::SeqCst) as usize;
            let line = String::from_utf8_lossy(wire.data(index, length));
            outcome.lines.push(line.into_owned());
        }
        Some(Operation::Kick) => {
            // SAFETY: a signal to a thread of the sandbox.
            unsafe {
                libc::syscall(
                    libc::SYS_tgkill,
                    argument(0),
                    argument(1),
                    boot::KICK_SIGNAL,
                )
            };
        }
        // No events come: the request is taken at its cancellation.
        Some(Operation::WaitEvents) => {
            if slot.state.load(Ordering::SeqCst) & STATE_CANCEL == 0 {
                return None;
            }
            error = libc::EINTR.unsigned_abs();
        }
        Some(Operation::Open) => {
            donate(wire.1, u32::try_from(index).expect("an index"));
            slot.donated.store(1, Ordering::SeqCst);
        }
        Some(Operation::Exit) => end = Some(End::Exit(argument(0))),
        other => panic!("the kernel asked for {other:?}"),
    }
    slot.error.store(error, Ordering::SeqCst);
    slot.data_len.store(0, Ordering::SeqCst);
    let before = slot.state.swap(STATE_DONE, Ordering::SeqCst);
    if before & STATE_WAITING != 0 {
        // SAFETY: wakes a word of the shared mapping.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                slot.state.as_ptr(),
                libc::FUTEX_WAKE,
                i32::MAX,
            )
        };
    }
    end
}

/// Sends a file that holds "donated" to the sandbox.
fn donate(socket: i32, tag: u32) {
    let file = memfd(8192);
    // SAFETY: writes to our own file.
    unsafe { libc::pwrite(file, b"donated".as_ptr().cast(), 7, 0) };
    #[repr(C)]
    struct Control {
        head: libc::cmsghdr,
        descriptor: i32,
    }
    let mut control = Control {
        head: libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + 4,
            cmsg_level: libc::SOL_SOCKET,
            cmsg_type: libc::SCM_RIGHTS,
        },
        descriptor: file,
    };
    let mut vector = libc::iovec {
        iov_base: (&raw const tag).cast_mut().cast(),
        iov_len: 4,
    };
    // SAFETY: all zeroes is a valid message head.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>();
    // SAFETY: the message refers to the values above.
    let sent = unsafe { libc::sendmsg(socket, &raw const message, 0) };
    assert_eq!(sent, 4, "{}", std::io::Error::last_os_error());
    // SAFETY: closes our own descriptor.
    unsafe { libc::close(file) };
}
