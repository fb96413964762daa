//! `cargo xtask fuzz`: the targets of `fuzz/`, each for a while, by cargo-fuzz.

use crate::shell;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::Path;
use std::process::Command;

/// The seed of libFuzzer's mutations, so that a run can be repeated on the same corpus.
const SEED: &str = "0x00ca951d";
/// An input that takes longer is a finding.
const INPUT_SECONDS: u32 = 25;
/// So is one that takes more memory.
const MEMORY_MIB: u32 = 2048;

/// Options of `cargo xtask fuzz`.
#[derive(Args)]
pub struct Options {
    /// Only this target; all of them if none is named.
    target: Option<String>,
    /// How long each target runs, such as 90s, 10m or 2h.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = seconds)]
    time: u64,
}

/// Runs the targets one after the other; fails if one found something.
pub fn run(options: &Options) -> Result<()> {
    if !shell::installed("cargo-fuzz") {
        bail!("cargo-fuzz is not installed: run `cargo install cargo-fuzz --locked`");
    }
    let targets = targets(&shell::workspace().join("fuzz/fuzz_targets"))?;
    let chosen: Vec<&String> = match &options.target {
        None => targets.iter().collect(),
        Some(name) if targets.contains(name) => vec![name],
        Some(name) => bail!("there is no target {name}: they are {}", targets.join(", ")),
    };
    shell::run(&mut cargo(&["fuzz", "build", "--sanitizer", "none"]))?;
    let mut failed = Vec::new();
    for target in chosen {
        if let Err(error) = shell::run(&mut fuzz(target, options.time)) {
            eprintln!("{target}: {error}");
            failed.push(target.as_str());
        }
    }
    if !failed.is_empty() {
        bail!(
            "found by {}: the inputs are in fuzz/artifacts, and `cargo fuzz run --sanitizer none \
             TARGET INPUT` repeats one",
            failed.join(", ")
        );
    }
    Ok(())
}

/// The names of the targets: those of their files.
fn targets(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("{} is not readable", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// The command that runs a target for some seconds. Addresses are no concern of safe code, so that
/// no sanitizer is needed, nor the nightly compiler that has them.
fn fuzz(target: &str, seconds: u64) -> Command {
    let mut command = cargo(&["fuzz", "run", "--sanitizer", "none", target, "--"]);
    command.args([
        format!("-seed={SEED}"),
        format!("-max_total_time={seconds}"),
        format!("-timeout={INPUT_SECONDS}"),
        format!("-rss_limit_mb={MEMORY_MIB}"),
        String::from("-print_final_stats=1"),
    ]);
    command
}

fn cargo(arguments: &[&str]) -> Command {
    shell::command("cargo", arguments)
}

/// Reads a duration: a number with `s`, `m` or `h`, or seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => (text, 1),
    };
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| format!("{text:?} is no duration such as 90s, 10m or 2h"))
}

#[cfg(test)]
mod tests {
    use super::{seconds, targets};
    use crate::shell;

    #[test]
    fn durations_are_read() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("10m"), Ok(600));
        assert_eq!(seconds("2h"), Ok(7200));
        for bad in ["", "s", "0", "1d", "-1s", "99999999999999999999h"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_target_is_built() {
        let fuzz = shell::workspace().join("fuzz");
        let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        let names = targets(&fuzz.join("fuzz_targets")).unwrap();
        assert!(names.len() >= 7);
        for name in names {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }
}
