//! A hostile broker: whatever it answers, the sandbox's view of host files stays sane.

use crate::input::{Input, put_number, put_short_bytes};
use capsid_core::credentials::Credentials;
use capsid_core::fs::hostfs::HostFileSystem;
use capsid_core::fs::{
    AttributeChange, CreationFlags, FileSystem, Inode, LookupFlags, MountFlags, MountNamespace,
    NAME_MAX, NewNode, OpenFile, OpenOptions, Owner, Place, RenameFlags, StatusFlags, View,
    WriteAt,
};
use capsid_core::io::{Destination, Source};
use capsid_platform::Errno;
use capsid_platform_threads::World;
use capsid_wire::{Export, ExportAccess, HostStat, LookupReply, Operation, Reply, Request};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, Weak};

/// Names and paths that are asked for.
const PATHS: [&[u8]; 8] = [
    b"a",
    b"b",
    b"a/b/c",
    b"link/x",
    b"a/../b",
    b"./a/.",
    b"a/b/c/d/e/f/g/h",
    b"nothing",
];
const STEPS_MAX: usize = 40;

/// Uses an export, with a broker that answers what the input says.
pub fn run(bytes: &[u8]) {
    let world = capsid_platform_threads::install().world();
    let mut input = Input::new(bytes);
    let flags = input.byte();
    let export = Export {
        mount_point: b"/".to_vec(),
        access: ExportAccess::ReadWrite,
        stable: flags & 1 != 0,
        directory: flags & 2 == 0,
    };
    let steps = input.short_bytes();
    answer_from(&world, input.rest());

    let file_system = HostFileSystem::new(0, &export);
    let namespace = MountNamespace::new(file_system.clone(), MountFlags::empty(), b"host");
    let root = namespace.root();
    let credentials = Credentials::new(0, 0);
    let view = View {
        namespace: &namespace,
        root: &root,
        credentials: &credentials,
        umask: 0o022,
    };
    let mut used = Used {
        inodes: vec![file_system.root()],
        files: Vec::new(),
    };
    for pair in steps.chunks(2).take(STEPS_MAX) {
        let [what, which] = [pair[0], pair.get(1).copied().unwrap_or(0)].map(usize::from);
        let path = PATHS[which % PATHS.len()];
        // Errors are answers.
        let _ = if what < 128 {
            used.walk(&view, what, path)
        } else {
            used.step(what, which / PATHS.len(), path)
        };
    }
    let _ = file_system.statistics();
}

/// What was found so far.
struct Used {
    inodes: Vec<Arc<dyn Inode>>,
    files: Vec<OpenFile>,
}

impl Used {
    /// Walks from the root.
    fn walk(&mut self, view: &View<'_>, what: usize, path: &[u8]) -> Result<(), Errno> {
        let place = Place::new(view.root, path);
        match what % 4 {
            0 => {
                let found = view.resolve(place, LookupFlags::FOLLOW)?;
                self.inodes.push(found.inode().clone());
            }
            1 => _ = view.metadata(place, LookupFlags::empty())?,
            2 => drop(view.read_link(place)?),
            _ => {
                let mut options = OpenOptions::new(StatusFlags::READ_WRITE);
                options.creation.set(CreationFlags::CREATE, what & 4 != 0);
                options.creation.set(CreationFlags::TRUNCATE, what & 8 != 0);
                self.files.push(view.open(place, &options)?);
            }
        }
        Ok(())
    }

    /// Uses an inode or a file.
    fn step(&mut self, what: usize, which: usize, path: &[u8]) -> Result<(), Errno> {
        let inode = self.inodes[which % self.inodes.len()].clone();
        let name = path.split(|byte| *byte == b'/').next().unwrap_or(path);
        let file = self.files.last().map(|open| open.file.clone());
        match (what % 14, file) {
            (0, _) => _ = inode.metadata()?,
            (1, _) => self.inodes.push(inode.lookup(name)?),
            (2, _) => self.inodes.push(inode.lookup_ahead(name, path)?),
            (3, _) => list(&*inode, 0)?,
            (4, _) => list(&*inode, which as u64)?,
            (5, _) => drop(inode.read_link()?),
            (6, _) => {
                let nodes = [NewNode::Regular, NewNode::Directory, NewNode::Symlink(path)];
                let owner = Owner { user: 1, group: 2 };
                let node = nodes[which % nodes.len()];
                self.inodes.push(inode.create(name, node, 0o644, owner)?);
            }
            (7, _) => inode.unlink(name)?,
            (8, _) => inode.remove_directory(name)?,
            (9, _) => {
                let to = &self.inodes[which % self.inodes.len()];
                inode.rename(name, to, b"b", RenameFlags::empty())?;
            }
            (10, _) => {
                let change = AttributeChange {
                    size: Some(which as u64),
                    ..AttributeChange::default()
                };
                inode.set_attributes(&change)?;
            }
            (11, Some(file)) => {
                let mut bytes = [0; 64];
                file.read(which as u64, &mut Destination::kernel(&mut bytes))?;
            }
            (12, Some(file)) => {
                file.write(WriteAt::End, &mut Source::kernel(path))?;
            }
            (13, Some(file)) => {
                file.metadata()?;
                file.sync(true)?;
                self.files.pop();
            }
            (_, Some(_) | None) => {}
        }
        Ok(())
    }
}

/// Lists a directory. Names must be such that programs can use them.
fn list(inode: &dyn Inode, position: u64) -> Result<(), Errno> {
    let mut left = 1000;
    inode.read_directory(position, &mut |entry| {
        assert!(!entry.name.is_empty() && entry.name.len() <= NAME_MAX);
        assert!(entry.name != b"." && entry.name != b"..");
        assert!(!entry.name.iter().any(|byte| matches!(byte, 0 | b'/')));
        left -= 1;
        if left == 0 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
}

/// Lets a broker answer from these bytes until they are used up.
fn answer_from(world: &Arc<World>, bytes: &[u8]) {
    let rest = Mutex::new(bytes.to_vec());
    // The world holds the broker.
    let world_of_files = Arc::downgrade(world);
    world.set_broker(move |request, data| {
        let mut rest = rest.lock().expect("nothing panics with it");
        let mut input = Input::new(&rest);
        if input.is_empty() {
            return Err(Errno::EIO);
        }
        let result = answer(&mut input, request, data, &world_of_files);
        let left = input.rest().to_vec();
        *rest = left;
        result
    });
}

const FAILS: u8 = 1;
const RAW: u8 = 2;
const DONATES: u8 = 4;
const LIES_ABOUT_LENGTH: u8 = 8;

fn answer(
    input: &mut Input<'_>,
    request: &Request,
    data: &mut [u8],
    world: &Weak<World>,
) -> Result<Reply, Errno> {
    let flags = input.byte();
    if flags & FAILS != 0 {
        return Err(Errno::from_raw(input.byte().into()));
    }
    let mut bytes = Vec::new();
    let value = if flags & RAW != 0 {
        bytes.extend_from_slice(input.short_bytes());
        input.number()
    } else if request.operation == Operation::Lookup {
        let count = input.byte();
        for _ in 0..count.min(128) {
            bytes.extend(stat(input).to_bytes());
        }
        bytes.extend_from_slice(input.short_bytes());
        let error = input.byte().into();
        let components = count.into();
        LookupReply { components, error }.to_value()
    } else if request.operation == Operation::ReadDirectory {
        let count = input.byte();
        for _ in 0..count {
            entry(input, &mut bytes);
        }
        count.into()
    } else {
        bytes.extend(stat(input).to_bytes());
        input.number()
    };
    let length = bytes.len().min(data.len());
    data[..length].copy_from_slice(&bytes[..length]);
    let donated = (flags & DONATES != 0)
        .then(|| Some(world.upgrade()?.donate(b"bytes of a file".to_vec()).0))
        .flatten();
    let data_len = if flags & LIES_ABOUT_LENGTH != 0 {
        input.number() as u32
    } else {
        length as u32
    };
    Ok(Reply {
        value,
        data_len,
        donated,
    })
}

fn stat(input: &mut Input<'_>) -> HostStat {
    const MODES: [u32; 5] = [0o100_644, 0o040_755, 0o120_777, 0o010_600, 0];
    let mode = input.byte();
    HostStat {
        inode: input.number(),
        mode: MODES
            .get(usize::from(mode))
            .copied()
            .unwrap_or(u32::from(mode) << 8),
        size: input.number(),
        ..HostStat::default()
    }
}

fn entry(input: &mut Input<'_>, bytes: &mut Vec<u8>) {
    bytes.extend(input.number().to_le_bytes());
    bytes.extend(input.number().to_le_bytes());
    bytes.push(input.byte());
    let name = input.short_bytes();
    bytes.push(name.len() as u8);
    bytes.extend_from_slice(name);
}

/// Sessions with a broker that says what is true, and with one that does not.
pub fn seeds() -> Vec<Vec<u8>> {
    const FILE: u8 = 0;
    const DIRECTORY: u8 = 1;
    const LINK: u8 = 2;
    let lookup = |flags: u8, kinds: &[u8], rest: &[u8], error: u8| {
        let mut bytes = vec![flags, kinds.len() as u8];
        for (inode, kind) in kinds.iter().enumerate() {
            bytes.push(*kind);
            put_number(&mut bytes, inode as u64);
            put_number(&mut bytes, 4096);
        }
        put_short_bytes(&mut bytes, rest);
        bytes.push(error);
        bytes
    };
    let listing = |names: &[&[u8]]| {
        let mut bytes = vec![0, names.len() as u8];
        for (index, name) in names.iter().enumerate() {
            bytes.extend([index as u8, index as u8 + 1, 8]);
            put_short_bytes(&mut bytes, name);
        }
        bytes
    };
    let opened = [DONATES, DIRECTORY, 1, 1, 7];
    let session = |flags: u8, steps: &[u8], answers: &[&[u8]]| {
        let mut bytes = vec![flags];
        put_short_bytes(&mut bytes, steps);
        bytes.extend(answers.concat());
        bytes
    };
    let root = lookup(0, &[DIRECTORY], b"", 0);
    let three = lookup(DONATES, &[DIRECTORY, DIRECTORY, FILE], b"", 0);
    let link = lookup(0, &[LINK], b"../a", 0);
    let missing = lookup(0, &[DIRECTORY], b"", 2);
    let names = listing(&[b"a", b"b", b"a name"]);
    let bad = listing(&[b"..", b"a/b", b"\0"]);
    let mut seeds = Vec::new();
    for stable in [0, 1] {
        seeds.push(session(
            stable,
            &[0, 2, 3, 2, 137, 0, 138, 0],
            &[&root, &three, &opened],
        ));
        seeds.push(session(
            stable,
            &[0, 3, 2, 3, 131, 5],
            &[&root, &link, &three],
        ));
        seeds.push(session(stable, &[129, 0, 130, 2], &[&root, &missing]));
        let listed: [&[u8]; 5] = [&root, &opened, &names, &listing(&[]), &bad];
        seeds.push(session(stable, &[129, 0, 129, 0, 130, 0], &listed));
        seeds.push(session(
            stable | 2,
            &[7, 0, 137, 0, 138, 0],
            &[&opened, &three],
        ));
        let made: [&[u8]; 4] = [&root, &[0, FILE, 1, 1, 7], &three, &opened];
        seeds.push(session(stable, &[132, 0, 133, 0, 135, 0, 136, 0], &made));
    }
    seeds
}
