//! Inodes of host files: what is known of one path of an export.

use super::children::Children;
use super::descriptors::{Descriptor, Descriptors, Use, note_open_after_look};
use super::file::HostFileDescription;
use super::file_system::{HostFileSystem, Moment};
use super::protocol;
use crate::fs::write_access::WriteAccess;
use crate::fs::{
    Attachment, AttributeChange, DeviceId, DirectoryEntry, File, FileKind, FileSystem, Inode,
    Metadata, NewNode, Owner, RenameFlags, StatusFlags,
};
use crate::sync::{Mutex, RwLock};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use capsid_platform::Errno;
use capsid_wire::HostStat;
use core::fmt;
use core::ops::ControlFlow;

/// Set in the device numbers of host files, so that they never equal those of the library OS's own
/// file systems.
const HOST_DEVICE: u64 = 1 << 47;

/// A host file, directory or symlink, by one of its paths.
pub(super) struct HostInode {
    this: Weak<HostInode>,
    file_system: Arc<HostFileSystem>,
    kind: FileKind,
    place: RwLock<HostPlace>,
    known: Mutex<Known>,
    /// What the symlink says, and when that was learnt.
    target: Mutex<Option<(Arc<[u8]>, Moment)>>,
    pub(super) children: Children,
    descriptors: Descriptors,
    attachment: Attachment,
    write_access: WriteAccess,
}

/// Where an inode is.
#[derive(Clone)]
pub(super) struct HostPlace {
    /// The directory, and the name in it; `None` for the root.
    pub(super) parent: Option<Arc<HostInode>>,
    pub(super) name: Arc<[u8]>,
    /// The name was removed: only a descriptor reaches the file.
    pub(super) removed: bool,
}

#[derive(Clone, Copy)]
struct Known {
    stat: HostStat,
    moment: Option<Moment>,
}

impl HostInode {
    /// The root of an export, of which nothing is known yet.
    pub(super) fn root(file_system: Arc<HostFileSystem>, kind: FileKind) -> Arc<HostInode> {
        let place = HostPlace {
            parent: None,
            name: [].into(),
            removed: false,
        };
        let known = Known {
            stat: HostStat::default(),
            moment: None,
        };
        HostInode::with(file_system, kind, place, known)
    }

    /// The inode of a name that the broker described.
    pub(super) fn new(
        parent: &Arc<HostInode>,
        name: &[u8],
        stat: HostStat,
        moment: Moment,
    ) -> Result<Arc<HostInode>, Errno> {
        let kind = FileKind::from_mode(stat.mode).ok_or(Errno::EIO)?;
        let place = HostPlace {
            parent: Some(parent.clone()),
            name: name.into(),
            removed: false,
        };
        let known = Known {
            stat,
            moment: Some(moment),
        };
        let file_system = parent.file_system.clone();
        Ok(HostInode::with(file_system, kind, place, known))
    }

    fn with(
        file_system: Arc<HostFileSystem>,
        kind: FileKind,
        place: HostPlace,
        known: Known,
    ) -> Arc<HostInode> {
        Arc::new_cyclic(|this| HostInode {
            this: this.clone(),
            file_system,
            kind,
            place: RwLock::new(place),
            known: Mutex::new(known),
            target: Mutex::default(),
            children: Children::default(),
            descriptors: Descriptors::default(),
            attachment: Attachment::default(),
            write_access: WriteAccess::default(),
        })
    }

    /// This inode, shared.
    pub(super) fn me(&self) -> Result<Arc<HostInode>, Errno> {
        self.this.upgrade().ok_or(Errno::ESTALE)
    }

    pub(super) fn host(&self) -> &Arc<HostFileSystem> {
        &self.file_system
    }

    pub(super) fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Where it is now.
    pub(super) fn place(&self) -> HostPlace {
        self.place.read().clone()
    }

    /// Moves it, or takes it away.
    pub(super) fn set_place(&self, place: HostPlace) {
        let before = core::mem::replace(&mut *self.place.write(), place);
        drop(before);
    }

    /// Marks the name as removed.
    pub(super) fn set_removed(&self) {
        self.place.write().removed = true;
        self.descriptors.forget_idle();
    }

    /// The path from the export's root: `ENOENT` if a name on it was removed.
    pub(super) fn path(&self) -> Result<Vec<u8>, Errno> {
        let mut names = Vec::new();
        let mut place = self.place();
        while let Some(parent) = place.parent {
            if place.removed {
                return Err(Errno::ENOENT);
            }
            names.push(place.name);
            place = parent.place();
        }
        names.reverse();
        Ok(names.join(&b'/'))
    }

    /// The path of a name in this directory.
    pub(super) fn path_of(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut path = self.path()?;
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Ok(path)
    }

    /// Takes new attributes from the broker.
    pub(super) fn learn(&self, stat: HostStat, moment: Moment) {
        *self.known.lock() = Known {
            stat,
            moment: Some(moment),
        };
    }

    /// Keeps what a symlink says.
    pub(super) fn learn_target(&self, target: &[u8], moment: Moment) {
        *self.target.lock() = Some((target.into(), moment));
    }

    /// Whether its attributes are known and believed.
    pub(super) fn is_fresh(&self) -> bool {
        let moment = self.known.lock().moment;
        moment.is_some_and(|moment| self.file_system.is_fresh(moment))
    }

    /// Whether attributes describe this very object.
    pub(super) fn is_described_by(&self, stat: &HostStat) -> bool {
        let known = self.known.lock().stat;
        (known.device, known.inode) == (stat.device, stat.inode)
            && FileKind::from_mode(stat.mode) == Some(self.kind)
    }

    /// The attributes, asked for if need be.
    pub(super) fn stat(&self) -> Result<HostStat, Errno> {
        let known = *self.known.lock();
        if known
            .moment
            .is_some_and(|moment| self.file_system.is_fresh(moment))
        {
            return Ok(known.stat);
        }
        let moment = self.file_system.moment();
        let stat = match self.descriptors.handle() {
            Some(descriptor) => protocol::stat_handle(descriptor.handle())?,
            None => protocol::stat(self.file_system.export(), &self.path()?)?,
        };
        self.learn(stat, moment);
        Ok(stat)
    }

    /// A descriptor of this file or directory.
    pub(super) fn descriptor(&self, wanted: Use) -> Result<Arc<Descriptor>, Errno> {
        if let Some(descriptor) = self.descriptors.get(wanted) {
            return Ok(descriptor);
        }
        let path = self.path()?;
        if wanted == Use::Read && self.is_fresh() {
            note_open_after_look();
        }
        let moment = self.file_system.moment();
        let stable = self.file_system.is_stable();
        let (descriptor, stat) =
            Descriptor::open(self.file_system.export(), &path, wanted, stable)?;
        // A file that took the name meanwhile is not this one.
        if self.known.lock().moment.is_some() && !self.is_described_by(&stat) {
            return Err(Errno::ESTALE);
        }
        self.learn(stat, moment);
        Ok(self.descriptors.put(wanted, descriptor))
    }
}

impl Inode for HostInode {
    fn metadata(&self) -> Result<Metadata, Errno> {
        let stat = self.stat()?;
        Ok(Metadata {
            device: stat.device | HOST_DEVICE,
            inode: stat.inode,
            kind: self.kind,
            permissions: stat.mode & 0o7777,
            links: stat.links,
            owner: Owner {
                user: stat.user,
                group: stat.group,
            },
            special_device: DeviceId::decode(stat.special_device),
            size: stat.size,
            blocks: stat.blocks,
            block_size: 4096,
            atime: stat.atime_ns,
            mtime: stat.mtime_ns,
            ctime: stat.ctime_ns,
            btime: stat.btime_ns,
        })
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    fn is_same(&self, other: &dyn Inode) -> bool {
        let other: &dyn core::any::Any = other;
        other.downcast_ref::<HostInode>().is_some_and(|other| {
            // Both may be the same object: its lock must be free again.
            let stat = other.known.lock().stat;
            self.is_described_by(&stat)
        })
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.file_system.clone()
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        let export = self.file_system.export();
        let result = match self.descriptors.handle() {
            Some(descriptor) => {
                let target = protocol::Target::Handle(descriptor.handle());
                protocol::set_attributes(target, change)
            }
            None => {
                let path = self.path()?;
                protocol::set_attributes(protocol::Target::Path(export, &path), change)
            }
        };
        // Some of it may have been done even if all of it was not.
        self.file_system.changed();
        let moment = self.file_system.moment();
        self.learn(result?, moment);
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        self.lookup_ahead(name, b"")
    }

    fn lookup_ahead(&self, name: &[u8], rest: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.find(name, rest)?)
    }

    fn create(
        &self,
        name: &[u8],
        node: NewNode<'_>,
        permissions: u32,
        owner: Owner,
    ) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.make(name, node, permissions, owner)?)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        self.make_link(name, target)
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove(name, 0)
    }

    fn remove_directory(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove(name, 1)
    }

    fn rename(
        &self,
        name: &[u8],
        new_parent: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        self.move_name(name, new_parent, new_name, flags)
    }

    fn read_directory(
        &self,
        position: u64,
        emit: &mut dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        self.list(position, emit)
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        if self.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        if let Some((target, moment)) = &*self.target.lock()
            && self.file_system.is_fresh(*moment)
        {
            return Ok(target.to_vec());
        }
        let moment = self.file_system.moment();
        let target = protocol::read_link(self.file_system.export(), &self.path()?)?;
        self.learn_target(&target, moment);
        Ok(target)
    }

    fn attachment(&self) -> Option<&Attachment> {
        Some(&self.attachment)
    }

    fn write_access(&self) -> Option<&WriteAccess> {
        Some(&self.write_access)
    }

    fn open(self: Arc<Self>, flags: StatusFlags) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(HostFileDescription::open(self, flags)?))
    }
}

impl fmt::Debug for HostInode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().unwrap_or_default();
        f.debug_struct("HostInode")
            .field("path", &alloc::string::String::from_utf8_lossy(&path))
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
