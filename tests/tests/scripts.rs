//! Every file under `tests/scripts` is a test: it runs natively and inside, and must print and
//! return the same.
//!
//! The extension names the interpreter. Comment lines at the top may hold `needs: PROGRAM…`
//! (skipped when one is missing), `limit: SECONDS`, and `stderr: compare`.

use capsid_tests::{Command, installed, skip, workspace};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};

fn main() {
    let arguments = Arguments::from_args();
    let mut files = Vec::new();
    collect(&workspace().join("tests/scripts"), &mut files);
    files.sort();
    let trials = files.into_iter().filter_map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory)
        .expect("tests/scripts is readable")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)
        } else {
            files.push(path)
        }
    }
}

fn trial(path: PathBuf) -> Option<Trial> {
    let group = path.parent()?.file_name()?.to_str()?.to_owned();
    let stem = path.file_stem()?.to_str()?.to_owned();
    let name = format!("{group}::{stem}");
    let test = name.clone();
    Some(Trial::test(name, move || run(&test, &path)))
}

fn run(name: &str, path: &Path) -> Result<(), Failed> {
    let text = std::fs::read_to_string(path)?;
    let interpreter = match path.extension().and_then(|extension| extension.to_str()) {
        Some("sh") => "/bin/dash",
        Some("bash") => "/bin/bash",
        Some("py") => "/usr/bin/python3",
        Some("pl") => "/usr/bin/perl",
        Some("js") => "/usr/bin/node",
        _ => return Err("unknown kind of script".into()),
    };
    for program in setting(&text, "needs")
        .unwrap_or("")
        .split_whitespace()
        .chain([interpreter])
    {
        if !installed(program) {
            skip(name, &format!("{program} is not installed"));
            return Ok(());
        }
    }
    let flag = if matches!(interpreter, "/usr/bin/perl" | "/usr/bin/node") {
        "-e"
    } else {
        "-c"
    };
    let limit = setting(&text, "limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(60);
    let mut command = Command::new(&[interpreter, flag, &text]).limit(limit);
    if setting(&text, "stderr") == Some("compare") {
        command = command.with_stderr();
    }
    command.same();
    Ok(())
}

/// A `key: value` in the comments at the top.
fn setting<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .take_while(|line| line.starts_with('#') || line.starts_with("//"))
        .map(|line| line.trim_start_matches(['#', '/', ' ']))
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .map(str::trim)
}
