//! Tests of the walk and the operations over tmpfs.

mod attributes;
mod content;
mod devices;
mod mounts;
mod names;
pub(super) mod operations;
mod overlay;
mod speed;
mod stubs;
mod threads;
mod tree_model;
mod walk;

use crate::credentials::Credentials;
use crate::fs::tmpfs::{Tmpfs, TmpfsOptions};
use crate::fs::*;
use crate::io::{Destination, Source};
use crate::test_platform;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;

/// A namespace, and what a task needs to act in it.
pub(super) struct World {
    pub(super) namespace: Arc<MountNamespace>,
    pub(super) root: Path,
    pub(super) credentials: Credentials,
}

impl World {
    pub(super) fn new() -> World {
        test_platform::install();
        World::over(Tmpfs::new(TmpfsOptions::default()))
    }

    pub(super) fn over(file_system: Arc<dyn FileSystem>) -> World {
        let namespace = MountNamespace::new(file_system, MountFlags::empty(), b"none");
        let root = namespace.root();
        World {
            namespace,
            root,
            credentials: Credentials::new(0, 0),
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            namespace: &self.namespace,
            root: &self.root,
            credentials: &self.credentials,
            umask: 0o022,
        }
    }

    pub(super) fn at<'a>(&'a self, path: &'a str) -> Place<'a> {
        Place::new(&self.root, path.as_bytes())
    }

    pub(super) fn find(&self, path: &str) -> Result<Path, Errno> {
        self.view().resolve(self.at(path), LookupFlags::FOLLOW)
    }

    pub(super) fn stat(&self, path: &str) -> Result<Metadata, Errno> {
        self.view().metadata(self.at(path), LookupFlags::empty())
    }

    pub(super) fn open(
        &self,
        path: &str,
        flags: StatusFlags,
        creation: CreationFlags,
    ) -> Result<OpenFile, Errno> {
        let options = OpenOptions {
            creation,
            mode: 0o666,
            ..OpenOptions::new(flags)
        };
        self.view().open(self.at(path), &options)
    }

    pub(super) fn mkdir(&self, path: &str) -> Result<(), Errno> {
        self.view().make_directory(self.at(path), 0o777)
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Errno> {
        let creation = CreationFlags::CREATE | CreationFlags::TRUNCATE;
        let open = self.open(path, StatusFlags::WRITE_ONLY, creation)?;
        let mut source = Source::kernel(bytes);
        open.file.write(WriteAt::Offset(0), &mut source).map(drop)
    }

    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let open = self.open(path, StatusFlags::empty(), CreationFlags::empty())?;
        read_all(&open)
    }

    pub(super) fn symlink(&self, target: &str, path: &str) -> Result<(), Errno> {
        self.view().make_symlink(target.as_bytes(), self.at(path))
    }

    pub(super) fn unlink(&self, path: &str) -> Result<(), Errno> {
        self.view().unlink(self.at(path))
    }

    pub(super) fn rmdir(&self, path: &str) -> Result<(), Errno> {
        self.view().remove_directory(self.at(path))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        let flags = RenameFlags::empty();
        self.view().rename(self.at(from), self.at(to), flags)
    }

    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        let open = self.open(path, StatusFlags::DIRECTORY, CreationFlags::empty())?;
        let mut names = Vec::new();
        open.read_directory(&mut |entry| {
            names.push(String::from_utf8(entry.name.to_vec()).unwrap());
            core::ops::ControlFlow::Continue(())
        })?;
        Ok(names)
    }
}

pub(super) fn read_all(open: &OpenFile) -> Result<Vec<u8>, Errno> {
    let mut bytes = alloc::vec![0; 1 << 20];
    let count = open.file.read(0, &mut Destination::kernel(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}
