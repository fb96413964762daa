//! The memory devices, major 1: null(4), full(4), random(4).

use crate::fs::special::DeviceDriver;
use crate::fs::{DeviceId, File, Inode, Mappable, StatusFlags, WriteAt};
use crate::io::{Destination, Source};
use crate::random;
use alloc::sync::Arc;
use capsid_platform::{Backing, Errno};

/// The driver.
#[derive(Debug)]
pub(super) struct MemoryDevices;

/// What a memory device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Null,
    Zero,
    Full,
    Random,
    Log,
}

/// An open memory device.
#[derive(Debug)]
struct MemoryFile {
    device: Device,
    inode: Arc<dyn Inode>,
}

impl DeviceDriver for MemoryDevices {
    fn open(
        &self,
        device: DeviceId,
        inode: &Arc<dyn Inode>,
        _flags: StatusFlags,
    ) -> Result<Arc<dyn File>, Errno> {
        let device = match device.minor {
            3 => Device::Null,
            5 => Device::Zero,
            7 => Device::Full,
            8 | 9 => Device::Random,
            11 => Device::Log,
            _ => return Err(Errno::ENXIO),
        };
        Ok(Arc::new(MemoryFile {
            device,
            inode: inode.clone(),
        }))
    }
}

impl File for MemoryFile {
    fn read(&self, _: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        match self.device {
            Device::Null => Ok(0),
            Device::Zero | Device::Full => destination.put_zeros(destination.remaining()),
            Device::Random => random::put(destination),
            Device::Log => Err(Errno::EAGAIN),
        }
    }

    fn write(&self, at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        if self.device == Device::Full {
            return Err(Errno::ENOSPC);
        }
        // What is written to the random device would be mixed in: the seed is all that is needed.
        let count = source.skip(source.remaining());
        let offset = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => 0,
        };
        Ok((count, offset.saturating_add(count as u64)))
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn has_one_position(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        if self.device == Device::Zero {
            Ok(self)
        } else {
            Err(Errno::ENODEV)
        }
    }
}

/// `/dev/zero`: private mappings of it are anonymous memory.
impl Mappable for MemoryFile {
    fn identity(&self) -> (u64, u64) {
        self.inode
            .metadata()
            .map_or((0, 0), |metadata| (metadata.device, metadata.inode))
    }

    fn version(&self) -> u64 {
        0
    }

    fn size(&self) -> u64 {
        i64::MAX.cast_unsigned()
    }

    fn backing(
        &self,
        _offset: u64,
        length: u64,
        writable_shared: bool,
    ) -> Result<(Backing, u64), Errno> {
        if writable_shared {
            return Err(Errno::ENODEV);
        }
        Ok((Backing::Anonymous, length))
    }
}
