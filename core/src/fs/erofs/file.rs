//! Open files of an image: read and mapped where they are.
//!
//! The inode itself is the open object, so that opening allocates nothing.

use super::inode::ErofsInode;
use super::node::Extent;
use crate::fs::{File, Inode, Mappable, Metadata};
use crate::io::Destination;
use crate::memory::{Contents, pool};
use alloc::sync::Arc;
use capsid_platform::{Backing, Errno, IoSource, PAGE_SIZE, PoolPage, platform};

const PAGE: u64 = PAGE_SIZE as u64;

impl File for ErofsInode {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let image = &self.erofs.image;
        let mut done = 0;
        loop {
            let wanted = destination.remaining() as u64;
            let extent = self.node.extent(image, offset + done as u64, wanted);
            let moved = match extent {
                Ok(None) => return Ok(done),
                Ok(Some(Extent::Stored(start, length))) => {
                    let bytes = image.bytes(start, length)?;
                    destination.put(bytes).map(|moved| (moved, bytes.len()))
                }
                Ok(Some(Extent::Hole(length))) => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    destination.put_zeros(length).map(|moved| (moved, length))
                }
                Err(error) => Err(error),
            };
            match moved {
                Ok((moved, length)) => {
                    done += moved;
                    if moved < length {
                        return Ok(done);
                    }
                }
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        let inode = self.itself()?;
        Some(inode)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Inode::metadata(self)
    }

    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        let mut position = offset;
        let mut within = false;
        while let Some(extent) = self.node.extent(&self.erofs.image, position, u64::MAX)? {
            if matches!(extent, Extent::Hole(_)) == hole {
                return Ok(position);
            }
            within = true;
            position += extent.length();
        }
        // The end of a file is a hole.
        if hole && within {
            Ok(position)
        } else {
            Err(Errno::ENXIO)
        }
    }

    fn sync(&self, _data_only: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        Ok(self)
    }
}

impl Mappable for ErofsInode {
    fn identity(&self) -> (u64, u64) {
        (self.erofs.device.encode(), self.node.nid)
    }

    fn version(&self) -> u64 {
        0
    }

    fn size(&self) -> u64 {
        self.node.size
    }

    fn backing(
        &self,
        offset: u64,
        length: u64,
        _writable_shared: bool,
    ) -> Result<(Backing, u64), Errno> {
        // A file that was opened for reading is never mapped for shared writes.
        let image = &self.erofs.image;
        match self.node.extent(image, offset, length)? {
            // Behind the end: nothing that any read would show.
            None => Ok((Backing::Anonymous, length)),
            Some(Extent::Hole(hole)) => Ok((Backing::Anonymous, hole.next_multiple_of(PAGE))),
            Some(Extent::Stored(start, stored)) => {
                let pages = stored.next_multiple_of(PAGE);
                if start.is_multiple_of(PAGE) && image.bytes(start, pages).is_ok() {
                    return Ok((Backing::Image(start), pages));
                }
                let whole = stored / PAGE * PAGE;
                if start.is_multiple_of(PAGE) && whole > 0 {
                    return Ok((Backing::Image(start), whole));
                }
                let tail = image.bytes(start, stored.min(PAGE))?;
                Ok((Backing::Pool(self.tail_page(tail)?), PAGE))
            }
        }
    }
}

impl ErofsInode {
    /// The page of the pool that holds the file's last bytes, which share a page of the image
    /// with other things. It lives as long as the inode, which mappings keep.
    fn tail_page(&self, bytes: &[u8]) -> Result<PoolPage, Errno> {
        let mut tail = self.tail.lock();
        if let Some(extent) = *tail {
            return Ok(extent.start);
        }
        let allocated = pool().allocate(1, None, Contents::Zeroed);
        let extent = allocated.ok_or(Errno::ENOMEM)?.extent;
        platform().pool_write(extent.start, 0, IoSource::Kernel(bytes));
        *tail = Some(extent);
        Ok(extent.start)
    }
}

impl Drop for ErofsInode {
    fn drop(&mut self) {
        if let Some(extent) = self.tail.get_mut().take() {
            pool().free(extent);
        }
    }
}
