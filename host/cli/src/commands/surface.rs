//! `capsid surface`: prints the host calls that a sandbox can make, and the walls around it.
//!
//! The list is the table that makes the filter, so that it cannot say anything else.

use anyhow::Result;
use capsid_platform_linux::surface::{HostCall, Variant, When, calls};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `capsid surface`.
#[derive(Debug, Args)]
pub struct Arguments {}

/// Runs `capsid surface`.
pub fn run(_arguments: &Arguments) -> Result<ExitCode> {
    let variant = |host_files| Variant {
        host_files,
        direct_kick: false,
    };
    println!("Host calls of a sandbox, from its own text only; any other call is refused:");
    for call in calls(variant(true)) {
        println!("  {:<15} {:<10} {}", call.name, when(call), call.reason);
        for (index, rule) in call.rules {
            println!("  {:<26} argument {}: {}", "", index + 1, rule);
        }
    }
    println!(
        "{} calls when sealed, {} with host files (-v, or this machine's programs).",
        calls(variant(false)).count(),
        calls(variant(true)).count()
    );
    println!("Walls on this machine:");
    for (wall, state) in walls() {
        println!("  {wall:<22} {state}");
    }
    Ok(ExitCode::SUCCESS)
}

fn when(call: &HostCall) -> &'static str {
    match call.when {
        When::Always => "always",
        When::HostFiles => "host files",
        When::BrokerKicks | When::DirectKicks => "processes",
    }
}

/// What else confines a sandbox that is started here and now.
fn walls() -> Vec<(&'static str, String)> {
    let up = |is_up: bool, text: &str| {
        let state = if is_up { "up" } else { "not here" };
        format!("{state}: {text}")
    };
    let landlock = capsid_broker::raw_process::landlock_ruleset().map(|(_, version)| version);
    let limits = capsid_broker::Limits {
        memory: Some(1 << 30),
        processes: Some(100),
        timeout: None,
    };
    let group = capsid_broker::control_group::ControlGroup::new(&limits).is_some();
    let root = rustix::process::geteuid().is_root();
    vec![
        (
            "seccomp",
            up(true, "the list above, with TRAP for calls from guest text"),
        ),
        (
            "no new privileges",
            up(true, "no set-user-id program helps"),
        ),
        (
            "Landlock",
            match landlock {
                Some(version) => up(true, &format!("version {version}: no file, port or signal")),
                None => up(false, "the host's kernel has none"),
            },
        ),
        (
            "unprivileged user",
            if root {
                up(true, "the sandbox becomes nobody, without capabilities")
            } else {
                up(true, "the sandbox runs as you, who are not root")
            },
        ),
        (
            "control group",
            if group {
                up(true, "for --memory and --pids, over all processes together")
            } else {
                up(
                    false,
                    "--memory and --pids are kept by resource limits alone",
                )
            },
        ),
        (
            "own session",
            up(true, "no terminal of its own; dies with capsid"),
        ),
    ]
}
