//! The Debian packages that the tests use.

use crate::shell;
use anyhow::Result;
use std::path::Path;

/// A package, a file that it installs, and what it is for.
const PACKAGES: &[(&str, &str, &str)] = &[
    (
        "build-essential",
        "/usr/bin/make",
        "building the C test programs, and a C project inside",
    ),
    (
        "busybox-static",
        "/bin/busybox",
        "a static program with many applets",
    ),
    ("bash", "/bin/bash", "shell scripts"),
    ("dash", "/bin/dash", "shell scripts"),
    ("debootstrap", "/usr/sbin/debootstrap", "a root file system"),
    (
        "erofs-utils",
        "/usr/bin/mkfs.erofs",
        "checking the images that we write",
    ),
    (
        "expect",
        "/usr/bin/expect",
        "a program that makes terminals inside",
    ),
    ("git", "/usr/lib/git-core/git", "version control inside"),
    ("golang-go", "/usr/bin/go", "a Go program"),
    ("less", "/usr/bin/less", "a pager on a terminal"),
    (
        "libseccomp-dev",
        "/usr/include/seccomp.h",
        "the kernel headers of seccomp",
    ),
    (
        "inotify-tools",
        "/usr/bin/inotifywait",
        "watching files from scripts",
    ),
    ("musl-tools", "/usr/bin/musl-gcc", "static musl programs"),
    ("nodejs", "/usr/bin/node", "a JIT"),
    ("perl", "/usr/bin/perl", "perl scripts"),
    ("procps", "/usr/bin/ps", "reading procfs"),
    ("python3", "/usr/bin/python3", "Python programs"),
    ("sqlite3", "/usr/bin/sqlite3", "a database"),
    (
        "strace",
        "/usr/bin/strace",
        "watching host calls from outside",
    ),
    ("tar", "/bin/tar", "archives"),
    (
        "tmux",
        "/usr/bin/tmux",
        "a program that makes terminals inside",
    ),
    ("vim", "/usr/bin/vim", "an editor on a terminal"),
    ("xz-utils", "/usr/bin/xz", "archives"),
    ("zstd", "/usr/bin/zstd", "archives"),
];

/// Installs what is missing when this user may; else says what is missing.
pub fn install() -> Result<()> {
    let missing: Vec<_> = PACKAGES
        .iter()
        .filter(|(_, file, _)| !Path::new(file).exists())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, _, _)| *name).collect();
    // The effective user is the owner of our own entry in procfs.
    let root = std::fs::metadata("/proc/self")
        .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0);
    if !root || !shell::installed("apt-get") {
        for (name, _, purpose) in missing {
            eprintln!("missing Debian package {name} ({purpose}): its tests are skipped");
        }
        return Ok(());
    }
    let _ = shell::run(&mut shell::command("apt-get", &["update", "-q"]));
    for name in names {
        // One by one: a package that cannot be had only skips its own tests.
        let arguments = ["install", "-qy", "--no-install-recommends", name];
        let mut command = shell::command("apt-get", &arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        if let Err(error) = shell::run(&mut command) {
            eprintln!("{error}: its tests are skipped");
        }
    }
    Ok(())
}
