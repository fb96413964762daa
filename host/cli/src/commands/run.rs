//! `capsid run`: runs a program in a new sandbox.

use crate::environment::environment;
use crate::rootfs::Root;
use crate::units::{parse_duration, parse_size, parse_user};
use crate::volume::{check_guest_path, open_volume};
use anyhow::{Context, Result, bail, ensure};
use capsid_broker::limits::LEAST_MEMORY;
use capsid_broker::{Configuration, Limits, Log, RunEnd, SignalInbox, TerminalInput};
use capsid_wire::BootConfig;
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit status after `--timeout`, as timeout(1) has it.
const EXIT_TIMED_OUT: u8 = 124;

/// Arguments of `capsid run`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Root directory: a directory, a tar archive or an EROFS image. Without it, the programs of
    /// this machine, read-only.
    #[arg(long, value_name = "DIR|TAR|EROFS")]
    rootfs: Option<PathBuf>,
    /// Mount a host directory or file; read-only unless `:rw` is given.
    #[arg(short, long, value_name = "HOST:GUEST[:ro|rw]")]
    volume: Vec<OsString>,
    /// Set a variable; with no value, to the one it has here.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Working directory in the sandbox.
    #[arg(short, long, value_name = "DIR", default_value = "/")]
    workdir: OsString,
    /// User and group that the program runs as; the group is the user's number if left out.
    #[arg(short, long, value_name = "UID[:GID]", default_value = "0:0")]
    user: String,
    /// Connect standard input. It always is, as for any command; accepted for the habit of it.
    #[arg(short, long)]
    interactive: bool,
    /// Give the program a terminal. It has this one if there is one; accepted for the habit of it.
    #[arg(short, long)]
    tty: bool,
    /// Give the program an empty standard input.
    #[arg(long, conflicts_with = "interactive")]
    no_stdin: bool,
    /// Host name in the sandbox.
    #[arg(long, default_value = "capsid")]
    hostname: String,
    /// Most memory: bytes, or with a suffix K, M, G or T.
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Most processes and threads at once.
    #[arg(long, value_name = "N")]
    pids: Option<u32>,
    /// Kill the program after this long (10, 1.5s, 300ms, 2m, 1h) and exit with 124.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Print counts of calls, traps and forks at the end.
    #[arg(long)]
    stats: bool,
    /// Print each system call, to standard error or to a file.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "-"
    )]
    trace: Option<PathBuf>,
    /// Show what the sandbox logs: calls and files it had to refuse.
    #[arg(long)]
    verbose: bool,
    /// The program, looked up in the sandbox, and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM ARGS"
    )]
    command: Vec<OsString>,
}

/// Runs `capsid run …`.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    // Before any thread is started, so that all of them leave the signals to this one.
    let signals = SignalInbox::open().context("cannot collect signals")?;
    let configuration = configure(arguments, signals)?;
    // Modes come from the guest, which has its own umask. The trace file was made before this.
    rustix::process::umask(rustix::fs::Mode::empty());
    match capsid_broker::run(configuration)? {
        RunEnd::Exited(status) => Ok(ExitCode::from(status)),
        RunEnd::Signalled(signal) => Ok(ExitCode::from(signal.saturating_add(128))),
        RunEnd::TimedOut => {
            eprintln!("capsid: the time is up: the program was killed");
            Ok(ExitCode::from(EXIT_TIMED_OUT))
        }
    }
}

fn configure(arguments: Arguments, signals: SignalInbox) -> Result<Configuration> {
    if let Some(option) = unknown_option(&arguments.command) {
        bail!("unknown option {option:?} (see capsid run --help)");
    }
    let limits = limits(&arguments)?;
    let (user, group) = parse_user(&arguments.user)?;
    check_guest_path(arguments.workdir.as_bytes()).context("bad working directory")?;
    check_hostname(&arguments.hostname)?;
    let streams = streams(arguments.no_stdin)?;
    let terminal_input = match arguments.no_stdin {
        true => TerminalInput::Refused,
        false => TerminalInput::Allowed,
    };
    let terminal = streams.iter().flatten().any(IsTerminal::is_terminal);
    let environment = environment(user, terminal, &arguments.env)?;
    let mut root = Root::open(arguments.rootfs.as_deref())?;
    for volume in &arguments.volume {
        root.exports.push(open_volume(volume)?);
    }
    let trace = arguments.trace.as_deref().map(open_trace).transpose()?;
    let boot = BootConfig {
        arguments: arguments
            .command
            .into_iter()
            .map(OsString::into_vec)
            .collect(),
        environment,
        working_directory: arguments.workdir.into_vec(),
        hostname: arguments.hostname,
        user,
        group,
        root: root.kind,
        symlinks: root.symlinks,
        trace: trace.is_some(),
        statistics: arguments.stats,
        ..BootConfig::default()
    };
    Ok(Configuration {
        boot,
        exports: root.exports,
        image: root.image,
        streams,
        terminal_input,
        limits,
        log: Log::new(trace, arguments.verbose),
        signals: Some(signals),
    })
}

/// An option that clap took for the program, because everything after the program is the
/// program's own. No program's name starts with a hyphen.
fn unknown_option(command: &[OsString]) -> Option<&OsStr> {
    let first = command.first()?;
    let after_dashes = std::env::args_os()
        .zip(std::env::args_os().skip(1))
        .any(|(before, argument)| before == "--" && &argument == first);
    (first.as_bytes().starts_with(b"-") && !after_dashes).then_some(first)
}

fn limits(arguments: &Arguments) -> Result<Limits> {
    let memory = arguments.memory.as_deref().map(parse_size).transpose()?;
    if let Some(bytes) = memory {
        ensure!(
            bytes >= LEAST_MEMORY,
            "--memory is too small: a sandbox needs at least {}M",
            LEAST_MEMORY >> 20
        );
    }
    ensure!(
        arguments.pids != Some(0),
        "--pids must be at least 1: the program itself is one"
    );
    let timeout = arguments
        .timeout
        .as_deref()
        .map(parse_duration)
        .transpose()?;
    Ok(Limits {
        memory,
        processes: arguments.pids,
        timeout,
    })
}

fn check_hostname(name: &str) -> Result<()> {
    ensure!(
        (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()),
        "bad host name {name:?}: use 1 to 64 letters, digits, dots and hyphens"
    );
    Ok(())
}

/// Standard input, output and error. The input is connected unless that is refused: `… | capsid
/// run cat` is what everybody types first.
fn streams(no_stdin: bool) -> Result<[Option<OwnedFd>; 3]> {
    let mut streams = capsid_broker::inherited::inherited_streams()
        .context("cannot duplicate the standard streams")?;
    if no_stdin {
        let null = File::open("/dev/null").context("cannot open /dev/null")?;
        streams[0] = Some(null.into());
    }
    Ok(streams)
}

fn open_trace(path: &Path) -> Result<Box<dyn Write + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stderr()));
    }
    let file = File::create(path)
        .with_context(|| format!("cannot write the trace to {}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}
