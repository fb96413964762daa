//! The files of the image to be, by name.

use crate::attributes::Attributes;
use crate::error::{ImageError, Refusal, Result};
use crate::file_data::FileData;
use capsid_core::fs::FileKind;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How much memory names and attributes may take, in bytes: about three million files. More
/// comes only from an archive that was made to exhaust memory.
pub const MEMORY_LIMIT_BYTES: usize = 1 << 30;

/// What a node costs beside its name, attributes and target.
const NODE_BYTES: usize = 256;
/// The longest path, without its terminator.
const PATH_BYTES_MAX: usize = 4095;
/// The longest name of one component.
const NAME_BYTES_MAX: usize = 255;
/// How many symlinks one path may lead through, as on Linux.
const SYMLINKS_MAX: usize = 40;

/// A node of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub usize);

/// What a node is.
#[derive(Debug)]
pub(crate) enum Contents {
    Directory(BTreeMap<Box<[u8]>, NodeId>),
    Regular(FileData),
    Symlink(Box<[u8]>),
    /// An encoded device number.
    CharacterDevice(u32),
    /// An encoded device number.
    BlockDevice(u32),
    Fifo,
    Socket,
}

impl Contents {
    pub fn kind(&self) -> FileKind {
        match self {
            Contents::Directory(_) => FileKind::Directory,
            Contents::Regular(_) => FileKind::Regular,
            Contents::Symlink(_) => FileKind::Symlink,
            Contents::CharacterDevice(_) => FileKind::CharacterDevice,
            Contents::BlockDevice(_) => FileKind::BlockDevice,
            Contents::Fifo => FileKind::Fifo,
            Contents::Socket => FileKind::Socket,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub attributes: Attributes,
    pub contents: Contents,
}

/// All nodes. Those that were replaced stay, without a name.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    memory_bytes: usize,
}

/// A place for a name: its directory, and the name in it; `None` for the root itself.
pub(crate) type Slot = Option<(NodeId, Box<[u8]>)>;

impl Tree {
    pub const ROOT: NodeId = NodeId(0);

    pub fn new() -> Tree {
        Tree {
            nodes: vec![Node {
                attributes: Attributes::of_implied_directory(),
                contents: Contents::Directory(BTreeMap::new()),
            }],
            memory_bytes: 0,
        }
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The children of a directory; `None` for another node.
    pub fn children(&self, id: NodeId) -> Option<&BTreeMap<Box<[u8]>, NodeId>> {
        match &self.nodes[id.0].contents {
            Contents::Directory(children) => Some(children),
            _ => None,
        }
    }

    /// Sets the attributes of a node that exists.
    pub fn set_attributes(&mut self, id: NodeId, attributes: Attributes) -> Result<()> {
        self.charge(attributes.memory_bytes())?;
        self.nodes[id.0].attributes = attributes;
        Ok(())
    }

    /// Makes a node and names it. What had the name before loses it, unless it is a directory
    /// with files in it; a directory over a directory only sets its attributes.
    pub fn insert(
        &mut self,
        slot: Slot,
        attributes: Attributes,
        contents: Contents,
    ) -> Result<std::result::Result<NodeId, Refusal>> {
        let is_directory = matches!(contents, Contents::Directory(_));
        let Some((directory, name)) = slot else {
            if !is_directory {
                return Ok(Err(Refusal::ReplacesDirectory));
            }
            self.set_attributes(Tree::ROOT, attributes)?;
            return Ok(Ok(Tree::ROOT));
        };
        if let Some(old) = self.child(directory, &name)
            && let Some(children) = self.children(old)
        {
            if is_directory {
                self.set_attributes(old, attributes)?;
                return Ok(Ok(old));
            }
            if !children.is_empty() {
                return Ok(Err(Refusal::ReplacesDirectory));
            }
        }
        let data = match &contents {
            Contents::Symlink(target) => target.len(),
            Contents::Regular(file) => file.memory_bytes(),
            _ => 0,
        };
        self.charge(NODE_BYTES + attributes.memory_bytes() + data)?;
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node {
            attributes,
            contents,
        });
        self.name(directory, name, id)?;
        Ok(Ok(id))
    }

    /// Gives a node that exists another name.
    pub fn link(&mut self, slot: Slot, target: NodeId) -> Result<std::result::Result<(), Refusal>> {
        let Some((directory, name)) = slot else {
            return Ok(Err(Refusal::ReplacesDirectory));
        };
        let old = self.child(directory, &name);
        if old.and_then(|old| self.children(old)).is_some() {
            return Ok(Err(Refusal::ReplacesDirectory));
        }
        self.name(directory, name, target)?;
        Ok(Ok(()))
    }

    /// Finds the place that a path names. Directories on the way are made where missing, and
    /// symlinks on the way are followed, as unpacking would; the last component is not.
    pub fn slot(&mut self, path: &[u8]) -> Result<Slot> {
        let refuse = |reason| refused(path, reason);
        if path.len() > PATH_BYTES_MAX {
            return Err(refuse(Refusal::PathTooLong));
        }
        if path.contains(&0) {
            return Err(refuse(Refusal::ZeroByte));
        }
        let mut pending: Vec<Box<[u8]>> = components(path);
        pending.reverse();
        let mut symlinks = 0;
        // The directories walked through, so that `..` of a symlink can go back.
        let mut trail = vec![Tree::ROOT];
        while let Some(name) = pending.pop() {
            if &*name == b".." {
                // Only a symlink may say so; above the root is the root.
                if symlinks == 0 {
                    return Err(refuse(Refusal::GoesUp));
                }
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            if name.len() > NAME_BYTES_MAX {
                return Err(refuse(Refusal::NameTooLong));
            }
            let directory = trail.last().copied().unwrap_or(Tree::ROOT);
            if pending.is_empty() {
                return Ok(Some((directory, name)));
            }
            let Some(child) = self.child(directory, &name) else {
                let made = self.insert(
                    Some((directory, name)),
                    Attributes::of_implied_directory(),
                    Contents::Directory(BTreeMap::new()),
                )?;
                trail.push(made.map_err(refuse)?);
                continue;
            };
            match &self.nodes[child.0].contents {
                Contents::Directory(_) => trail.push(child),
                Contents::Symlink(target) => {
                    symlinks += 1;
                    if symlinks > SYMLINKS_MAX {
                        return Err(refuse(Refusal::SymlinkLoop));
                    }
                    if target.first() == Some(&b'/') {
                        trail.truncate(1);
                    }
                    pending.extend(components(target).into_iter().rev());
                }
                _ => return Err(refuse(Refusal::BelowNonDirectory)),
            }
        }
        Ok(None)
    }

    /// The node at a place.
    pub fn at(&self, slot: &Slot) -> Option<NodeId> {
        match slot {
            None => Some(Tree::ROOT),
            Some((directory, name)) => self.child(*directory, name),
        }
    }

    fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        self.children(directory)?.get(name).copied()
    }

    fn name(&mut self, directory: NodeId, name: Box<[u8]>, id: NodeId) -> Result<()> {
        self.charge(name.len() + 64)?;
        if let Contents::Directory(children) = &mut self.nodes[directory.0].contents {
            children.insert(name, id);
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<()> {
        self.memory_bytes = self.memory_bytes.saturating_add(bytes);
        if self.memory_bytes > MEMORY_LIMIT_BYTES {
            return Err(ImageError::TooManyFiles);
        }
        Ok(())
    }
}

/// The components of a path, `.` and empty ones left out.
fn components(path: &[u8]) -> Vec<Box<[u8]>> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(Box::from)
        .collect()
}

/// The error for a file of the source.
pub(crate) fn refused(path: &[u8], reason: Refusal) -> ImageError {
    ImageError::Refused {
        path: PathBuf::from(Path::new(OsStr::from_bytes(path))),
        reason,
    }
}

/// Checks a symlink's target.
pub(crate) fn check_target(target: &[u8]) -> std::result::Result<(), Refusal> {
    if target.is_empty() || target.len() > PATH_BYTES_MAX || target.contains(&0) {
        return Err(Refusal::BadSymlink);
    }
    Ok(())
}
