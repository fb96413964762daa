//! Memory of a sandbox whose program sleeps.

use super::{Bench, Figures};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

/// Sums the proportional and private memory of each engine's process tree, in KiB.
pub fn run(bench: &Bench, figures: &mut Figures) -> Result<()> {
    if !bench.wants("idle") {
        return Ok(());
    }
    let program = bench.directory.join("sleep-static");
    let program = program.to_string_lossy();
    for engine in &bench.engines {
        let mut command = engine.command(&[&program]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_millis(700));
        let tree = tree(child.id());
        for (name, keys) in [
            ("idle_pss", &["Pss:"][..]),
            ("idle_private", &["Private_Clean:", "Private_Dirty:"]),
        ] {
            let sum: f64 = tree.iter().map(|&id| rollup(id, keys)).sum();
            eprintln!("{name} {} {sum}", engine.name);
            figures
                .entry(name.to_owned())
                .or_default()
                .insert(engine.name.to_owned(), sum);
        }
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

/// A process and everything below it.
fn tree(root: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // The name in parentheses may hold anything; the parent is the second word after it.
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|word| word.parse().ok()) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(children.get(&id).into_iter().flatten());
        }
    }
    found
}

fn rollup(id: u32, keys: &[&str]) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .filter(|line| keys.iter().any(|key| line.starts_with(key)))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
        .sum()
}
