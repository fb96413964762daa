//! `cargo xtask test`: everything that must hold before a change lands.

use crate::{packages, shell};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

/// Options of `cargo xtask test`.
#[derive(Args)]
pub struct Options {
    /// Only the end-to-end tests whose name contains this.
    filter: Option<String>,
    /// Leave out formatting, lints and unit tests.
    #[arg(long)]
    end_to_end: bool,
}

/// Sums of the summaries that test runners print.
#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// Runs everything; the last line says how many tests passed, failed and were skipped.
pub fn run(options: &Options) -> Result<()> {
    packages::install()?;
    let mut totals = Totals::default();
    if !options.end_to_end && options.filter.is_none() {
        check(&mut totals, "rustfmt", &["fmt", "--all", "--check"]);
        let clippy = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ];
        check(&mut totals, "clippy", &clippy);
        check(
            &mut totals,
            "unsafe ratchet",
            &["xtask", "sizes", "--check"],
        );
        check(
            &mut totals,
            "generated documents",
            &["xtask", "docs", "--check"],
        );
        check_dependencies(&mut totals);
        totals.cargo_test(&["--workspace", "--exclude", "capsid-tests"])?;
    }
    shell::run(&mut shell::command(
        "cargo",
        &["build", "--release", "--package", "capsid"],
    ))?;
    let mut arguments = vec!["--package", "capsid-tests"];
    if let Some(filter) = &options.filter {
        arguments.extend(["--", filter]);
    }
    totals.cargo_test(&arguments)?;
    println!(
        "{} passed, {} failed, {} skipped",
        totals.passed, totals.failed, totals.skipped
    );
    if totals.failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}

/// Checks the dependencies: their licences and sources always, and advisories against them if the
/// database of those can be had.
fn check_dependencies(totals: &mut Totals) {
    if !shell::installed("cargo-deny") {
        skip(
            totals,
            "cargo deny",
            "it is not installed (`cargo install cargo-deny --locked`)",
        );
        return;
    }
    let quiet = ["deny", "--log-level", "error"];
    let of_the_tree = ["check", "licenses", "bans", "sources"];
    check(totals, "cargo deny", &[&quiet[..], &of_the_tree].concat());
    // A test fetches nothing: what is here is used.
    if !has_advisories() {
        skip(
            totals,
            "cargo deny: advisories",
            "their database is not here (`cargo deny fetch db`)",
        );
    } else {
        let arguments = [&quiet[..], &["--offline", "check", "advisories"]].concat();
        check(totals, "cargo deny: advisories", &arguments);
    }
}

/// Counts a check that does not run here, and says why.
fn skip(totals: &mut Totals, what: &str, reason: &str) {
    eprintln!("skipped: {what}: {reason}");
    totals.skipped += 1;
}

/// Whether cargo-deny has a copy of the advisory database.
fn has_advisories() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    home.and_then(|home| std::fs::read_dir(home.join("advisory-dbs")).ok())
        .is_some_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.path().join("crates").is_dir())
        })
}

/// Runs one check that counts as a test.
fn check(totals: &mut Totals, name: &str, arguments: &[&str]) {
    match shell::run(&mut shell::command("cargo", arguments)) {
        Ok(()) => totals.passed += 1,
        Err(error) => {
            eprintln!("{name}: {error}");
            totals.failed += 1;
        }
    }
}

impl Totals {
    /// Runs `cargo test` and adds up its summary lines and the skips its tests report.
    fn cargo_test(&mut self, arguments: &[&str]) -> Result<()> {
        let skips = shell::workspace().join("target").join("skipped-tests");
        let _ = std::fs::remove_file(&skips);
        let mut command = shell::command("cargo", &["test", "--no-fail-fast"]);
        command.args(arguments).stdout(Stdio::piped());
        command
            .env("CAPSID_SKIP_LOG", &skips)
            .env("RUST_TEST_THREADS", "2");
        eprintln!("+ cargo test {}", arguments.join(" "));
        let mut child = command.spawn().context("cannot start cargo")?;
        let stdout = child.stdout.take().context("cargo's output is piped")?;
        let mut summaries = 0;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            if let Some((passed, failed, ignored)) = parse_summary(&line) {
                summaries += 1;
                self.passed += passed;
                self.failed += failed;
                self.skipped += ignored;
            }
        }
        let success = child.wait()?.success();
        if summaries == 0 {
            bail!("cargo test {} ran no test", arguments.join(" "));
        }
        if !success && self.failed == 0 {
            // A test binary that died, or did not build, has no summary.
            self.failed += 1;
        }
        let skipped = std::fs::read_to_string(&skips).unwrap_or_default();
        let count = skipped.lines().count() as u64;
        for line in skipped.lines() {
            println!("skipped: {line}");
        }
        self.skipped += count;
        self.passed = self.passed.saturating_sub(count);
        Ok(())
    }
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn parse_summary(line: &str) -> Option<(u64, u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let count = |word: &str| {
        let before = &rest[..rest.find(word)?];
        before.split_whitespace().last()?.parse().ok()
    };
    Some((count(" passed")?, count(" failed")?, count(" ignored")?))
}

#[cfg(test)]
mod tests {
    use super::parse_summary;

    #[test]
    fn summaries_are_read() {
        let line = "test result: FAILED. 13 passed; 2 failed; 1 ignored; 0 measured; 0 filtered";
        assert_eq!(parse_summary(line), Some((13, 2, 1)));
        assert_eq!(parse_summary("test result"), None);
        assert_eq!(parse_summary("running 3 tests"), None);
    }
}
