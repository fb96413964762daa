//! One run of a sandbox, from its configuration to its end.

use crate::attributes::IdMap;
use crate::control_group::ControlGroup;
use crate::error::Error;
use crate::events::Events;
use crate::export::{Export, Readers, Scope, Stability, Tools};
use crate::launch::{launch, prepare};
use crate::limits::{Limits, raise_descriptor_limit};
use crate::log::Log;
use crate::outcome::{End, Outcome};
use crate::processes::{BadEnd, Processes};
use crate::program::Program;
use crate::reopen::Reopener;
use crate::ring::Ring;
use crate::service::{Broker, Shared};
use crate::signals::{SignalInbox, is_job};
use crate::streams::{Streams, TerminalInput};
use crate::supervise::{Verdict, supervise};
use capsid_wire::{BootConfig, ExportAccess};
use rustix::process::Signal;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A host directory or file to export.
#[derive(Debug)]
pub struct ExportSource {
    /// The place: an `O_PATH` descriptor will do.
    pub host: OwnedFd,
    /// Where the guest sees it: an absolute path.
    pub mount_point: Vec<u8>,
    /// What may be done with it.
    pub access: ExportAccess,
    /// Nothing in it changes during the run.
    pub stable: bool,
    /// What of it is exported. Everything, if it is writable.
    pub scope: Scope,
    /// Which files may be opened.
    pub readers: Readers,
}

/// What to run, and what it gets.
#[derive(Debug)]
pub struct Configuration {
    /// The program and its surroundings. The broker fills in the exports, the streams, the limits
    /// and the random seed.
    pub boot: BootConfig,
    /// Host directories and files, in mount order.
    pub exports: Vec<ExportSource>,
    /// The root image.
    pub image: Option<OwnedFd>,
    /// Standard input, output and error; `None` for closed ones.
    pub streams: [Option<OwnedFd>; 3],
    /// Whether terminals may be read through other streams than the first.
    pub terminal_input: TerminalInput,
    /// Limits.
    pub limits: Limits,
    /// Lines for people.
    pub log: Log,
    /// Signals to pass on.
    pub signals: Option<SignalInbox>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// The program exited with this status.
    Exited(u8),
    /// A signal ended the program.
    Signalled(u8),
    /// The time was up.
    TimedOut,
}

/// Runs a sandbox to its end. The calling thread waits; when it returns, no process of the sandbox
/// is left.
pub fn run(configuration: Configuration) -> Result<RunEnd, Error> {
    let Configuration {
        mut boot,
        exports: sources,
        image,
        streams,
        terminal_input,
        limits,
        log,
        signals,
    } = configuration;
    let failed = |error| Error::host("start the broker", error);
    crate::raw_process::share_one_heap();
    let most_handles = raise_descriptor_limit().unwrap_or(512);
    let streams = Streams::new(streams, terminal_input).map_err(failed)?;
    (boot.streams, boot.terminals) = streams.describe();
    boot.job_control = boot.terminals != 0 && signals.is_some() && is_job();
    boot.process_limit = limits.process_limit();
    boot.memory_bytes = limits.memory.unwrap_or(0);
    rustix::rand::getrandom(&mut boot.random_seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Error::host("get random bytes", error))?;
    let exports = export_all(sources, &mut boot)?;
    let tools = Tools {
        reopener: Reopener::new().map_err(|error| Error::host("open /proc/self/fd", error))?,
        ids: IdMap::for_guest(boot.user, boot.group),
    };
    let program = Program::open()?;
    let (belongings, memory, donation) = prepare(&boot, &limits)?;
    let ring = Ring::new(memory, donation);
    let shared = Shared {
        events: Events::new(ring.clone()),
        ring,
        streams,
        log: Arc::new(Mutex::new(log)),
        outcome: Arc::new(Outcome::new().map_err(failed)?),
        job_control: boot.job_control,
    };
    let processes = Arc::new(OnceLock::new());
    let group = ControlGroup::new(&limits);
    let broker = Broker::new(
        shared.clone(),
        processes.clone(),
        exports,
        tools,
        most_handles,
    );
    let verdict = std::thread::scope(|scope| {
        // Before the sandbox, whose first request comes at once.
        scope.spawn(|| {
            let mut broker = broker;
            shared.ring.run(&mut broker);
        });
        let _stop = StopOnDrop(&shared);
        let image = image.as_ref().map(AsFd::as_fd);
        let first = launch(&program, &belongings, image, group.as_ref(), &limits)?;
        drop(belongings);
        let processes = processes.get_or_init(|| Processes::new(first));
        // Whatever goes wrong from here on, no process stays behind.
        let _kill = KillOnDrop(processes);
        let reaper = scope.spawn(|| {
            processes.reap_all(|pid, end| shared.outcome.set(End::Broke(pid, end)));
            shared.outcome.set(End::Vanished);
        });
        let verdict = supervise(&shared, processes, signals.as_ref(), limits.timeout);
        shared.ring.announce_shutdown();
        processes.signal_all(Signal::KILL);
        shared.ring.stop();
        // A reaper that panicked has nothing more to say.
        let _ = reaper.join();
        Ok(verdict)
    })?;
    let mut log = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
    log.flush();
    judge(verdict, &log)
}

fn judge(verdict: Verdict, log: &Log) -> Result<RunEnd, Error> {
    let lines = || log.recent().map(str::to_owned).collect();
    match verdict {
        Verdict::TimedOut => Ok(RunEnd::TimedOut),
        Verdict::Signalled(signal) => Ok(RunEnd::Signalled(low_byte(signal))),
        // wait(2): the exit code is the second byte, the signal the low seven bits.
        Verdict::Ended(End::Exited(status)) => match status & 0x7f {
            0 => Ok(RunEnd::Exited(low_byte(status >> 8))),
            signal => Ok(RunEnd::Signalled(low_byte(signal))),
        },
        Verdict::Ended(End::Broke(_, end)) => Err(Error::Broke(end, lines())),
        Verdict::Ended(End::Vanished) => Err(Error::Vanished(lines())),
    }
}

fn low_byte(value: i32) -> u8 {
    u8::try_from(value & 0xff).unwrap_or(0)
}

fn export_all(sources: Vec<ExportSource>, boot: &mut BootConfig) -> Result<Vec<Export>, Error> {
    let mut exports = Vec::new();
    for source in sources {
        let writable = source.access == ExportAccess::ReadWrite;
        let stability = if source.stable {
            Stability::Stable
        } else {
            Stability::Changing
        };
        let export = Export::new(
            source.host,
            writable,
            source.scope,
            source.readers,
            stability,
        )
        .map_err(|error| Error::host("export a directory", error))?;
        boot.exports.push(capsid_wire::Export {
            mount_point: source.mount_point,
            access: source.access,
            stable: source.stable,
            directory: export.is_directory(),
        });
        exports.push(export);
    }
    Ok(exports)
}

/// Kills the processes of a sandbox and reaps them.
struct KillOnDrop<'a>(&'a Processes);

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        self.0.signal_all(Signal::KILL);
        self.0.reap_all(|_, _: BadEnd| {});
    }
}

/// Ends the broker's threads.
struct StopOnDrop<'a>(&'a Shared);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.ring.stop();
        self.0.streams.stop();
    }
}
