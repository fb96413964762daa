//! The file system of `/dev/pts`: a node for each pseudo-terminal, and for the host's terminal.

use super::host::{self, HostTerminal};
use super::pty::{self, Pty};
use super::{ALTERNATE_MAJOR, SLAVE_MAJOR, Terminal};
use crate::fs::{
    AttributeChange, DeviceId, DirectoryEntry, File, FileKind, FileSystem, FileSystemStatistics,
    Inode, Metadata, Owner, StatusFlags, anonymous_device,
};
use alloc::string::ToString;
use alloc::sync::Arc;
use capsid_platform::{Clock, Errno, platform};
use core::ops::ControlFlow;

/// The minor number of `ptmx`.
const PTMX_MINOR: u32 = 2;
/// Inode numbers: the root's, that of `ptmx`, and that of terminal 0.
const ROOT_NUMBER: u64 = 1;
const PTMX_NUMBER: u64 = 2;
const FIRST_NUMBER: u64 = 3;

/// The one such file system.
#[derive(Clone, Copy, Debug)]
pub struct Devpts;

/// Something in it.
#[derive(Clone, Debug)]
enum Node {
    Root,
    Ptmx,
    Pty(Arc<Pty>),
    Host(Arc<HostTerminal>),
}

/// The node of a pseudo-terminal.
pub(super) fn node(pty: &Arc<Pty>) -> Arc<dyn Inode> {
    Arc::new(Node::Pty(pty.clone()))
}

/// The node of the host's terminal.
pub(super) fn host_node(terminal: &Arc<HostTerminal>) -> Arc<dyn Inode> {
    Arc::new(Node::Host(terminal.clone()))
}

fn device_number() -> u64 {
    static DEVICE: spin::Once<DeviceId> = spin::Once::new();
    DEVICE.call_once(anonymous_device).encode()
}

fn terminal_node(number: u32) -> Option<Node> {
    if let Some(terminal) = host::terminal().filter(|_| host::is_number(number)) {
        return Some(Node::Host(terminal));
    }
    pty::find(number).map(Node::Pty)
}

impl FileSystem for Devpts {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(Node::Root)
    }

    fn statistics(&self) -> Result<FileSystemStatistics, Errno> {
        Ok(FileSystemStatistics {
            block_size: 4096,
            ..FileSystemStatistics::default()
        })
    }

    fn type_name(&self) -> &'static str {
        "devpts"
    }

    fn magic(&self) -> u64 {
        0x1cd1
    }

    fn caches_names(&self) -> bool {
        // They come and go without anybody touching the directory.
        false
    }
}

impl Node {
    fn number(&self) -> u64 {
        match self {
            Node::Root => ROOT_NUMBER,
            Node::Ptmx => PTMX_NUMBER,
            Node::Pty(pty) => FIRST_NUMBER + u64::from(pty.number()),
            Node::Host(_) => FIRST_NUMBER,
        }
    }

    fn special_device(&self) -> DeviceId {
        match self {
            Node::Root => DeviceId::default(),
            Node::Ptmx => DeviceId {
                major: ALTERNATE_MAJOR,
                minor: PTMX_MINOR,
            },
            Node::Pty(pty) => DeviceId {
                major: SLAVE_MAJOR,
                minor: pty.number(),
            },
            Node::Host(terminal) => terminal.device(),
        }
    }

    /// Owner, permission bits, and time.
    fn attributes(&self) -> (Owner, u32, u64) {
        match self {
            Node::Root => (Owner::default(), 0o755, platform().now(Clock::Realtime)),
            Node::Ptmx => (Owner::default(), 0o666, platform().now(Clock::Realtime)),
            Node::Pty(pty) => pty.node(),
            Node::Host(terminal) => terminal.node(),
        }
    }
}

impl Inode for Node {
    fn metadata(&self) -> Result<Metadata, Errno> {
        let (owner, permissions, time) = self.attributes();
        Ok(Metadata {
            device: device_number(),
            inode: self.number(),
            kind: self.kind(),
            permissions,
            links: if matches!(self, Node::Root) { 2 } else { 1 },
            owner,
            special_device: self.special_device(),
            size: 0,
            blocks: 0,
            block_size: 1024,
            atime: time,
            mtime: time,
            ctime: time,
            btime: 0,
        })
    }

    fn kind(&self) -> FileKind {
        match self {
            Node::Root => FileKind::Directory,
            _ => FileKind::CharacterDevice,
        }
    }

    fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::new(Devpts)
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        if change.size.is_some() {
            return Err(Errno::EINVAL);
        }
        let (mut owner, permissions, _) = self.attributes();
        owner.user = change.user.unwrap_or(owner.user);
        owner.group = change.group.unwrap_or(owner.group);
        let permissions = change.permissions.unwrap_or(permissions);
        match self {
            Node::Pty(pty) => pty.set_node(owner, permissions),
            Node::Host(terminal) => terminal.set_node(owner, permissions),
            Node::Root | Node::Ptmx => {}
        }
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if !matches!(self, Node::Root) {
            return Err(Errno::ENOTDIR);
        }
        if name == b"ptmx" {
            return Ok(Arc::new(Node::Ptmx));
        }
        let text = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let number: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
        if number.to_string() != text {
            return Err(Errno::ENOENT);
        }
        Ok(Arc::new(terminal_node(number).ok_or(Errno::ENOENT)?))
    }

    fn create(
        &self,
        _name: &[u8],
        _node: crate::fs::NewNode<'_>,
        _permissions: u32,
        _owner: Owner,
    ) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::EPERM)
    }

    fn unlink(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn remove_directory(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn read_directory(
        &self,
        position: u64,
        emit: &mut dyn FnMut(DirectoryEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        if !matches!(self, Node::Root) {
            return Err(Errno::ENOTDIR);
        }
        let host = (0..1).filter(|number| host::is_number(*number));
        let numbers = host.chain(pty::numbers());
        let nodes = numbers.filter_map(|number| Some((number.to_string(), terminal_node(number)?)));
        let all = core::iter::once(("ptmx".to_string(), Node::Ptmx)).chain(nodes);
        for (name, node) in all {
            // A position is the number of the last inode that was listed.
            if node.number() <= position {
                continue;
            }
            let flow = emit(DirectoryEntry {
                name: name.as_bytes(),
                inode: node.number(),
                kind: node.kind(),
                next: node.number(),
            });
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn open(self: Arc<Self>, _flags: StatusFlags) -> Result<Arc<dyn File>, Errno> {
        Err(Errno::ENXIO)
    }
}
