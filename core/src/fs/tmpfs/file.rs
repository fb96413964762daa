//! Open files of tmpfs, and what of them can be mapped.
//!
//! The inode itself is the open object, so that opening allocates nothing; only files opened with
//! `O_NOATIME`, or for writing by those whose writes take set-id bits away, need a value of their
//! own.

use super::attributes::now;
use super::content::Content;
use super::inode::{Node, TmpInode};
use crate::fs::{Allocation, File, Inode, Mappable, StatusFlags, WriteAt};
use crate::io::{Destination, Source};
use alloc::sync::Arc;
use capsid_platform::{Backing, Errno};

/// Opens a regular file.
pub(super) fn open(inode: Arc<TmpInode>, flags: StatusFlags) -> Arc<dyn File> {
    let keeps_time = flags.contains(StatusFlags::NOATIME);
    let drops_set_id = flags.writable() && !flags.contains(StatusFlags::KEEPS_SET_ID);
    if !keeps_time && !drops_set_id {
        return inode;
    }
    Arc::new(CarefulFile {
        inode,
        keeps_time,
        drops_set_id,
    })
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

/// A file whose reads leave the access time alone, or whose writes take set-id bits away.
#[derive(Debug)]
struct CarefulFile {
    inode: Arc<TmpInode>,
    keeps_time: bool,
    drops_set_id: bool,
}

impl CarefulFile {
    fn changed(&self) {
        if self.drops_set_id {
            self.inode.attributes.drop_set_id();
        }
    }
}

impl File for CarefulFile {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        if self.keeps_time {
            self.inode.content()?.read(offset, destination)
        } else {
            self.inode.read(offset, destination)
        }
    }

    fn write(&self, at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        let written = self.inode.write(at, source)?;
        self.changed();
        Ok(written)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn set_attributes(&self, change: &crate::fs::AttributeChange) -> Result<(), Errno> {
        Inode::set_attributes(&*self.inode, change)?;
        if change.size.is_some() {
            self.changed();
        }
        Ok(())
    }

    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        self.inode.seek_data(offset, hole)
    }

    fn allocate(&self, what: Allocation, offset: u64, length: u64) -> Result<(), Errno> {
        File::allocate(&*self.inode, what, offset, length)?;
        self.changed();
        Ok(())
    }

    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        self.inode.sync(data_only)
    }

    fn closed(&self, last: bool) {
        self.inode.closed(last);
    }

    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        self.inode.mappable()
    }
}
