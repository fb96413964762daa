//! What nodes that hold no data lead to: FIFOs and devices.

use crate::fs::{DeviceId, File, FileKind, Inode, StatusFlags};
use crate::ipc::pipe;
use crate::sync::{Mutex, RwLock};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use capsid_platform::Errno;
use core::any::Any;
use core::fmt;

/// A place on an inode for what another part of the library OS keeps there.
#[derive(Default)]
pub struct Attachment(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

impl Attachment {
    /// What is attached, if it is a `T`.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.lock().clone()?.downcast().ok()
    }

    /// What is attached, or else what `make` makes, which is attached then. `None` if something
    /// that is no `T` is attached.
    pub fn get_or_attach<T: Any + Send + Sync>(
        &self,
        make: impl FnOnce() -> Arc<T>,
    ) -> Option<Arc<T>> {
        let mut slot = self.0.lock();
        let attached = slot.get_or_insert_with(|| make());
        attached.clone().downcast().ok()
    }

    /// Replaces what is attached.
    pub fn set(&self, attached: Option<Arc<dyn Any + Send + Sync>>) {
        let before = core::mem::replace(&mut *self.0.lock(), attached);
        drop(before);
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attachment")
    }
}

/// Opens the devices of one major number.
pub trait DeviceDriver: Send + Sync {
    /// Opens the device: `ENXIO` if there is none of that number.
    fn open(
        &self,
        device: DeviceId,
        inode: &Arc<dyn Inode>,
        flags: StatusFlags,
    ) -> Result<Arc<dyn File>, Errno>;
}

static DRIVERS: RwLock<BTreeMap<u32, &'static dyn DeviceDriver>> = RwLock::new(BTreeMap::new());

/// Makes `driver` open the character devices of `major`.
pub fn register_driver(major: u32, driver: &'static dyn DeviceDriver) {
    DRIVERS.write().insert(major, driver);
}

/// Opens what a device node stands for: `ENXIO` if nothing drives it.
pub(super) fn open_device(
    inode: &Arc<dyn Inode>,
    flags: StatusFlags,
) -> Result<Arc<dyn File>, Errno> {
    if inode.kind() != FileKind::CharacterDevice {
        return Err(Errno::ENXIO);
    }
    let device = inode.metadata()?.special_device;
    let driver = DRIVERS.read().get(&device.major).copied();
    driver.ok_or(Errno::ENXIO)?.open(device, inode, flags)
}

/// Opens a FIFO: the pipe hangs on the inode's attachment.
pub(super) fn open_fifo(
    inode: &Arc<dyn Inode>,
    flags: StatusFlags,
) -> Result<Arc<dyn File>, Errno> {
    Ok(Arc::new(pipe::open_fifo(inode, flags)?))
}
