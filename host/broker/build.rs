//! Builds the sandbox program, which the broker carries inside.
//!
//! It is another kind of program (no libc, no std, its own link address), so that a nested cargo
//! builds it, always optimised, in a target directory that all profiles share.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program is made of.
const SOURCES: [&str; 8] = [
    "core",
    "platform",
    "platforms/linux",
    "rewriter",
    "sandbox",
    "shims/linux",
    "wire",
    "Cargo.toml",
];

fn main() {
    let variable = |name: &str| env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    let output = PathBuf::from(variable("OUT_DIR"));
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../..");
    for source in SOURCES {
        println!(
            "cargo:rerun-if-changed={}",
            workspace.join(source).display()
        );
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CAPSID_SANDBOX_PROGRAM");
    let program = match env::var_os("CAPSID_SANDBOX_PROGRAM") {
        Some(program) => PathBuf::from(program),
        None => build(&workspace, &output),
    };
    std::fs::copy(&program, output.join("capsid-sandbox"))
        .unwrap_or_else(|error| panic!("cannot copy {}: {error}", program.display()));
}

fn build(workspace: &Path, output: &Path) -> PathBuf {
    // OUT_DIR is TARGET/PROFILE/build/PACKAGE/out.
    let target = output
        .ancestors()
        .nth(4)
        .map_or_else(|| output.join("target"), |target| target.join("sandbox"));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace)
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "capsid-sandbox",
            "--features",
            "program",
        ])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_PROFILE_RELEASE_STRIP", "true");
    // What this build was told about itself is no business of that one: wrappers such as clippy's,
    // coverage flags, the outer target directory.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let of_this_build = name.starts_with("CARGO_")
            && !matches!(
                &*name,
                "CARGO_HOME" | "CARGO_MAKEFLAGS" | "CARGO_NET_OFFLINE"
            )
            && name != "CARGO_PROFILE_RELEASE_STRIP";
        if of_this_build || name.starts_with("RUSTC") || name == "RUSTFLAGS" {
            command.env_remove(&*name);
        }
    }
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("cannot run cargo for the sandbox: {error}"));
    assert!(status.success(), "the sandbox program did not build");
    target.join("release/capsid-sandbox")
}
