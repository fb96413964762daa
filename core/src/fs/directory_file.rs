//! Open directories, getdents(2), and `O_PATH` files.

use crate::fs::{DirectoryEntry, File, FileKind, Inode, OpenFile};
use crate::io::{Destination, Source};
use crate::wait::Events;
use alloc::sync::Arc;
use capsid_platform::Errno;
use core::ops::ControlFlow;

/// Positions 1 and 2 lie after `.` and `..`; those of the file system follow, moved by this.
const POSITION_BASE: u64 = 2;

/// An open directory.
#[derive(Debug)]
pub struct DirectoryFile {
    inode: Arc<dyn Inode>,
}

impl DirectoryFile {
    pub(super) fn new(inode: Arc<dyn Inode>) -> DirectoryFile {
        DirectoryFile { inode }
    }
}

impl File for DirectoryFile {
    fn read(&self, _: u64, _: &mut Destination<'_>) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn sync(&self, _data_only: bool) -> Result<(), Errno> {
        Ok(())
    }
}

/// What `O_PATH` opens: a place, and no object.
#[derive(Debug)]
pub struct PathFile {
    inode: Arc<dyn Inode>,
}

impl PathFile {
    pub(super) fn new(inode: Arc<dyn Inode>) -> PathFile {
        PathFile { inode }
    }
}

impl File for PathFile {
    fn read(&self, _: u64, _: &mut Destination<'_>) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }

    fn write(&self, _: crate::fs::WriteAt, _: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        Err(Errno::EBADF)
    }

    fn readiness(&self) -> Events {
        Events::NVAL
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn set_attributes(&self, _: &crate::fs::AttributeChange) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }
}

impl OpenFile {
    /// Lists the directory from the description's position, `.` and `..` included, until `emit`
    /// breaks: the entry it broke at comes again next time. `ENOTDIR`, and `ENOENT` for a removed
    /// directory.
    pub fn read_directory(
        &self,
        emit: &mut dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        let path = self.path().ok_or(Errno::ENOTDIR)?;
        let directory = path.inode();
        if directory.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if path.dentry().is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let mut position = self.position.lock();
        if *position == 0 {
            let entry = entry_of(b".", &**directory, 1)?;
            if emit(entry).is_break() {
                return Ok(());
            }
            *position = 1;
        }
        if *position == 1 {
            let above = path.above();
            if emit(entry_of(b"..", &**above.inode(), 2)?).is_break() {
                return Ok(());
            }
            *position = POSITION_BASE;
        }
        let start = position.saturating_sub(POSITION_BASE);
        directory.read_directory(start, &mut |entry| {
            let next = entry.next.saturating_add(POSITION_BASE);
            let flow = emit(DirectoryEntry { next, ..entry });
            if flow.is_continue() {
                *position = next;
            }
            flow
        })
    }
}

fn entry_of<'a>(name: &'a [u8], inode: &dyn Inode, next: u64) -> Result<DirectoryEntry<'a>, Errno> {
    Ok(DirectoryEntry {
        name,
        inode: inode.metadata()?.inode,
        kind: FileKind::Directory,
        next,
    })
}
