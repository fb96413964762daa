//! What a tree of files looks like, from a host directory or from an image.

use capsid_core::fs::FileKind;
use capsid_core::fs::erofs::{Extent, Image, Node};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Files by path, `/` first.
pub type Snapshot = BTreeMap<Vec<u8>, Entry>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub mode: u32,
    pub owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    pub links: u64,
    /// Of regular files.
    pub size: u64,
    pub content: u64,
    pub target: Vec<u8>,
    pub device: u64,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path of the same inode.
    pub first_name: Vec<u8>,
}

/// Reads a directory of the host.
pub fn of_directory(top: &Path) -> Snapshot {
    let mut snapshot = Snapshot::new();
    let mut inodes = HashMap::new();
    let mut pending = vec![(b"/".to_vec(), top.to_owned())];
    while let Some((name, path)) = pending.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let kind = metadata.file_type();
        if kind.is_dir() {
            for entry in std::fs::read_dir(&path).unwrap() {
                let entry = entry.unwrap();
                pending.push((join(&name, entry.file_name().as_bytes()), entry.path()));
            }
        }
        let target = if kind.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            target.as_os_str().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        let is_device = kind.is_char_device() || kind.is_block_device();
        let entry = Entry {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            mtime: (
                metadata.mtime(),
                u32::try_from(metadata.mtime_nsec()).unwrap(),
            ),
            links: if kind.is_dir() { 0 } else { metadata.nlink() },
            size: if kind.is_file() { metadata.len() } else { 0 },
            content: if kind.is_file() { hash_file(&path) } else { 0 },
            target,
            device: if is_device { metadata.rdev() } else { 0 },
            xattrs: xattrs_of(&path),
            first_name: Vec::new(),
        };
        inodes.insert(name.clone(), (metadata.dev(), metadata.ino()));
        snapshot.insert(name, entry);
    }
    name_inodes(&mut snapshot, &inodes);
    snapshot
}

/// Reads an image.
pub fn of_image(bytes: &[u8]) -> Snapshot {
    let image = Image::new(bytes).unwrap();
    let mut snapshot = Snapshot::new();
    let mut inodes = HashMap::new();
    let mut pending = vec![(b"/".to_vec(), image.root())];
    while let Some((name, nid)) = pending.pop() {
        let node = Node::read(&image, nid).unwrap();
        if node.kind == FileKind::Directory {
            let listed = node.list(&image, 0, |entry, _| {
                let found = node.find(&image, entry.name).unwrap();
                assert_eq!(found, entry);
                let child = Node::read(&image, entry.nid).unwrap();
                assert_eq!(Some(child.kind), entry.kind);
                pending.push((join(&name, entry.name), entry.nid));
                Ok(ControlFlow::Continue(()))
            });
            listed.unwrap();
            assert_eq!(node.find(&image, b".").unwrap().nid, nid);
        }
        let target = match node.kind {
            FileKind::Symlink => read(&image, &node, node.size).unwrap(),
            _ => Vec::new(),
        };
        let is_file = node.kind == FileKind::Regular;
        let is_directory = node.kind == FileKind::Directory;
        let mut xattrs = BTreeMap::new();
        let none = node.each_attribute(&image, |attribute| {
            xattrs.insert(attribute.name(), attribute.value.to_vec());
            None::<()>
        });
        none.unwrap();
        let entry = Entry {
            mode: node.kind.mode_bits() | node.permissions,
            owner: (node.owner.user, node.owner.group),
            mtime: (node.mtime.0.cast_signed(), node.mtime.1),
            links: if is_directory { 0 } else { node.links.into() },
            size: if is_file { node.size } else { 0 },
            content: if is_file { hash_node(&image, &node) } else { 0 },
            target,
            device: node.device.encode(),
            xattrs,
            first_name: Vec::new(),
        };
        inodes.insert(name.clone(), (0, nid));
        snapshot.insert(name, entry);
    }
    name_inodes(&mut snapshot, &inodes);
    snapshot
}

/// Up to `limit` bytes of a file in an image.
pub fn read(image: &Image<'_>, node: &Node, limit: u64) -> Result<Vec<u8>, capsid_core::Errno> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < limit {
        let left = limit - bytes.len() as u64;
        match node.extent(image, bytes.len() as u64, left)? {
            None => break,
            Some(Extent::Stored(start, length)) => {
                bytes.extend_from_slice(image.bytes(start, length)?);
            }
            Some(Extent::Hole(length)) => {
                bytes.resize(bytes.len() + usize::try_from(length).unwrap(), 0);
            }
        }
    }
    Ok(bytes)
}

/// Says where two snapshots differ.
pub fn assert_same(found: &Snapshot, expected: &Snapshot) {
    for (path, entry) in expected {
        let name = String::from_utf8_lossy(path);
        let short = &name[..name.len().min(300)];
        match found.get(path) {
            None => panic!("{short} is missing"),
            Some(found) => assert_eq!(found, entry, "{short}"),
        }
    }
    for path in found.keys() {
        let name = String::from_utf8_lossy(path);
        assert!(expected.contains_key(path), "{name} should not be there");
    }
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let separator: &[u8] = if directory.ends_with(b"/") { b"" } else { b"/" };
    [directory, separator, name].concat()
}

fn name_inodes(snapshot: &mut Snapshot, inodes: &HashMap<Vec<u8>, (u64, u64)>) {
    let mut first = HashMap::new();
    for (path, entry) in snapshot {
        let first = first.entry(inodes[path]).or_insert_with(|| path.clone());
        entry.first_name.clone_from(first);
    }
}

/// Hashes runs of a megabyte; those of zeros count only by their number, so that large holes
/// need not be read.
struct Content {
    hasher: DefaultHasher,
    zeros: u64,
    buffer: Vec<u8>,
}

const RUN: usize = 1 << 20;

impl Content {
    fn new() -> Content {
        Content {
            hasher: DefaultHasher::new(),
            zeros: 0,
            buffer: Vec::new(),
        }
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(RUN - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == RUN {
                self.end_run();
            }
        }
    }

    fn add_zeros(&mut self, mut count: u64) {
        let zeros = vec![0; RUN];
        while count > 0 {
            if self.buffer.is_empty() && count >= RUN as u64 {
                self.zeros += count / RUN as u64;
                count %= RUN as u64;
            } else {
                let room = usize::try_from(count)
                    .unwrap_or(RUN)
                    .min(RUN - self.buffer.len());
                self.add(&zeros[..room]);
                count -= room as u64;
            }
        }
    }

    fn end_run(&mut self) {
        if self.buffer.len() == RUN && self.buffer.iter().all(|byte| *byte == 0) {
            self.zeros += 1;
        } else {
            self.hasher.write_u64(self.zeros);
            self.hasher.write(&self.buffer);
            self.zeros = 0;
        }
        self.buffer.clear();
    }

    fn finish(mut self) -> u64 {
        self.end_run();
        self.hasher.finish()
    }
}

fn hash_file(path: &Path) -> u64 {
    let mut content = Content::new();
    let mut file = File::open(path).unwrap();
    let mut buffer = vec![0; RUN];
    loop {
        let count = file.read(&mut buffer).unwrap();
        if count == 0 {
            return content.finish();
        }
        content.add(&buffer[..count]);
    }
}

fn hash_node(image: &Image<'_>, node: &Node) -> u64 {
    let mut content = Content::new();
    let mut position = 0;
    while let Some(extent) = node.extent(image, position, u64::MAX).unwrap() {
        match extent {
            Extent::Stored(start, length) => content.add(image.bytes(start, length).unwrap()),
            Extent::Hole(length) => content.add_zeros(length),
        }
        position += extent.length();
    }
    content.finish()
}

fn xattrs_of(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 65_536];
    let length = rustix::fs::llistxattr(path, &mut *list).unwrap_or(0);
    let names = list[..length].split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty() && *name != b"security.selinux");
    let values = names.map(|name| {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut *value).unwrap();
        value.truncate(length);
        (name.to_vec(), value)
    });
    values.collect()
}
