//! `cargo xtask sizes`: lines, unsafe blocks and binary sizes per crate.
//!
//! The unsafe counts are a ratchet: `xtask/unsafe-blocks` holds them, and they may only fall.

use crate::shell;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Options of `cargo xtask sizes`.
#[derive(Args)]
pub struct Options {
    /// Fail if a crate has more unsafe blocks than recorded.
    #[arg(long)]
    check: bool,
    /// Record the present counts.
    #[arg(long)]
    record: bool,
}

#[derive(Default)]
struct Size {
    files: usize,
    lines: usize,
    longest: usize,
    unsafe_blocks: usize,
}

const RECORD: &str = "xtask/unsafe-blocks";

/// Prints the table, and checks or records the ratchet.
pub fn run(options: &Options) -> Result<()> {
    let sizes = measure()?;
    println!(
        "{:<24} {:>6} {:>8} {:>8} {:>7}",
        "crate", "files", "lines", "longest", "unsafe"
    );
    for (name, size) in &sizes {
        println!(
            "{name:<24} {:>6} {:>8} {:>8} {:>7}",
            size.files, size.lines, size.longest, size.unsafe_blocks
        );
    }
    for binary in ["target/release/capsid", "target/debug/capsid"] {
        if let Ok(metadata) = std::fs::metadata(shell::workspace().join(binary)) {
            println!("{binary}: {} KiB", metadata.len() / 1024);
        }
    }
    if options.record {
        let mut text = String::new();
        for (name, size) in sizes.iter().filter(|(_, size)| size.unsafe_blocks > 0) {
            writeln!(text, "{name} {}", size.unsafe_blocks)?;
        }
        std::fs::write(shell::workspace().join(RECORD), text)?;
    } else if options.check {
        check(&sizes)?;
    }
    Ok(())
}

/// Most functions of the `Platform` trait: each is a promise that every platform has to keep.
const MOST_PLATFORM_FUNCTIONS: usize = 30;

fn check(sizes: &BTreeMap<String, Size>) -> Result<()> {
    let platform = shell::workspace().join("platform/src/lib.rs");
    let platform =
        std::fs::read_to_string(platform).context("the platform trait is not readable")?;
    let functions = platform
        .lines()
        .skip_while(|line| !line.starts_with("pub trait Platform"))
        .take_while(|line| *line != "}")
        .filter(|line| line.starts_with("    fn "))
        .count();
    if !(1..=MOST_PLATFORM_FUNCTIONS).contains(&functions) {
        bail!(
            "the platform trait has {functions} functions, at most {MOST_PLATFORM_FUNCTIONS} are agreed"
        );
    }
    let record = std::fs::read_to_string(shell::workspace().join(RECORD))
        .with_context(|| format!("{RECORD} is not readable"))?;
    let recorded: BTreeMap<&str, usize> = record
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect();
    for (name, size) in sizes {
        let limit = recorded.get(name.as_str()).copied().unwrap_or(0);
        if size.unsafe_blocks > limit {
            bail!(
                "{name} has {} unsafe blocks, {limit} are recorded: remove some, or say why more \
                 are needed in the commit that runs `cargo xtask sizes --record`",
                size.unsafe_blocks
            );
        }
    }
    Ok(())
}

fn measure() -> Result<BTreeMap<String, Size>> {
    let root = shell::workspace();
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let members = manifest
        .lines()
        .skip_while(|line| !line.starts_with("members"))
        .skip(1)
        .take_while(|line| !line.starts_with(']'))
        .map(|line| line.trim().trim_matches(['"', ',']).to_owned());
    let mut sizes = BTreeMap::new();
    for member in members {
        let mut files = Vec::new();
        collect(&root.join(&member), &mut files)?;
        let mut size = Size::default();
        for file in files {
            let text = std::fs::read_to_string(file)?;
            let lines = text.lines().count();
            size.files += 1;
            size.lines += lines;
            size.longest = size.longest.max(lines);
            size.unsafe_blocks += text.lines().filter(|line| is_unsafe(line)).count();
        }
        sizes.insert(member, size);
    }
    Ok(sizes)
}

/// Whether a line opens an unsafe block or makes an unsafe promise.
fn is_unsafe(line: &str) -> bool {
    let line = line.trim();
    !line.starts_with("//")
        && ["unsafe {", "unsafe impl", "unsafe extern", "#[unsafe("]
            .iter()
            .any(|pattern| line.contains(pattern) && !line.contains(&format!("\"{pattern}")))
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_unsafe;

    #[test]
    fn unsafe_blocks_are_found() {
        assert!(is_unsafe("    let x = unsafe { f() };"));
        assert!(is_unsafe("unsafe impl Sync for X {}"));
        assert!(!is_unsafe("// unsafe { f() }"));
        assert!(!is_unsafe("#![forbid(unsafe_code)]"));
    }
}
