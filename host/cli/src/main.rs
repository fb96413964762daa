//! `capsid`: the command that people type.
#![forbid(unsafe_code)]

mod commands;
mod environment;
mod host_programs;
mod import;
mod new_file;
mod rootfs;
mod units;
mod volume;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit status for capsid's own errors, as `docker run` has it.
const EXIT_CAPSID_FAILED: u8 = 125;

/// Runs unmodified Linux programs in a sandboxing library OS.
#[derive(Debug, Parser)]
#[command(name = "capsid", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a program in a new sandbox.
    Run(Box<commands::run::Arguments>),
    /// Print the host calls that a sandbox can make.
    Surface(commands::surface::Arguments),
    /// Make root file-system images.
    Image(commands::image::Arguments),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return report_usage(&error),
    };
    let outcome = match arguments.command {
        Command::Run(arguments) => commands::run::run(*arguments),
        Command::Surface(arguments) => commands::surface::run(&arguments),
        Command::Image(arguments) => commands::image::run(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("capsid: {error:#}");
        ExitCode::from(EXIT_CAPSID_FAILED)
    })
}

/// Prints help where it was asked for, and otherwise one line that says what is wrong.
fn report_usage(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        print!("{error}");
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        eprint!("{error}");
        return ExitCode::from(EXIT_CAPSID_FAILED);
    }
    let text = error.to_string();
    let first = text
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let first = first.strip_prefix("error: ").unwrap_or(&first);
    eprintln!("capsid: {first} (see capsid --help)");
    ExitCode::from(EXIT_CAPSID_FAILED)
}
