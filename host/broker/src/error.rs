//! What can keep a sandbox from running.

use crate::processes::BadEnd;
use crate::raw_process::Step;
use capsid_platform_linux::boot::{EXIT_BROKEN, EXIT_NOT_STARTED};
use rustix::io::Errno;

/// Why a sandbox could not be started, or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host refused something.
    #[error("cannot {0}: {1}")]
    Host(&'static str, #[source] std::io::Error),
    /// The sandbox program could not be started.
    #[error("cannot start the sandbox: {} failed: {}", step_name(*.0), std::io::Error::from(*.1))]
    Start(Step, Errno),
    /// Arguments and environment do not fit.
    #[error("the arguments and the environment are too long")]
    TooLong,
    /// A sandbox process ended unexpectedly; with the latest lines of its log.
    #[error("{}{}", describe(*.0), last(.1))]
    Broke(BadEnd, Vec<String>),
    /// The sandbox ended without a word.
    #[error("the sandbox ended without saying how the program did{}", last(.0))]
    Vanished(Vec<String>),
}

impl Error {
    /// The host refused `what`.
    pub fn host(what: &'static str, error: Errno) -> Error {
        Error::Host(what, error.into())
    }
}

fn step_name(step: Step) -> &'static str {
    match step {
        Step::Fork => "fork",
        Step::Session => "setsid",
        Step::DeathSignal => "prctl(PR_SET_PDEATHSIG)",
        Step::Limit => "setrlimit",
        Step::Descriptors => "arranging descriptors",
        Step::Privileges => "giving up privileges",
        Step::Execute => "execveat",
    }
}

fn describe(end: BadEnd) -> String {
    match end {
        BadEnd::Signal(libc::SIGKILL) => {
            "the sandbox was killed (SIGKILL): by someone, or the host is out of memory".to_owned()
        }
        BadEnd::Signal(signal) => format!("the sandbox failed: signal {signal} killed a process"),
        BadEnd::Code(EXIT_NOT_STARTED) => "the sandbox could not start".to_owned(),
        BadEnd::Code(EXIT_BROKEN) => "the library OS failed".to_owned(),
        BadEnd::Code(code) => format!("the sandbox failed: a process exited with code {code}"),
    }
}

fn last(log: &[String]) -> String {
    log.last()
        .map(|line| format!(": {line}"))
        .unwrap_or_default()
}
