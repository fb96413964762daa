//! Compiling test programs with the host's gcc and musl-gcc.

use crate::workspace;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

/// How to link a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Dynamic, position-independent: the compiler's default.
    Dynamic,
    /// Static, at a fixed address (0x400000).
    Static,
    /// Static and position-independent.
    StaticPie,
    /// Dynamic, at a fixed address.
    NoPie,
    /// Static, with musl.
    Musl,
}

/// Compiles `tests/abi/NAME.c` and returns the program's path; `None` if the compiler is missing.
///
/// # Panics
/// If it does not compile.
#[must_use]
pub fn program(name: &str, link: Link) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let (compiler, flags): (&str, &[&str]) = match link {
        Link::Dynamic => ("gcc", &[]),
        Link::Static => ("gcc", &["-static", "-no-pie"]),
        Link::StaticPie => ("gcc", &["-static-pie"]),
        Link::NoPie => ("gcc", &["-no-pie", "-fno-pie"]),
        Link::Musl => ("musl-gcc", &["-static"]),
    };
    if !crate::installed(compiler) {
        crate::skip(name, &format!("{compiler} is not installed"));
        return None;
    }
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let source = workspace().join("tests/abi").join(format!("{name}.c"));
    let directory = workspace().join("target/abi");
    std::fs::create_dir_all(&directory).expect("target/abi can be made");
    let output = directory.join(format!("{name}-{link:?}"));
    let newer = |a: &PathBuf, b: &PathBuf| {
        Some(a.metadata().ok()?.modified().ok()? > b.metadata().ok()?.modified().ok()?)
    };
    if newer(&output, &source) != Some(true) {
        let status = Command::new(compiler)
            .args([
                "-O1",
                "-g",
                "-Wall",
                "-Wno-unused-result",
                "-D_GNU_SOURCE",
                "-pthread",
            ])
            .args(flags)
            .arg("-o")
            .arg(&output)
            .arg(&source)
            .args(["-lm", "-lrt"])
            .status()
            .expect("the compiler starts");
        assert!(status.success(), "{} does not compile", source.display());
    }
    Some(output)
}
