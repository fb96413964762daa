//! `capsid run`: runs a program in a new sandbox.

use anyhow::{Result, bail};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

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
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<OsString>,
    /// User and group that the program runs as; 0:0 by default.
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Connect standard input (it always is; accepted for the habit of it).
    #[arg(short, long)]
    interactive: bool,
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
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    trace: Option<PathBuf>,
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
    bail!("cannot run {:?}: this build has no sandbox", arguments)
}
