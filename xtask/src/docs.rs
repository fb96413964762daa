//! `cargo xtask docs`: the parts of the documents that are made from code.

use crate::shell;
use anyhow::{Context, Result, bail};
use capsid_linux::table;
use capsid_platform_linux::surface::{HOST_CALLS, When};
use clap::Args;
use std::fmt::Write as _;

/// Options of `cargo xtask docs`.
#[derive(Args)]
pub struct Options {
    /// Write nothing, and fail if something is out of date.
    #[arg(long)]
    check: bool,
}

const BEGIN: &str = "<!-- host-calls:begin -->\n";
const END: &str = "<!-- host-calls:end -->";

/// Writes or checks every generated part.
pub fn run(options: &Options) -> Result<()> {
    let security = shell::workspace().join("SECURITY.md");
    let text = std::fs::read_to_string(&security).context("SECURITY.md is not readable")?;
    let (before, rest) = text
        .split_once(BEGIN)
        .context("SECURITY.md has no place for the table")?;
    let (_, after) = rest
        .split_once(END)
        .context("SECURITY.md's table has no end")?;
    let new = format!("{before}{BEGIN}{}{END}{after}", host_calls());
    for (path, new) in [
        (security, new),
        (shell::workspace().join("docs/syscalls.md"), system_calls()),
    ] {
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        if old == new {
            continue;
        }
        if options.check {
            bail!("{} is out of date: run `cargo xtask docs`", path.display());
        }
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::write(&path, new)?;
    }
    Ok(())
}

/// The host interface as a table.
fn host_calls() -> String {
    let mut text = String::from("| call | when | arguments | why |\n|---|---|---|---|\n");
    for call in HOST_CALLS {
        let when = match call.when {
            When::Always => "always",
            When::HostFiles => "with host files",
            When::BrokerKicks => "without a PID namespace",
            When::DirectKicks => "in a PID namespace",
        };
        let rules: Vec<String> = call
            .rules
            .iter()
            .map(|(index, rule)| format!("{}: {rule}", index + 1))
            .collect();
        let _ = writeln!(
            text,
            "| {} | {when} | {} | {} |",
            call.name,
            rules.join("; "),
            call.reason
        );
    }
    text
}

/// The guest's system calls.
fn system_calls() -> String {
    let names: Vec<&str> = (0..table::TABLE_SIZE as u64)
        .map(|number| table::lookup(number).name)
        .filter(|name| !name.is_empty())
        .collect();
    let mut text = format!(
        "# System calls\n\n\
        Written by `cargo xtask docs` from the table of the Linux shim: the {} calls that guests can\n\
        make, by number. Every other number is `ENOSYS`. What a call of this list does not do gives the\n\
        errno that Linux gives for it; README.md names what is missing.\n\n",
        names.len()
    );
    for line in names.chunks(8) {
        let _ = writeln!(text, "{}  ", line.join(", "));
    }
    text
}
