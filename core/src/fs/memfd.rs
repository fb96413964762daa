//! Files that are memory, memfd_create(2), and their seals.

use crate::fs::tmpfs::{Tmpfs, TmpfsOptions};
use crate::fs::write_access::WriteAccess;
use crate::fs::{
    Allocation, AttributeChange, File, FileKind, FileSystem, Inode, Mappable, Metadata, OpenFile,
    Owner, Path, StatusFlags, WriteAt,
};
use crate::io::{Destination, Source};
use crate::sync::RwLock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bitflags::bitflags;
use capsid_platform::Errno;

bitflags! {
    /// Seals, with the bits of fcntl(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Seals: u32 {
        /// No more seals.
        const SEAL = 1;
        /// The file cannot shrink.
        const SHRINK = 2;
        /// The file cannot grow.
        const GROW = 4;
        /// The contents cannot change.
        const WRITE = 8;
        /// The contents cannot change but through mappings that exist.
        const FUTURE_WRITE = 16;
        /// The execute permissions cannot change.
        const EXECUTE = 32;
    }
}

impl Seals {
    /// Those that forbid writing.
    pub const NO_WRITE: Seals = Seals::WRITE.union(Seals::FUTURE_WRITE);
}

/// A file without a name, in memory. Whoever opens it, through `/proc/pid/fd`, finds its seals.
#[derive(Debug)]
struct MemfdInode {
    inode: Arc<dyn Inode>,
    /// Held for reading over every change of the file.
    seals: RwLock<Seals>,
}

/// The file, open.
#[derive(Debug)]
struct Memfd {
    file: Arc<dyn File>,
    inode: Arc<MemfdInode>,
}

/// Makes a file as memfd_create(2) does. Files with no seals at first may be sealed.
pub fn create(
    label: &[u8],
    permissions: u32,
    owner: Owner,
    seals: Seals,
) -> Result<OpenFile, Errno> {
    static FILES: spin::Once<Arc<Tmpfs>> = spin::Once::new();
    let tmpfs = FILES.call_once(|| Tmpfs::new(TmpfsOptions::default()));
    let inode = Arc::new(MemfdInode {
        inode: tmpfs.unnamed(permissions, owner),
        seals: RwLock::new(seals),
    });
    let file = inode.clone().open(StatusFlags::READ_WRITE)?;
    // Linux lets it be executed though this description can write: programs rely on it.
    let path = Path::detached(inode, label);
    Ok(OpenFile::at(file, StatusFlags::READ_WRITE, path))
}

impl MemfdInode {
    /// Changes the file to `size`, if given: `EPERM` if a seal forbids it.
    fn check(&self, seals: Seals, writes: bool, size: Option<u64>) -> Result<(), Errno> {
        let forbidden = writes && seals.intersects(Seals::NO_WRITE);
        let resized = size.filter(|_| seals.intersects(Seals::GROW | Seals::SHRINK));
        let resized = match resized {
            None => false,
            Some(size) => {
                let now = self.inode.metadata()?.size;
                (size > now && seals.contains(Seals::GROW))
                    || (size < now && seals.contains(Seals::SHRINK))
            }
        };
        if forbidden || resized {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}

impl Inode for MemfdInode {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn kind(&self) -> FileKind {
        self.inode.kind()
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        self.inode.file_system()
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        let seals = self.seals.read();
        self.check(*seals, false, change.size)?;
        if let Some(permissions) = change.permissions
            && seals.contains(Seals::EXECUTE)
            && (permissions ^ self.inode.permissions()?.1) & 0o111 != 0
        {
            return Err(Errno::EPERM);
        }
        self.inode.set_attributes(change)
    }

    fn open(self: Arc<Self>, flags: StatusFlags) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(Memfd {
            file: self.inode.clone().open(flags)?,
            inode: self,
        }))
    }

    fn mapped_identity(&self) -> Option<(u64, u64)> {
        self.inode.mapped_identity()
    }

    fn write_access(&self) -> Option<&WriteAccess> {
        self.inode.write_access()
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.inode.xattr(name)
    }

    fn set_xattr(
        &self,
        name: &[u8],
        value: &[u8],
        create: bool,
        replace: bool,
    ) -> Result<(), Errno> {
        self.inode.set_xattr(name, value, create, replace)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.inode.remove_xattr(name)
    }

    fn xattr_names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        self.inode.xattr_names()
    }
}

impl File for Memfd {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        self.file.read(offset, destination)
    }

    fn write(&self, at: WriteAt, source: &mut Source<'_>) -> Result<(usize, u64), Errno> {
        let inode = &*self.inode;
        let seals = inode.seals.read();
        let start = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => inode.metadata()?.size,
        };
        let end = start.saturating_add(source.remaining() as u64);
        if seals.contains(Seals::GROW) {
            inode.check(*seals, true, Some(end.max(inode.metadata()?.size)))?;
        } else {
            inode.check(*seals, true, None)?;
        }
        self.file.write(at, source)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        self.inode.set_attributes(change)
    }

    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64, Errno> {
        self.file.seek_data(offset, hole)
    }

    fn allocate(&self, what: Allocation, offset: u64, length: u64) -> Result<(), Errno> {
        let seals = self.inode.seals.read();
        let end = offset.saturating_add(length);
        let (writes, size) = match what {
            Allocation::Extend => (false, Some(end.max(self.inode.metadata()?.size))),
            Allocation::KeepSize => (false, None),
            Allocation::Zero => (true, Some(end.max(self.inode.metadata()?.size))),
            _ => (true, None),
        };
        self.inode.check(*seals, writes, size)?;
        self.file.allocate(what, offset, length)
    }

    fn sync(&self, data_only: bool) -> Result<(), Errno> {
        self.file.sync(data_only)
    }

    fn closed(&self, last: bool) {
        self.file.closed(last);
    }

    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        self.file.mappable()
    }

    fn seals(&self) -> Result<u32, Errno> {
        Ok(self.inode.seals.read().bits())
    }

    fn add_seals(&self, seals: u32) -> Result<(), Errno> {
        let new = Seals::from_bits(seals).ok_or(Errno::EINVAL)?;
        let mut seals = self.inode.seals.write();
        if seals.contains(Seals::SEAL) {
            return Err(Errno::EPERM);
        }
        seals.insert(new);
        if new.contains(Seals::EXECUTE) && self.inode.permissions()?.1 & 0o111 != 0 {
            // A sealed executable does not change either.
            seals.insert(Seals::SHRINK | Seals::GROW | Seals::NO_WRITE);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Seals, create};
    use crate::fs::{AttributeChange, Owner, StatusFlags, WriteAt};
    use crate::io::{Destination, Source};
    use crate::test_platform::install;
    use capsid_platform::Errno;

    #[test]
    fn seals_forbid_what_they_say() {
        install();
        let open = create(
            b"/memfd:x (deleted)",
            0o777,
            Owner::default(),
            Seals::empty(),
        );
        let open = open.unwrap();
        let file = &open.file;
        let write = |offset, bytes| file.write(WriteAt::Offset(offset), &mut Source::kernel(bytes));
        assert_eq!(write(0, b"hello"), Ok((5, 5)));
        let resize = |size| {
            file.set_attributes(&AttributeChange {
                size: Some(size),
                ..AttributeChange::default()
            })
        };
        file.add_seals(Seals::GROW.bits()).unwrap();
        assert_eq!(resize(6), Err(Errno::EPERM));
        assert_eq!(write(3, b"abc"), Err(Errno::EPERM));
        assert_eq!(write(3, b"ab"), Ok((2, 5)));
        assert_eq!(resize(4), Ok(()));
        file.add_seals((Seals::SHRINK | Seals::WRITE).bits())
            .unwrap();
        assert_eq!(resize(3), Err(Errno::EPERM));
        assert_eq!(write(0, b"j"), Err(Errno::EPERM));
        let mut bytes = [0; 8];
        assert_eq!(file.read(0, &mut Destination::kernel(&mut bytes)), Ok(4));
        assert_eq!(&bytes[..4], b"hela");
        let again = open
            .path()
            .unwrap()
            .inode()
            .clone()
            .open(StatusFlags::READ_WRITE)
            .unwrap();
        let write = again.write(WriteAt::Offset(0), &mut Source::kernel(b"j"));
        assert_eq!(write, Err(Errno::EPERM));
        assert_eq!(again.seals(), file.seals());
        file.add_seals(Seals::SEAL.bits()).unwrap();
        assert_eq!(file.add_seals(Seals::WRITE.bits()), Err(Errno::EPERM));
        assert_eq!(file.seals(), Ok(15));
    }
}
