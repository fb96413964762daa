//! procfs and sysfs, proc(5), sysfs(5): what the library OS tells of itself as files.
//!
//! A directory is a table of [`Entry`]s, or lists processes, threads or descriptors. The contents
//! of a file are made when it is opened. Nothing here reaches the host.

mod descriptors;
mod entry;
mod inode;
mod limits;
mod mappings;
mod mounts;
mod net;
mod process;
mod status;
mod subject;
mod sysctl;
mod sysfs;
mod system;
mod sysvipc;
mod text;

use crate::kernel::Kernel;
use alloc::sync::{Arc, Weak};
use capsid_core::Errno;
use capsid_core::fs::{DeviceId, FileSystem, FileSystemStatistics, Inode, anonymous_device};
use capsid_platform::PAGE_SIZE;
use entry::{Entry, Node};
use inode::ProcInode;
pub use inode::process_of_directory;
use subject::Subject;

pub(crate) use subject::caller as calling_thread;

/// A file system of generated files.
#[derive(Debug)]
pub struct Procfs {
    kernel: Weak<Kernel>,
    device: DeviceId,
    root: &'static Entry,
    type_name: &'static str,
    magic: u64,
}

static PROC_ROOT: Entry = Entry::new("", 0o555, Node::Processes(system::ENTRIES));
static SYS_ROOT: Entry = Entry::new("", 0o555, Node::Directory(sysfs::ENTRIES));

impl Procfs {
    /// Makes the file system for `/proc`.
    #[must_use]
    pub fn new(kernel: &Arc<Kernel>) -> Arc<Procfs> {
        Arc::new(Procfs {
            kernel: Arc::downgrade(kernel),
            device: anonymous_device(),
            root: &PROC_ROOT,
            type_name: "proc",
            magic: 0x9fa0,
        })
    }

    /// Makes the file system for `/sys`.
    #[must_use]
    pub fn sysfs(kernel: &Arc<Kernel>) -> Arc<Procfs> {
        Arc::new(Procfs {
            kernel: Arc::downgrade(kernel),
            device: anonymous_device(),
            root: &SYS_ROOT,
            type_name: "sysfs",
            magic: 0x6265_6572,
        })
    }
}

/// A file system whose inodes need it shared.
#[derive(Debug)]
pub struct Mountable(pub Arc<Procfs>);

impl FileSystem for Mountable {
    fn root(&self) -> Arc<dyn Inode> {
        let fs = self.0.clone();
        Arc::new(ProcInode::new(fs.clone(), fs.root, Subject::default()))
    }

    fn statistics(&self) -> Result<FileSystemStatistics, Errno> {
        Ok(FileSystemStatistics {
            block_size: PAGE_SIZE as u64,
            ..FileSystemStatistics::default()
        })
    }

    fn type_name(&self) -> &'static str {
        self.0.type_name
    }

    fn magic(&self) -> u64 {
        self.0.magic
    }

    fn caches_names(&self) -> bool {
        false
    }
}
