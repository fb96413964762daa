//! tmpfs: files in the page pool, tmpfs(5).
//!
//! Access times are kept as with Linux's `relatime`, without its daily update: a read moves the
//! access time only if a change came after it.

mod allocation;
mod attributes;
mod content;
mod directory;
mod extents;
mod file;
mod inode;
mod rename;
mod spare;
mod xattrs;

use crate::fs::{
    DeviceId, FileSystem, FileSystemStatistics, Inode, NewNode, Owner, anonymous_device,
};
use crate::memory::pool;
use crate::sync::Mutex;
use alloc::sync::Arc;
use capsid_platform::{Errno, PAGE_SIZE, PoolPage};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
pub(in crate::fs) use inode::TmpInode;

/// Limits and the root directory of a new tmpfs.
#[derive(Clone, Copy, Debug)]
pub struct TmpfsOptions {
    /// Most pages of contents; `None` for what the pool has.
    pub pages: Option<u64>,
    /// Permission bits of the root directory.
    pub mode: u32,
    /// Owner of the root directory.
    pub owner: Owner,
}

impl Default for TmpfsOptions {
    fn default() -> TmpfsOptions {
        TmpfsOptions {
            pages: None,
            mode: 0o755,
            owner: Owner::default(),
        }
    }
}

/// One tmpfs.
pub struct Tmpfs {
    device: DeviceId,
    /// Gone once unmounted: the inodes own the file system, so it must not own them for ever.
    root: Mutex<Option<Arc<TmpInode>>>,
    /// Held over every change of names, in whatever directories.
    names: Mutex<()>,
    next_inode: AtomicU64,
    inodes: AtomicU64,
    pages_max: u64,
    pages: AtomicU64,
}

impl Tmpfs {
    /// Makes an empty file system.
    #[must_use]
    pub fn new(options: TmpfsOptions) -> Arc<Tmpfs> {
        let tmpfs = Arc::new(Tmpfs {
            device: anonymous_device(),
            root: Mutex::new(None),
            names: Mutex::new(()),
            next_inode: AtomicU64::new(1),
            inodes: AtomicU64::new(0),
            pages_max: options.pages.unwrap_or(u64::MAX),
            pages: AtomicU64::new(0),
        });
        let root = TmpInode::new(&tmpfs, NewNode::Directory, options.mode, options.owner);
        root.attributes.add_links(2);
        *tmpfs.root.lock() = Some(root);
        tmpfs
    }

    /// Makes a file without a name, as memfd_create(2) does.
    pub fn unnamed(self: &Arc<Tmpfs>, permissions: u32, owner: Owner) -> Arc<dyn Inode> {
        TmpInode::new(self, NewNode::Regular, permissions, owner)
    }

    pub(in crate::fs) fn root_inode(&self) -> Option<Arc<TmpInode>> {
        self.root.lock().clone()
    }

    /// Allocates pages for a file: `ENOSPC`.
    fn allocate(
        &self,
        count: u64,
        near: Option<PoolPage>,
        contents: crate::memory::Contents,
    ) -> Result<crate::memory::Allocated, Errno> {
        let used = self.pages.load(Ordering::Relaxed);
        let room = self.pages_max.saturating_sub(used);
        let count = u32::try_from(count.min(room)).unwrap_or(u32::MAX);
        if count == 0 {
            return Err(Errno::ENOSPC);
        }
        let allocated = pool()
            .allocate(count, near, contents)
            .ok_or(Errno::ENOSPC)?;
        self.pages
            .fetch_add(allocated.extent.count.into(), Ordering::Relaxed);
        Ok(allocated)
    }

    /// How many pages can be allocated now.
    fn room(&self) -> u64 {
        let pool = pool();
        let used = self.pages.load(Ordering::Relaxed);
        let pool_free = u64::from(pool.limit().saturating_sub(pool.used()));
        self.pages_max.saturating_sub(used).min(pool_free)
    }

    fn free(&self, extent: crate::memory::Extent) {
        self.pages.fetch_sub(extent.count.into(), Ordering::Relaxed);
        pool().free(extent);
    }
}

impl FileSystem for Tmpfs {
    fn root(&self) -> Arc<dyn Inode> {
        match self.root_inode() {
            Some(root) => root,
            // Asked for only while mounted; an empty directory is what is left after that.
            None => {
                let empty = Tmpfs::new(TmpfsOptions::default());
                let root = empty.root.lock().take();
                match root {
                    Some(root) => root,
                    None => empty.unnamed(0, Owner::default()),
                }
            }
        }
    }

    fn statistics(&self) -> Result<FileSystemStatistics, Errno> {
        let blocks = self.pages_max.min(u64::from(pool().limit()));
        let inodes = self.inodes.load(Ordering::Relaxed);
        Ok(FileSystemStatistics {
            block_size: PAGE_SIZE as u64,
            blocks,
            blocks_free: self.room(),
            files: blocks,
            files_free: blocks.saturating_sub(inodes),
        })
    }

    fn type_name(&self) -> &'static str {
        "tmpfs"
    }

    fn magic(&self) -> u64 {
        0x0102_1994
    }

    fn unmounted(&self) {
        let root = self.root.lock().take();
        let mut left = alloc::vec::Vec::from_iter(root);
        while let Some(inode) = left.pop() {
            left.extend(inode.take_children());
        }
    }
}

impl fmt::Debug for Tmpfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tmpfs")
            .field("device", &self.device)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}
