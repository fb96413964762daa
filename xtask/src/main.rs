//! Tasks of the project. `cargo xtask test` is what CI runs.

mod bench;
mod docs;
mod fuzz;
mod packages;
mod shell;
mod sizes;
mod test;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the project")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing, check, build, and run every test.
    Test(test::Options),
    /// Write the generated parts of the documents.
    Docs(docs::Options),
    /// Count lines, unsafe blocks and bytes.
    Sizes(sizes::Options),
    /// Search for inputs that break a parser.
    Fuzz(fuzz::Options),
    /// Measure, natively and in sandboxes.
    Bench(bench::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Docs(options) => docs::run(&options),
        Task::Sizes(options) => sizes::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Bench(options) => bench::run(&options),
    }
}
