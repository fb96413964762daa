//! Random operations on a small set of paths, for comparing trees.

use super::World;
use crate::fs::*;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::Errno;
use proptest::prelude::*;

/// One operation.
#[derive(Clone, Debug)]
pub(in crate::fs) enum Operation {
    Mkdir(String),
    Write(String, Vec<u8>),
    Append(String, Vec<u8>),
    Symlink(String, String),
    Unlink(String),
    Rmdir(String),
    Link(String, String),
    Rename(String, String),
    Exchange(String, String),
    Chmod(String, u32),
    SetXattr(String, u8),
}

fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c")];
    proptest::collection::vec(name, 1..4).prop_map(|names| {
        let mut path = String::new();
        for name in names {
            path.push('/');
            path.push_str(name);
        }
        path
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..6)
}

/// Sequences of operations.
pub(in crate::fs) fn operations(length: usize) -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        4 => path().prop_map(Operation::Mkdir),
        4 => (path(), bytes()).prop_map(|(path, bytes)| Operation::Write(path, bytes)),
        2 => (path(), bytes()).prop_map(|(path, bytes)| Operation::Append(path, bytes)),
        1 => (path(), path()).prop_map(|(target, path)| Operation::Symlink(target, path)),
        3 => path().prop_map(Operation::Unlink),
        3 => path().prop_map(Operation::Rmdir),
        2 => (path(), path()).prop_map(|(from, to)| Operation::Link(from, to)),
        5 => (path(), path()).prop_map(|(from, to)| Operation::Rename(from, to)),
        2 => (path(), path()).prop_map(|(from, to)| Operation::Exchange(from, to)),
        1 => (path(), 0..0o1000u32).prop_map(|(path, mode)| Operation::Chmod(path, mode)),
        1 => (path(), any::<u8>()).prop_map(|(path, value)| Operation::SetXattr(path, value)),
    ];
    proptest::collection::vec(operation, 1..length)
}

impl World {
    /// Performs an operation.
    pub(in crate::fs) fn apply(&self, operation: &Operation) -> Result<(), Errno> {
        let view = self.view();
        match operation {
            Operation::Mkdir(path) => self.mkdir(path),
            Operation::Write(path, bytes) => self.write(path, bytes),
            Operation::Append(path, bytes) => {
                let open = self.open(path, StatusFlags::WRITE_ONLY, CreationFlags::empty())?;
                let mut source = crate::io::Source::kernel(bytes);
                open.file.write(WriteAt::End, &mut source).map(drop)
            }
            Operation::Symlink(target, path) => self.symlink(target, path),
            Operation::Unlink(path) => self.unlink(path),
            Operation::Rmdir(path) => self.rmdir(path),
            Operation::Link(from, to) => {
                view.link(self.at(from), self.at(to), LookupFlags::empty())
            }
            Operation::Rename(from, to) => self.rename(from, to),
            Operation::Exchange(from, to) => {
                view.rename(self.at(from), self.at(to), RenameFlags::EXCHANGE)
            }
            Operation::Chmod(path, mode) => view.set_mode(&self.find(path)?, *mode),
            Operation::SetXattr(path, value) => {
                view.set_xattr(&self.find(path)?, b"user.x", &[*value], false, false)
            }
        }
    }

    /// All paths below the root, with what they are: type, mode, links, contents or target.
    pub(in crate::fs) fn snapshot(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut left = alloc::vec![String::new()];
        while let Some(directory) = left.pop() {
            for name in self.list(&alloc::format!("{directory}/")).unwrap() {
                if name == "." || name == ".." {
                    continue;
                }
                let path = alloc::format!("{directory}/{name}");
                let metadata = self.stat(&path).unwrap();
                let contents = match metadata.kind {
                    FileKind::Regular => alloc::format!("{:?}", self.read(&path).unwrap()),
                    FileKind::Symlink => {
                        let target = self.view().read_link(self.at(&path)).unwrap();
                        String::from_utf8(target).unwrap()
                    }
                    _ => "".to_string(),
                };
                let place = self.view().resolve(self.at(&path), LookupFlags::empty());
                let xattr = place.unwrap().inode().xattr(b"user.x").ok();
                let links = match metadata.kind {
                    FileKind::Directory => 0,
                    _ => metadata.links,
                };
                let mode = metadata.mode();
                found.insert(
                    path.clone(),
                    alloc::format!("{mode:o} {links} {contents} {xattr:?}"),
                );
                if metadata.kind == FileKind::Directory {
                    left.push(path);
                }
            }
        }
        found
    }
}
