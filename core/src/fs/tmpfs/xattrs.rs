//! Extended attributes of tmpfs inodes, xattr(7).

use crate::sync::Mutex;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use capsid_platform::Errno;

/// Bytes of names and values one inode may hold: a guest must not fill the kernel heap with them.
const BYTES_MAX: usize = 1 << 20;

/// The attributes of one inode.
#[derive(Debug, Default)]
pub(super) struct Xattrs(Mutex<Option<Box<Values>>>);

/// Values by name.
type Values = BTreeMap<Vec<u8>, Vec<u8>>;

impl Xattrs {
    pub(super) fn get(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let map = self.0.lock();
        let value = map.as_ref().and_then(|map| map.get(name));
        value.cloned().ok_or(Errno::ENODATA)
    }

    pub(super) fn set(
        &self,
        name: &[u8],
        value: &[u8],
        create: bool,
        replace: bool,
    ) -> Result<(), Errno> {
        let mut map = self.0.lock();
        let map = map.get_or_insert_default();
        let exists = map.contains_key(name);
        if create && exists {
            return Err(Errno::EEXIST);
        }
        if replace && !exists {
            return Err(Errno::ENODATA);
        }
        let used: usize = map
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if used + name.len() + value.len() > BYTES_MAX {
            return Err(Errno::ENOSPC);
        }
        map.insert(name.to_vec(), value.to_vec());
        Ok(())
    }

    pub(super) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        let mut map = self.0.lock();
        let removed = map.as_mut().and_then(|map| map.remove(name));
        removed.map(drop).ok_or(Errno::ENODATA)
    }

    pub(super) fn names(&self) -> Vec<Vec<u8>> {
        let map = self.0.lock();
        map.iter().flat_map(|map| map.keys().cloned()).collect()
    }
}
