//! The file system of `/dev`: a tmpfs that begins with the standard nodes.
//!
//! What the nodes do is found by their device numbers, wherever a node lies: [`memory`] drives
//! major 1; terminals register their own drivers.

mod memory;

use crate::fs::tmpfs::{Tmpfs, TmpfsOptions};
use crate::fs::{DeviceId, FileSystem, NewNode, Owner, special};
use alloc::sync::Arc;
use capsid_platform::Errno;

/// The nodes: name, major, minor.
const DEVICES: [(&[u8], u32, u32); 9] = [
    (b"null", 1, 3),
    (b"zero", 1, 5),
    (b"full", 1, 7),
    (b"random", 1, 8),
    (b"urandom", 1, 9),
    (b"kmsg", 1, 11),
    (b"tty", 5, 0),
    (b"console", 5, 1),
    (b"ptmx", 5, 2),
];

/// The symlinks: name, target.
const LINKS: [(&[u8], &[u8]); 4] = [
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
];

/// The directories that other file systems are mounted on: name, permission bits.
const DIRECTORIES: [(&[u8], u32); 3] = [(b"shm", 0o1777), (b"pts", 0o755), (b"mqueue", 0o1777)];

/// Makes the file system, and registers the drivers of the memory devices.
pub fn new() -> Result<Arc<Tmpfs>, Errno> {
    special::register_driver(1, &memory::MemoryDevices);
    let tmpfs = Tmpfs::new(TmpfsOptions::default());
    let root = tmpfs.root();
    let owner = Owner::default();
    for (name, major, minor) in DEVICES {
        let node = NewNode::CharacterDevice(DeviceId { major, minor });
        let mode = if name == b"console" || name == b"kmsg" {
            0o600
        } else {
            0o666
        };
        root.create(name, node, mode, owner)?;
    }
    for (name, target) in LINKS {
        root.create(name, NewNode::Symlink(target), 0o777, owner)?;
    }
    for (name, mode) in DIRECTORIES {
        root.create(name, NewNode::Directory, mode, owner)?;
    }
    Ok(tmpfs)
}
