//! What the broker tells a new sandbox to run.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The boot configuration, written once into the data area before the sandbox starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// The program's arguments; the first is the program, looked up in the guest's `PATH` when it
    /// has no slash.
    pub arguments: Vec<Vec<u8>>,
    /// The environment, `NAME=value` each.
    pub environment: Vec<Vec<u8>>,
    /// The working directory, created if missing.
    pub working_directory: Vec<u8>,
    /// The guest's host name.
    pub hostname: String,
    /// User id the program starts with.
    pub user: u32,
    /// Group id the program starts with.
    pub group: u32,
    /// What the guest's root directory is.
    pub root: RootKind,
    /// Host directories, in mount order.
    pub exports: Vec<Export>,
    /// Symlinks to make in the root directory, such as `/bin`.
    pub symlinks: Vec<RootSymlink>,
    /// Most guest processes and threads at once.
    pub process_limit: u32,
    /// Memory the guest may use, in bytes; 0 for no limit of its own.
    pub memory_bytes: u64,
    /// Seed of the random-number generator.
    pub random_seed: [u8; 32],
    /// Standard input, output and error are terminals (bits 0, 1 and 2).
    pub terminals: u8,
    /// Standard input, output and error are open (bits 0, 1 and 2); the guest lacks the others.
    pub streams: u8,
    /// Whoever started capsid on its terminal can continue it when it stops.
    pub job_control: bool,
    /// Send a line for each system call.
    pub trace: bool,
    /// Send statistics at the end.
    pub statistics: bool,
    /// The sandbox may signal its own threads itself: a PID namespace confines it.
    pub direct_kick: bool,
}

/// What the root directory is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootKind {
    /// An empty tmpfs with the standard directories; exports are mounted into it.
    #[default]
    Empty,
    /// The EROFS image, under a writable overlay.
    Image,
    /// The first export, under a writable overlay.
    Export,
}

/// A symlink in the root directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootSymlink {
    /// Where it is: an absolute path.
    pub path: Vec<u8>,
    /// What it says.
    pub target: Vec<u8>,
}

/// One host directory or file that the sandbox may reach through the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Where it is mounted in the guest: an absolute path.
    pub mount_point: Vec<u8>,
    /// What may be done with it.
    pub access: ExportAccess,
    /// The broker promises that nothing in it changes during the run, so that look-ups may be kept.
    pub stable: bool,
    /// It is a directory (else a single file).
    pub directory: bool,
}

/// What may be done with an export. The broker enforces it; the sandbox only shows the right errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportAccess {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}
