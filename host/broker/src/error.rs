//! What can keep a sandbox from running.

use crate::processes::BadEnd;
use crate::raw_process::Step;
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
    /// A sandbox process ended unexpectedly.
    #[error("the sandbox failed: {}{}", describe(*.0), .1.last().map(|line| format!(": {line}")).unwrap_or_default())]
    Broke(BadEnd, Vec<String>),
    /// The sandbox ended without a word.
    #[error("the sandbox ended without saying how the program did{}", .0.last().map(|line| format!(": {line}")).unwrap_or_default())]
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
        Step::ControlGroup => "joining the control group",
        Step::Limit => "setrlimit",
        Step::Descriptors => "arranging descriptors",
        Step::Privileges => "giving up privileges",
        Step::Execute => "execveat",
    }
}

fn describe(end: BadEnd) -> String {
    match end {
        BadEnd::Signal(libc::SIGKILL) => {
            "a process was killed (SIGKILL): by someone, or the host is out of memory".to_owned()
        }
        BadEnd::Signal(signal) => format!("a process was killed by signal {signal}"),
        BadEnd::Code(code) => format!("a process exited with code {code}"),
    }
}
