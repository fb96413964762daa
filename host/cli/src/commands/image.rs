//! `capsid image`: makes root file-system images.

use anyhow::{Result, bail};
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
    /// Directory or tar archive.
    source: PathBuf,
    /// Where the image goes.
    #[arg(short, long, value_name = "FILE.erofs")]
    output: PathBuf,
}

/// Runs `capsid image …`.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Command::Import(import) = &arguments.command;
    bail!(
        "cannot import {} into {}: this build has no image writer",
        import.source.display(),
        import.output.display()
    )
}
