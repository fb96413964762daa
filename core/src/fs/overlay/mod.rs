//! The overlay: read-only lower layers under a writable upper one.
//!
//! What differs from Linux's overlayfs: the upper layer is in memory and ours alone, so where a
//! directory's lower parts are, and which upper file was copied from which lower one, is kept in
//! maps of the overlay and not in extended attributes. That makes three things work that Linux
//! leaves to options: directories of lower layers can be renamed, hard links of lower files stay
//! together when one is copied up, and inode numbers never change. As on Linux, a descriptor that
//! was opened for reading before a file was copied up goes on reading the lower file.

mod copy_up;
mod file;
mod inode;
mod listing;
mod lookup;
mod names;
mod rename;

use crate::fs::{
    DeviceId, FileKind, FileSystem, FileSystemStatistics, Inode, Metadata, anonymous_device,
};
use crate::sync::Mutex;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::Errno;
use core::fmt;
use core::sync::atomic::AtomicU32;
use hashbrown::HashMap;
use inode::OverlayInode;

/// One overlay.
pub struct Overlay {
    this: Weak<Overlay>,
    device: DeviceId,
    upper: Arc<dyn FileSystem>,
    /// Top first.
    lowers: Vec<Arc<dyn FileSystem>>,
    /// Held over every change of names in the upper layer.
    names: Mutex<()>,
    records: Mutex<Records>,
}

/// What the overlay knows of inodes.
#[derive(Default)]
struct Records {
    /// Those in use: two names of one inode find the same.
    live: HashMap<Key, Weak<OverlayInode>>,
    /// By the number of an upper inode: the lower inode it was copied from.
    origins: HashMap<u64, Key>,
    /// By the number of an upper directory whose lower parts are not what the lower layers have
    /// in its place: what they are. Without any, it is opaque.
    lower_parts: HashMap<u64, Vec<Arc<dyn Inode>>>,
    /// Lower files with several links that were looked up.
    links: HashMap<Key, Arc<LowerLinks>>,
    /// Devices of lower layers, in the order in which they were met.
    devices: Vec<u64>,
}

/// What became of the links of a lower file that has several.
#[derive(Debug)]
struct LowerLinks {
    /// How many the lower layers have.
    count: u32,
    /// How many of them no longer show: they were removed, or the upper layer has the name.
    hidden: AtomicU32,
    /// The copy that the others lead to as well.
    copy: spin::Once<Arc<dyn Inode>>,
}

/// The identity of an inode: that of the layer it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// It was made in the upper layer.
    Upper(u64),
    /// It comes from a lower one: device and inode there.
    Lower(u64, u64),
}

impl Key {
    fn of_lower(metadata: &Metadata) -> Key {
        Key::Lower(metadata.device, metadata.inode)
    }
}

/// Added to the numbers of upper inodes. Lower ones are usually smaller, and keep theirs.
const UPPER_NUMBERS: u64 = 1 << 40;
/// Where the numbers of lower inodes have the index of their device.
const DEVICE_SHIFT: u32 = 41;

impl Records {
    /// The inode number that guests see.
    fn number(&mut self, key: Key) -> u64 {
        match key {
            Key::Upper(number) => UPPER_NUMBERS + number,
            Key::Lower(device, number) => {
                let known = self.devices.iter().position(|other| *other == device);
                let index = known.unwrap_or_else(|| {
                    self.devices.push(device);
                    self.devices.len() - 1
                });
                number ^ ((index as u64) << DEVICE_SHIFT)
            }
        }
    }
}

impl Overlay {
    /// Makes an overlay of `upper`, which nothing else may change, over `lowers`, top first.
    #[must_use]
    pub fn new(upper: Arc<dyn FileSystem>, lowers: Vec<Arc<dyn FileSystem>>) -> Arc<Overlay> {
        Arc::new_cyclic(|this| Overlay {
            this: this.clone(),
            device: anonymous_device(),
            upper,
            lowers,
            names: Mutex::new(()),
            records: Mutex::default(),
        })
    }

    /// Makes the root directory of the upper layer look like that of the first lower one.
    fn adopt_root(&self, upper: &Arc<dyn Inode>, lowers: &[Arc<dyn Inode>]) -> Result<(), Errno> {
        let Some(lower) = lowers.first() else {
            return Ok(());
        };
        upper.set_attributes(&copy_up::attributes_of(&lower.metadata()?))
    }

    /// The root directory's inode.
    fn root_inode(&self) -> Arc<OverlayInode> {
        let upper = self.upper.root();
        let lowers: Vec<_> = self.lowers.iter().map(|layer| layer.root()).collect();
        let key = Key::Upper(upper.metadata().map_or(0, |metadata| metadata.inode));
        if let Some(root) = self.live(key) {
            return root;
        }
        // A root directory that cannot be read keeps the upper layer's attributes.
        let _ = self.adopt_root(&upper, &lowers);
        let parts = inode::Parts {
            kind: FileKind::Directory,
            upper: Some(upper),
            lowers,
            place: None,
            links: None,
        };
        self.remember(key, parts)
    }

    fn live(&self, key: Key) -> Option<Arc<OverlayInode>> {
        self.records.lock().live.get(&key)?.upgrade()
    }

    /// The inode of `key`, made of `parts` if it is not in use.
    fn remember(&self, key: Key, parts: inode::Parts) -> Arc<OverlayInode> {
        let mut records = self.records.lock();
        if let Some(inode) = records.live.get(&key).and_then(Weak::upgrade) {
            return inode;
        }
        let number = records.number(key);
        let inode = OverlayInode::new(self.this.clone(), self.device, key, number, parts);
        records.live.insert(key, Arc::downgrade(&inode));
        inode
    }

    /// Forgets an inode that went out of use, unless another has taken its place, and what is
    /// known of its upper part if that is `gone` for good.
    fn forget(&self, key: Key, gone: Option<u64>) {
        let mut records = self.records.lock();
        let unused = |inode: &Weak<OverlayInode>| inode.strong_count() == 0;
        if records.live.get(&key).is_some_and(unused) {
            records.live.remove(&key);
        }
        let forgotten = gone.map(|number| {
            records.origins.remove(&number);
            let links = records.links.remove(&key);
            (records.lower_parts.remove(&number), links)
        });
        drop(records);
        drop(forgotten);
    }
}

impl FileSystem for Overlay {
    fn root(&self) -> Arc<dyn Inode> {
        self.root_inode()
    }

    fn statistics(&self) -> Result<FileSystemStatistics, Errno> {
        self.upper.statistics()
    }

    fn type_name(&self) -> &'static str {
        "overlay"
    }

    fn magic(&self) -> u64 {
        0x794c_7630
    }

    fn caches_names(&self) -> bool {
        self.lowers.iter().all(|layer| layer.caches_names())
    }

    fn unmounted(&self) {
        let records = core::mem::take(&mut *self.records.lock());
        drop(records);
        self.upper.unmounted();
        for layer in &self.lowers {
            layer.unmounted();
        }
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("upper", &self.upper)
            .field("lowers", &self.lowers)
            .finish_non_exhaustive()
    }
}

/// Whether an inode of a layer says that the name does not exist: a character device 0/0.
fn is_whiteout(inode: &dyn Inode) -> Result<bool, Errno> {
    if inode.kind() != FileKind::CharacterDevice {
        return Ok(false);
    }
    Ok(inode.metadata()?.special_device == DeviceId::default())
}
