//! Programs of erofs-utils and others, where they are installed.

use super::skip;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Whether a program can be run; prints that the test is skipped if not.
pub fn has(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_err() {
        skip(&format!("{program} is not installed"));
    }
    found.is_ok()
}

/// Runs a program that must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let errors = errors.chars().take(2000).collect::<String>();
    assert!(output.status.success(), "{command:?}: {errors}");
    output
}

/// Checks an image by fsck.erofs.
pub fn check(image: &Path) {
    let output = run(Command::new("fsck.erofs").arg("-d2").arg(image));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!errors.contains("<E>"), "{errors}");
}

/// Unpacks an image by fsck.erofs.
pub fn extract(image: &Path, directory: &Path) {
    let mut option = std::ffi::OsString::from("--extract=");
    option.push(directory);
    run(Command::new("fsck.erofs")
        .arg("--preserve")
        .arg(option)
        .arg(image));
}

/// Makes an image by mkfs.erofs.
pub fn make(image: &Path, directory: &Path, options: &[&str]) {
    run(Command::new("mkfs.erofs")
        .arg("--quiet")
        .args(options)
        .arg(image)
        .arg(directory));
}

/// A mount by the kernel, gone when dropped.
pub struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    /// Mounts an image; `None`, with the reason printed, where that is not possible.
    pub fn new(image: &Path, directory: &'a Path) -> Option<Mounted<'a>> {
        std::fs::create_dir(directory).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "erofs", "-o", "ro,loop"])
            .arg(image)
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Mounted(directory));
        }
        skip("this machine cannot mount EROFS images: compared without Linux's own reader");
        None
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}
