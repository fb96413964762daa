//! Open files of the overlay: those of a layer, with the overlay's attributes.

use super::inode::OverlayInode;
use crate::fs::{Allocation, AttributeChange, File, Inode, Mappable, Metadata, WriteAt};
use crate::io::{Destination, Source};
use alloc::sync::Arc;
use capsid_platform::Errno;

/// An open file. It stays with the layer it was opened in.
#[derive(Debug)]
pub(super) struct OverlayFile {
    file: Arc<dyn File>,
    inode: Arc<OverlayInode>,
}

impl OverlayFile {
    pub(super) fn new(file: Arc<dyn File>, inode: Arc<OverlayInode>) -> OverlayFile {
        OverlayFile { file, inode }
    }
}

impl File for OverlayFile {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        self.file.read(offset, destination)
    }

    fn write(&self, at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        self.file.write(at, source)
    }

    fn is_seekable(&self) -> bool {
        self.file.is_seekable()
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        if change.size.is_some() {
            // Only what is open for writing can be cut, and that is the upper layer's file.
            return self.file.set_attributes(change);
        }
        self.inode.set_attributes(change)
    }

    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        self.file.seek_data(offset, hole)
    }

    fn allocate(&self, what: Allocation, offset: u64, length: u64) -> Result<(), Errno> {
        self.file.allocate(what, offset, length)
    }

    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        self.file.sync(data_only)
    }

    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        self.file.mappable()
    }

    fn closed(&self, last: bool) {
        self.file.closed(last);
    }
}
