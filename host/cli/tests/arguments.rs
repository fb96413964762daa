//! Wrong arguments: one clear line on standard error, and status 125 as `docker run` has it.

use std::process::Command;

fn refused(arguments: &[&str], expected: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_capsid"))
        .args(arguments)
        .output()
        .expect("capsid runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{arguments:?}: {text}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    assert!(text.starts_with("capsid: "), "{arguments:?}: {text}");
    assert!(text.contains(expected), "{arguments:?}: {text}");
}

#[test]
fn wrong_options() {
    refused(&["frobnicate"], "frobnicate");
    refused(&["run"], "PROGRAM");
    refused(&["run", "--bogus", "true"], "unknown option \"--bogus\"");
    refused(&["run", "-x", "true"], "unknown option \"-x\"");
    refused(&["run", "--memory", "lots", "true"], "bad size \"lots\"");
    refused(&["run", "--memory", "1K", "true"], "too small");
    refused(&["run", "--memory", "99999999999T", "true"], "bad size");
    refused(
        &["run", "--timeout", "soon", "true"],
        "bad duration \"soon\"",
    );
    refused(&["run", "--pids", "0", "true"], "--pids");
    refused(&["run", "--pids", "many", "true"], "many");
    refused(&["run", "-u", "root", "true"], "bad user \"root\"");
    refused(&["run", "-w", "relative", "true"], "working directory");
    refused(&["run", "-e", "=x", "true"], "bad variable");
    refused(&["run", "--hostname", "a b", "true"], "bad host name");
    refused(&["run", "-i", "--no-stdin", "true"], "--no-stdin");
}

#[test]
fn wrong_places() {
    refused(&["run", "--rootfs", "/no/such", "true"], "/no/such");
    refused(&["run", "--rootfs", "/dev/null", "true"], "neither");
    refused(&["run", "-v", "/tmp", "true"], "HOST:GUEST");
    refused(&["run", "-v", "/no/such:/x", "true"], "/no/such");
    refused(&["run", "-v", "/tmp:x", "true"], "must start with a slash");
    refused(&["run", "-v", "/tmp:/a/../b", "true"], "..");
    refused(&["run", "-v", "/dev/null:/x", "true"], "neither");
    refused(&["run", "--trace=/no/such/file", "true"], "/no/such/file");
    refused(
        &["run", "--rootfs", env!("CARGO_MANIFEST_PATH"), "true"],
        "Cargo.toml",
    );
}

#[test]
fn the_surface_is_printed() {
    let output = Command::new(env!("CARGO_BIN_EXE_capsid"))
        .arg("surface")
        .output()
        .expect("capsid runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert!(text.contains("futex") && text.contains("seccomp"));
    assert!(!text.contains("execve"));
}
