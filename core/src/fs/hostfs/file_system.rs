//! One mounted export.

use super::inode::HostInode;
use super::{LIFETIME_NS, protocol};
use crate::fs::{FileKind, FileSystem, FileSystemStatistics, Inode};
use crate::sync::Mutex;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::{Clock, Errno, platform};
use capsid_wire::Export;
use core::sync::atomic::{AtomicU64, Ordering};

/// What statfs(2) says of it: the magic number of FUSE, which is the nearest thing.
const MAGIC: u64 = 0x6573_5546;

/// A file system over one export.
#[derive(Debug)]
pub struct HostFileSystem {
    this: Weak<HostFileSystem>,
    export: u64,
    stable: bool,
    root_kind: FileKind,
    /// Counts the sandbox's own changes: older knowledge is void.
    generation: AtomicU64,
    /// The inodes that the latest look-up brought, until the walk that asked comes to them.
    ahead: Mutex<Vec<Arc<HostInode>>>,
}

/// When something was learnt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    generation: u64,
    at_ns: u64,
}

impl HostFileSystem {
    /// Makes the file system of the export with this index in the boot configuration. Its root is
    /// a regular file if the export is one.
    pub fn new(index: usize, export: &Export) -> Arc<HostFileSystem> {
        Arc::new_cyclic(|this| HostFileSystem {
            this: this.clone(),
            export: index as u64,
            stable: export.stable,
            root_kind: if export.directory {
                FileKind::Directory
            } else {
                FileKind::Regular
            },
            generation: AtomicU64::new(0),
            ahead: Mutex::default(),
        })
    }

    pub(super) fn export(&self) -> u64 {
        self.export
    }

    pub(super) fn is_stable(&self) -> bool {
        self.stable
    }

    /// The present, to be stored with what the broker just said.
    pub(super) fn moment(&self) -> Moment {
        if self.stable {
            return Moment::default();
        }
        Moment {
            generation: self.generation.load(Ordering::Acquire),
            at_ns: platform().now(Clock::Monotonic),
        }
    }

    /// Whether something learnt then is still believed.
    pub(super) fn is_fresh(&self, moment: Moment) -> bool {
        self.stable
            || (moment.generation == self.generation.load(Ordering::Acquire)
                && platform().now(Clock::Monotonic).wrapping_sub(moment.at_ns) < LIFETIME_NS)
    }

    /// Voids what is known: the sandbox changes something.
    pub(super) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Keeps the inodes of a look-up until the next one.
    pub(super) fn keep_ahead(&self, inodes: Vec<Arc<HostInode>>) {
        let before = core::mem::replace(&mut *self.ahead.lock(), inodes);
        drop(before);
    }

    pub(super) fn shared(&self) -> Arc<HostFileSystem> {
        match self.this.upgrade() {
            Some(this) => this,
            // Nobody calls a method on a value that is gone.
            None => unreachable!("the file system is in use"),
        }
    }
}

impl FileSystem for HostFileSystem {
    fn root(&self) -> Arc<dyn Inode> {
        HostInode::root(self.shared(), self.root_kind)
    }

    fn statistics(&self) -> Result<FileSystemStatistics, Errno> {
        let [_, block_size, blocks, blocks_free, _, files, files_free, _] =
            protocol::statistics(self.export)?;
        Ok(FileSystemStatistics {
            block_size,
            blocks,
            blocks_free,
            files,
            files_free,
        })
    }

    fn type_name(&self) -> &'static str {
        "capsid"
    }

    fn magic(&self) -> u64 {
        MAGIC
    }

    fn caches_names(&self) -> bool {
        self.stable
    }
}
