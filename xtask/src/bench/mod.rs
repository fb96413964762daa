//! `cargo xtask bench`: what runs here, natively and in sandboxes, as ratios of one run.
//!
//! The machine may be shared and noisy, so the engines take turns and a figure is the median of
//! its rounds. Only ratios within one run mean anything.

mod bars;
mod engine;
mod jobs;
mod memory;
mod report;

use crate::shell;
use anyhow::{Context, Result};
use clap::Args;
use engine::Engine;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub struct Options {
    /// Only the benchmarks whose name contains this.
    filter: Option<String>,
    /// Rounds; a figure is the median over them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Write docs/benchmarks.json and docs/benchmarks.md.
    #[arg(long)]
    save: bool,
}

/// Median figures by benchmark and engine. Times in nanoseconds, memory in KiB.
pub type Figures = BTreeMap<String, BTreeMap<String, f64>>;

/// Where the benchmark programs and their data lie, and what was asked for.
pub struct Bench {
    /// The directory with programs and data, the same path natively and inside.
    pub directory: PathBuf,
    /// The engines, native first.
    pub engines: Vec<Engine>,
    /// Rounds to run.
    pub rounds: usize,
    filter: Option<String>,
}

impl Bench {
    /// Whether a benchmark was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()))
    }
}

/// Runs the benchmarks and prints the table.
pub fn run(options: &Options) -> Result<()> {
    shell::run(&mut shell::command(
        "cargo",
        &["build", "--release", "--package", "capsid"],
    ))?;
    let directory = shell::workspace().join("target/bench");
    std::fs::create_dir_all(&directory)?;
    let directory = directory.canonicalize()?;
    compile(&directory)?;
    let engines = engine::available(&directory)?;
    let filter = options.filter.clone();
    let context = Bench {
        directory,
        engines,
        rounds: options.rounds.max(1),
        filter,
    };
    let mut figures = Figures::new();
    micro(&context, &mut figures)?;
    jobs::run(&context, &mut figures)?;
    memory::run(&context, &mut figures)?;
    let table = report::table(&context.engines, &figures);
    println!("{table}");
    if options.save {
        report::save(&context.engines, &figures, &table)?;
    }
    Ok(())
}

fn compile(directory: &Path) -> Result<()> {
    for (name, source) in [
        (
            "micro",
            std::fs::read_to_string(shell::workspace().join("bench/micro.c"))?,
        ),
        ("true-static", "int main(void) { return 0; }".to_owned()),
        (
            "sleep-static",
            "#include <unistd.h>\nint main(void) { return pause(); }".to_owned(),
        ),
    ] {
        let file = directory.join(name).with_extension("c");
        std::fs::write(&file, source)?;
        let output = directory.join(name);
        let (file, output) = (file.to_string_lossy(), output.to_string_lossy());
        let arguments = ["-O2", "-static", "-pthread", "-o", &output, &file];
        shell::run(&mut shell::command("gcc", &arguments))?;
    }
    Ok(())
}

/// The microbenchmarks: the program measures itself and prints nanoseconds.
fn micro(context: &Bench, figures: &mut Figures) -> Result<()> {
    let program = context.directory.join("micro");
    let program = program.to_string_lossy();
    let list = shell::command(&program, &["list"])
        .output()
        .context("cannot list benchmarks")?;
    for name in String::from_utf8_lossy(&list.stdout).lines() {
        if !context.wants(name) {
            continue;
        }
        let mut samples: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for _ in 0..context.rounds {
            for engine in &context.engines {
                let Some(output) = engine.output(&[&program, name], 60) else {
                    continue;
                };
                let figure = output
                    .split_whitespace()
                    .nth(1)
                    .and_then(|word| word.parse().ok());
                if let Some(figure) = figure {
                    samples.entry(engine.name).or_default().push(figure);
                }
            }
        }
        record(figures, name, samples);
    }
    Ok(())
}

/// Stores the median of each engine's samples.
fn record(figures: &mut Figures, name: &str, samples: BTreeMap<&str, Vec<f64>>) {
    for (engine, mut values) in samples {
        values.sort_by(f64::total_cmp);
        if let Some(median) = values.get(values.len() / 2) {
            eprintln!("{name} {engine} {median:.1}");
            figures
                .entry(name.to_owned())
                .or_default()
                .insert(engine.to_owned(), *median);
        }
    }
}
