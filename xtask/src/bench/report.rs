//! The table and the JSON file.

use super::Figures;
use super::bars::BARS;
use super::engine::Engine;
use crate::shell;
use anyhow::Result;
use std::fmt::Write as _;

/// A time in the unit that reads best.
pub fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e4 => format!("{n:.0} ns"),
        n if n < 1e7 => format!("{:.1} µs", n / 1e3),
        n => format!("{:.1} ms", n / 1e6),
    }
}

/// A Markdown table: a row for each benchmark, ratios to native beside each figure.
pub fn table(engines: &[Engine], figures: &Figures) -> String {
    let mut text = String::from("| what |");
    for engine in engines {
        let _ = write!(text, " {} |", engine.name);
    }
    text.push_str(" bar | |\n|---|");
    text.push_str(&"---|".repeat(engines.len() + 2));
    text.push('\n');
    for (name, row) in figures {
        let _ = write!(text, "| {name} |");
        let native = row.get("native").copied().unwrap_or(f64::NAN);
        for engine in engines {
            let Some(&figure) = row.get(engine.name) else {
                text.push_str(" failed |");
                continue;
            };
            let value = if name.starts_with("idle") {
                format!("{:.1} MiB", figure / 1024.0)
            } else {
                time(figure)
            };
            if engine.name == "native" {
                let _ = write!(text, " {value} |");
            } else {
                let _ = write!(text, " {value} ({:.2}×) |", figure / native);
            }
        }
        let bar = BARS
            .iter()
            .find(|(bar, _)| bar == name)
            .map(|(_, bar)| *bar);
        let verdict = match (bar, row.get("capsid")) {
            (Some(bar), Some(&figure)) if bar.holds(figure, native) => "met",
            (Some(_), _) => "**missed**",
            (None, _) => "",
        };
        let _ = writeln!(
            text,
            " {} | {verdict} |",
            bar.map(super::bars::Bar::text).unwrap_or_default()
        );
    }
    text
}

/// Writes docs/benchmarks.json and docs/benchmarks.md.
pub fn save(engines: &[Engine], figures: &Figures, table: &str) -> Result<()> {
    let docs = shell::workspace().join("docs");
    std::fs::create_dir_all(&docs)?;
    let mut json = String::from("{\n");
    for (index, (name, row)) in figures.iter().enumerate() {
        let values: Vec<String> = row
            .iter()
            .map(|(engine, figure)| format!("\"{engine}\": {figure:.1}"))
            .collect();
        let comma = if index + 1 < figures.len() { "," } else { "" };
        let _ = writeln!(json, "  \"{name}\": {{{}}}{comma}", values.join(", "));
    }
    json.push_str("}\n");
    std::fs::write(docs.join("benchmarks.json"), json)?;
    let names: Vec<&str> = engines.iter().map(|engine| engine.name).collect();
    let text = format!(
        "# Benchmarks\n\n\
        Written by `cargo xtask bench --save`; engines: {}. Medians of one run on one machine, whose\n\
        other load is unknown: read the ratios to native (in parentheses), not the times. `idle_*` is\n\
        the memory of a sandbox whose static program sleeps, over its whole process tree.\n\n{table}",
        names.join(", ")
    );
    std::fs::write(docs.join("benchmarks.md"), text)?;
    Ok(())
}
