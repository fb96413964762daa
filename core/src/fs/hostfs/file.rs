//! Open host files: bytes flow on the donated descriptor.

use super::descriptors::{Descriptor, Use};
use super::inode::HostInode;
use super::protocol;
use crate::fs::{Allocation, File, Inode, Mappable, StatusFlags, WriteAt};
use crate::io::{Destination, Source};
use alloc::sync::Arc;
use capsid_platform::{Backing, Errno};

/// An open host file.
#[derive(Debug)]
pub(super) struct HostFileDescription {
    inode: Arc<HostInode>,
    descriptor: Arc<Descriptor>,
    /// For a description that appends: the host moves each write to the end, so that writers
    /// outside the sandbox lose nothing.
    append: Option<Arc<Descriptor>>,
}

impl HostFileDescription {
    /// Opens an inode.
    pub(super) fn open(
        inode: Arc<HostInode>,
        flags: StatusFlags,
    ) -> Result<HostFileDescription, Errno> {
        let descriptor = inode.descriptor(if flags.writable() {
            Use::Write
        } else {
            Use::Read
        })?;
        let appends = flags.writable() && flags.contains(StatusFlags::APPEND);
        let append = appends.then(|| inode.descriptor(Use::Append)).transpose()?;
        Ok(HostFileDescription {
            inode,
            descriptor,
            append,
        })
    }
}

impl File for HostFileDescription {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let count = destination.remaining();
        destination.put_host(self.descriptor.file()?, offset, count)
    }

    fn write(&self, at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        let count = source.remaining();
        let written = match at {
            WriteAt::Offset(offset) => {
                let written = source.take_host(self.descriptor.file()?, offset, count)?;
                (written, offset.saturating_add(written as u64))
            }
            WriteAt::End => {
                let descriptor = match &self.append {
                    Some(descriptor) => descriptor.clone(),
                    None => self.inode.descriptor(Use::Append)?,
                };
                let written = source.take_host(descriptor.file()?, 0, count)?;
                let size = protocol::stat_handle(descriptor.handle())?.size;
                (written, size)
            }
        };
        self.inode.host().changed();
        Ok(written)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn allocate(&self, what: Allocation, offset: u64, length: u64) -> Result<(), Errno> {
        // FALLOC_FL_*.
        let mode = match what {
            Allocation::Extend => 0,
            Allocation::KeepSize => 1,
            Allocation::PunchHole => 3,
            Allocation::Collapse => 8,
            Allocation::Zero => 0x10,
            Allocation::ZeroKeepSize => 0x11,
            Allocation::Insert => 0x20,
        };
        let result = protocol::allocate(self.descriptor.handle(), mode, offset, length);
        self.inode.host().changed();
        result
    }

    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        if self.inode.host().is_stable() {
            return Ok(());
        }
        protocol::sync(self.descriptor.handle(), data_only)
    }

    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        Ok(self)
    }
}

impl Mappable for HostFileDescription {
    fn identity(&self) -> (u64, u64) {
        self.inode
            .metadata()
            .map_or((0, 0), |metadata| (metadata.device, metadata.inode))
    }

    fn version(&self) -> u64 {
        self.inode
            .stat()
            .map_or(0, |stat| stat.mtime_ns ^ stat.ctime_ns.rotate_left(32))
    }

    fn size(&self) -> u64 {
        self.inode.stat().map_or(0, |stat| stat.size)
    }

    fn backing(
        &self,
        offset: u64,
        length: u64,
        writable_shared: bool,
    ) -> Result<(Backing, u64), Errno> {
        // The host refuses a writable shared mapping of a descriptor opened for reading.
        let _ = writable_shared;
        Ok((Backing::HostFile(self.descriptor.file()?, offset), length))
    }
}
