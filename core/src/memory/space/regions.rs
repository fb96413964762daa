//! What is mapped where: for `/proc/pid/maps`, and the keys of futexes.

use super::vma::{Object, Vma};
use super::{AddressSpace, VmaFlags};
use crate::fs::OpenFile;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::{Errno, GuestAddr, GuestRange, Protection, Sharing};

/// What the memory at an address is, for those who meet there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// The process's own: address space and address.
    Private(u64, u64),
    /// Shared: the identity of the bytes, and the byte offset in them.
    Shared((u64, u64), u64),
}

/// One mapping, as a listing shows it.
#[derive(Clone, Debug)]
pub struct Region {
    /// The addresses.
    pub range: GuestRange,
    /// What the guest may do.
    pub protection: Protection,
    /// What it could be allowed.
    pub allowed: Protection,
    /// Whose writes it shows.
    pub sharing: Sharing,
    /// Properties.
    pub flags: VmaFlags,
    /// The file that it maps.
    pub file: Option<Arc<OpenFile>>,
    /// Byte offset in the file.
    pub offset: u64,
}

impl Region {
    fn new(range: GuestRange, start: u64, vma: &Vma) -> Region {
        let file = vma.file_at(start, range.start());
        Region {
            range,
            protection: vma.protection,
            allowed: vma.allowed,
            sharing: vma.sharing,
            flags: vma.flags,
            offset: file.map_or(0, |(_, offset)| offset),
            file: file.map(|(file, _)| file.clone()),
        }
    }
}

impl AddressSpace {
    /// All mappings, in order.
    #[must_use]
    pub fn regions(&self) -> Vec<Region> {
        let map = self.map.lock();
        map.tree
            .iter()
            .filter(|(_, vma)| vma.is_mapping())
            .filter_map(|(start, vma)| {
                Some(Region::new(
                    GuestRange::between(start, vma.end)?,
                    start,
                    vma,
                ))
            })
            .collect()
    }

    /// The mapping at an address.
    #[must_use]
    pub fn region_at(&self, address: u64) -> Option<Region> {
        let map = self.map.lock();
        let (start, vma) = map.tree.find(address)?;
        Some(Region::new(
            GuestRange::between(start, vma.end)?,
            start,
            vma,
        ))
    }

    /// The private executable mapping of a file at an address: what can be patched.
    #[must_use]
    pub fn executable_file_at(&self, address: u64) -> Option<Region> {
        let region = self.region_at(address)?;
        let executable = region.protection.contains(Protection::EXECUTE)
            && !region.protection.contains(Protection::WRITE);
        (executable && region.sharing == Sharing::Private && region.file.is_some())
            .then_some(region)
    }

    /// What the memory at an address is: `EFAULT` if nothing is mapped there.
    pub fn locate(&self, address: GuestAddr) -> Result<Location, Errno> {
        let map = self.map.lock();
        let (start, vma) = map.tree.find(address.0).ok_or(Errno::EFAULT)?;
        if vma.sharing == Sharing::Shared
            && let Object::File { file, offset } = &vma.object
            && let Ok(mappable) = file.file.mappable()
        {
            let offset = offset + (address.0 - start);
            return Ok(Location::Shared(mappable.identity(), offset));
        }
        Ok(Location::Private(self.id, address.0))
    }
}
