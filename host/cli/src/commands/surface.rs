//! `capsid surface`: prints the host calls that a sandbox can make.

use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Arguments of `capsid surface`.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Runs `capsid surface`.
pub fn run(_arguments: &Arguments) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
