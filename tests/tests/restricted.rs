//! Hosts that allow little: an ordinary user, and a container's default seccomp profile, in which
//! namespaces cannot be made.

use capsid_tests::{Scratch, capsid_binary, container, skip};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

const SCRIPT: &str = "x=$(echo a | tr a b); (exit 3); echo $x $?; python3 -c 'import subprocess; \
    print(subprocess.run([\"echo\", \"hi\"], capture_output=True).stdout)'; id -u; \
    echo made > /tmp/f && cat /tmp/f; kill -TERM $$";

/// A copy of the binary that every user may execute.
fn public_binary(scratch: &Scratch) -> std::path::PathBuf {
    let binary = scratch.join("capsid");
    // Copied by another process: a descriptor for writing that a concurrent fork of this one
    // inherits would make the copy busy.
    let copied = Command::new("/bin/cp")
        .arg(capsid_binary())
        .arg(&binary)
        .status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "the binary cannot be copied"
    );
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(scratch.path(), mode.clone()).expect("chmod");
    std::fs::set_permissions(&binary, mode).expect("chmod");
    binary
}

fn check(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "b 3\nb'hi\\n'\n0\nmade\n", "{output:#?}");
    assert_eq!(output.status.code(), Some(143), "{output:#?}");
}

fn is_root() -> bool {
    // SAFETY: plain system call.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn an_ordinary_user_can_run_it() {
    if !is_root() {
        skip(
            "an_ordinary_user_can_run_it",
            "not root: the other tests are this test",
        );
        return;
    }
    let scratch = Scratch::new("user");
    let mut command = Command::new(public_binary(&scratch));
    command
        .args(["run", "--", "/bin/sh", "-c", SCRIPT])
        .stdin(Stdio::null());
    check(
        &command
            .uid(65534)
            .gid(65534)
            .current_dir("/")
            .output()
            .expect("capsid starts"),
    );
}

#[test]
fn a_containers_default_profile_is_enough() {
    let Some(filter) = container::profile() else {
        skip(
            "a_containers_default_profile_is_enough",
            "the kernel's headers are not installed",
        );
        return;
    };
    let scratch = Scratch::new("container");
    for user in if is_root() {
        vec![Some(65534), None]
    } else {
        vec![None]
    } {
        let mut command = Command::new(public_binary(&scratch));
        command
            .args(["run", "--", "/bin/sh", "-c", SCRIPT])
            .stdin(Stdio::null())
            .current_dir("/");
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let filter = filter.clone();
        // SAFETY: the closure makes only system calls.
        unsafe { command.pre_exec(move || container::install(&filter)) };
        check(&command.output().expect("capsid starts"));
    }
}

#[test]
fn the_profile_itself_works() {
    // The filter refuses what it should, or the test above would prove nothing.
    let Some(filter) = container::profile() else {
        return;
    };
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--user", "/bin/true"]);
    // SAFETY: the closure makes only system calls.
    unsafe { command.pre_exec(move || container::install(&filter)) };
    let output = command.output().expect("unshare starts");
    assert!(!output.status.success(), "{output:#?}");
}
