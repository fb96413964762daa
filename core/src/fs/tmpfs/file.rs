//! Open files of tmpfs, and what of them can be mapped.
//!
//! The inode itself is the open object, so that opening allocates nothing; only files opened with
//! `O_NOATIME` need a value of their own.

use super::attributes::now;
use super::content::Content;
use super::inode::{Node, TmpInode};
use crate::fs::{Allocation, File, Inode, Mappable, StatusFlags, WriteAt};
use crate::io::{Destination, Source};
use alloc::sync::Arc;
use capsid_platform::{Backing, Errno};

/// Opens a regular file.
pub(super) fn open(inode: Arc<TmpInode>, flags: StatusFlags) -> Arc<dyn File> {
    if flags.contains(StatusFlags::NOATIME) {
        Arc::new(UntimedFile(inode))
    } else {
        inode
    }
}

impl TmpInode {
    fn content(&self) -> Result<&Content, Errno> {
        match &self.node {
            Node::Regular(content) => Ok(content),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl File for TmpInode {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let read = self.content()?.read(offset, destination)?;
        if read > 0 {
            self.attributes.accessed();
        }
        Ok(read)
    }

    fn write(&self, at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        let offset = match at {
            WriteAt::Offset(offset) => Some(offset),
            WriteAt::End => None,
        };
        let (written, end) = self.content()?.write(&self.tmpfs, offset, source)?;
        if written > 0 {
            self.attributes.drop_set_id();
            self.attributes.modified(now());
        }
        Ok((written, end))
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        let inode = self.itself()?;
        Some(inode)
    }

    fn metadata(&self) -> Result<crate::fs::Metadata, Errno> {
        Inode::metadata(self)
    }

    fn set_attributes(&self, change: &crate::fs::AttributeChange) -> Result<(), Errno> {
        Inode::set_attributes(self, change)
    }

    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        self.content()?.seek(offset, hole)
    }

    fn allocate(&self, what: Allocation, offset: u64, length: u64) -> Result<(), Errno> {
        self.content()?
            .allocate(&self.tmpfs, what, offset, length)?;
        self.attributes.drop_set_id();
        self.attributes.modified(now());
        Ok(())
    }

    fn sync(&self, _data_only: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn closed(&self, last: bool) {
        if last && let Ok(content) = self.content() {
            content.settle(&self.tmpfs);
        }
    }

    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        self.content().map_err(|_| Errno::ENODEV)?;
        Ok(self)
    }
}

impl Mappable for TmpInode {
    fn identity(&self) -> (u64, u64) {
        (self.tmpfs.device.encode(), self.number())
    }

    fn version(&self) -> u64 {
        self.content().map_or(0, Content::version)
    }

    fn size(&self) -> u64 {
        self.content().map_or(0, Content::size)
    }

    fn backing(
        &self,
        offset: u64,
        length: u64,
        writable_shared: bool,
    ) -> Result<(Backing, u64), Errno> {
        let content = self.content()?;
        let (page, length) = content.backing(&self.tmpfs, offset, length, writable_shared)?;
        let backing = page.map_or(Backing::Anonymous, Backing::Pool);
        Ok((backing, length))
    }

    fn hold(&self, _offset: u64, length: u64, mapped: bool) {
        if let Ok(content) = self.content() {
            content.hold(&self.tmpfs, length, mapped);
        }
    }
}

/// A file whose reads leave the access time alone.
#[derive(Debug)]
struct UntimedFile(Arc<TmpInode>);

impl File for UntimedFile {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        self.0.content()?.read(offset, destination)
    }

    fn write(&self, at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        self.0.write(at, source)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.0.clone())
    }

    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        self.0.seek_data(offset, hole)
    }

    fn allocate(&self, what: Allocation, offset: u64, length: u64) -> Result<(), Errno> {
        self.0.allocate(what, offset, length)
    }

    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        self.0.sync(data_only)
    }

    fn closed(&self, last: bool) {
        self.0.closed(last);
    }

    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        self.0.mappable()
    }
}
