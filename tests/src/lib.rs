//! The harness of the end-to-end tests.
//!
//! A test runs a command natively and under `capsid run`, and compares standard output, exit status
//! and, when asked, standard error. What passes natively must pass inside with the same output.
//! Every run has a time limit; a test that cannot run here says why through [`skip`].

pub mod command;
pub mod compile;
pub mod container;
pub mod filter;
pub mod session;

pub use command::{Command, Output};
pub use session::Session;

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The `capsid` binary under test: `CAPSID_BIN`, or the newest build in the workspace's target
/// directory.
///
/// # Panics
/// If there is none: build it first, as `cargo xtask test` does.
#[must_use]
pub fn capsid_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CAPSID_BIN") {
        return path.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from);
    let newest = ["release", "debug"]
        .iter()
        .map(|profile| target.join(profile).join("capsid"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max();
    match newest {
        Some((_, path)) => path,
        None => panic!("no capsid binary: run `cargo build --release` first"),
    }
}

/// The workspace's root directory.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the workspace exists")
}

/// Says that a test does not run here, and why. The reason is printed, and counted by
/// `cargo xtask test`.
pub fn skip(test: &str, reason: &str) {
    println!("skipped: {test}: {reason}");
    if let Some(path) = std::env::var_os("CAPSID_SKIP_LOG") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path);
        if let Ok(mut file) = file {
            let _ = writeln!(file, "{test}: {reason}");
        }
    }
}

/// Whether a program is installed on the host.
#[must_use]
pub fn installed(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        .split(':')
        .any(|directory| Path::new(directory).join(program).exists())
}

/// Skips the rest of a test when programs are missing.
#[macro_export]
macro_rules! need {
    ($($program:expr),+) => {
        $(if !$crate::installed($program) {
            let name = ::std::thread::current().name().unwrap_or("?").to_owned();
            $crate::skip(&name, &format!("{} is not installed", $program));
            return;
        })+
    };
}

/// A directory that is removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty directory under the system's temporary directory.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Scratch {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("capsid-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a scratch directory can be made");
        Scratch(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of something in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
