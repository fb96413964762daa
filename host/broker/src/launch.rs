//! Starting a sandbox: makes what it is given, and nothing else reaches it.

use crate::control_group::ControlGroup;
use crate::error::Error;
use crate::limits::Limits;
use crate::program::Program;
use crate::raw_process::{DESCRIPTORS, Plan, landlock_ruleset, start};
use crate::shared_memory::{RingMemory, sealed_memfd};
use capsid_platform_linux::boot::{
    FD_DONATIONS, FD_IMAGE, FD_KERNEL, FD_NULL, FD_POOL, FD_PROGRAM, FD_WIRE,
};
use capsid_wire::BootConfig;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The user and group without rights that a sandbox becomes when the broker is root.
const NOBODY: u32 = 65_534;

/// What a sandbox is given: all of it exists before its first process does.
#[derive(Debug)]
pub struct Belongings {
    wire: OwnedFd,
    kernel: OwnedFd,
    pool: OwnedFd,
    null: OwnedFd,
    donation: OwnedFd,
}

/// Makes what a sandbox is given that does what `boot` says, and the broker's ends: the ring's
/// memory, and the socket for donations.
pub fn prepare(
    boot: &BootConfig,
    limits: &Limits,
) -> Result<(Belongings, RingMemory, OwnedFd), Error> {
    let failed = |error| Error::host("make the sandbox's memory", error);
    let (memory, wire) = RingMemory::create().map_err(failed)?;
    let kernel = sealed_memfd("capsid-kernel", limits.kernel_bytes()).map_err(failed)?;
    let pool = sealed_memfd("capsid-pool", limits.pool_bytes()).map_err(failed)?;
    let configuration = postcard::to_allocvec(boot).map_err(|_| Error::TooLong)?;
    if !memory.write_boot(&configuration) {
        return Err(Error::TooLong);
    }
    let (ours, donation) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|error| Error::host("make a socket pair", error))?;
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Error::host("open /dev/null", error))?;
    let belongings = Belongings {
        wire,
        kernel,
        pool,
        null,
        donation,
    };
    Ok((belongings, memory, ours))
}

/// Starts a sandbox and returns its first process. The calling thread must live as long as the
/// sandbox may: the sandbox is killed when it ends.
pub fn launch(
    program: &Program,
    belongings: &Belongings,
    image: Option<BorrowedFd<'_>>,
    group: Option<&ControlGroup>,
    limits: &Limits,
) -> Result<Pid, Error> {
    let mut descriptors = [None; DESCRIPTORS];
    let mut put = |number: i32, file| {
        if let Some(place) = usize::try_from(number)
            .ok()
            .and_then(|number| descriptors.get_mut(number))
        {
            *place = file;
        }
    };
    for number in FD_NULL {
        put(number, Some(belongings.null.as_fd()));
    }
    put(FD_WIRE, Some(belongings.wire.as_fd()));
    put(FD_KERNEL, Some(belongings.kernel.as_fd()));
    put(FD_POOL, Some(belongings.pool.as_fd()));
    put(FD_DONATIONS, Some(belongings.donation.as_fd()));
    put(FD_IMAGE, image);
    put(FD_PROGRAM, Some(program.file.as_fd()));

    let landlock = landlock_ruleset();
    let root = rustix::process::geteuid().is_root();
    let plan = Plan {
        program: program.loader.as_fd(),
        descriptors,
        limits: &limits.resource_limits(),
        unprivileged: root.then_some(NOBODY),
        landlock: landlock.as_ref().map(|(ruleset, _)| ruleset.as_fd()),
        cgroup: group.map(ControlGroup::members),
    };
    start(&plan).map_err(|(step, error)| Error::Start(step, error))
}
