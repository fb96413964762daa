//! `capsid image`: makes root file-system images.

use crate::import::{import, parse_owner};
use anyhow::Result;
use capsid_image::OwnerPolicy;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `capsid image`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn a directory or a tar archive (plain, .gz, .zst, .xz) into one EROFS image.
    Import(Import),
}

#[derive(Debug, Args)]
struct Import {
    /// Directory or tar archive; `-` for an archive on standard input.
    #[arg(value_name = "DIR|TAR|-")]
    source: PathBuf,
    /// Where the image goes.
    #[arg(short, long, value_name = "FILE.erofs")]
    output: PathBuf,
    /// Make this user and group own all files, instead of their owners in the source.
    #[arg(long, value_name = "UID[:GID]")]
    owner: Option<String>,
}

/// Runs `capsid image …`.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Command::Import(arguments) = &arguments.command;
    let owner = arguments.owner.as_deref().map(parse_owner).transpose()?;
    let owner = owner.unwrap_or(OwnerPolicy::Keep);
    import(&arguments.source, &arguments.output, owner)?;
    Ok(ExitCode::SUCCESS)
}
