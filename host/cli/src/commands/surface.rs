//! `capsid surface`: prints the host calls that a sandbox can make.

use anyhow::Result;
use capsid_platform_linux::surface::{HOST_CALLS, Variant, calls};
use clap::Args;
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `capsid surface`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print a Markdown table.
    #[arg(long)]
    markdown: bool,
}

/// Runs `capsid surface`.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if arguments.markdown {
        writeln!(out, "| host call | when | arguments (counted from 1) | why |")?;
        writeln!(out, "|---|---|---|---|")?;
        for call in HOST_CALLS {
            let pinned = call.arguments();
            writeln!(
                out,
                "| `{}` | {} | {pinned} | {} |",
                call.name, call.when, call.reason
            )?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let count = |host_files| {
        calls(Variant {
            host_files,
            direct_kick: false,
        })
        .count()
    };
    writeln!(
        out,
        "host calls of a sealed sandbox: {}; of one with host files: {}",
        count(false),
        count(true)
    )?;
    for call in HOST_CALLS {
        writeln!(out, "\n{}  ({})", call.name, call.when)?;
        writeln!(out, "    {}", call.reason)?;
        if !call.rules.is_empty() {
            writeln!(out, "    arguments  {}", call.arguments())?;
        }
    }
    writeln!(
        out,
        "\nAny other call of the library OS kills its process. A call from guest code never reaches \
         the host."
    )?;
    Ok(ExitCode::SUCCESS)
}
