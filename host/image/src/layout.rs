//! Where each inode goes: they stand behind the bytes of all files, the root first, the children
//! of a directory side by side.

use crate::attributes::xattr_count;
use crate::directory_block;
use crate::error::{ImageError, Result};
use crate::file_data::{FileData, FilePlace};
use crate::tree::{Contents, NodeId, Tree};
use capsid_core::fs::erofs::format::{BLOCK_SIZE, INODE_SLOT, RawExtendedInode};
use std::collections::VecDeque;

/// Inodes start at multiples of this many bytes, so that none straddles two blocks.
const ALIGNMENT: u64 = size_of::<RawExtendedInode>() as u64;
const BLOCK_BYTES: u64 = BLOCK_SIZE as u64;

/// Where a node goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The inode, in bytes from the start of the metadata.
    pub offset: u64,
    /// The bytes of a directory or symlink.
    pub payload: Payload,
    /// Hard links.
    pub links: u32,
    /// The directory above, for a directory.
    pub parent: NodeId,
}

impl Place {
    pub fn nid(&self) -> u64 {
        self.offset / INODE_SLOT as u64
    }
}

/// Where the bytes of a directory or symlink go, or the map of a chunked file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload {
    /// There are none.
    None,
    /// Behind the inode and its attributes.
    Inline,
    /// Behind the inode and its attributes stands the map of the file's chunks.
    ChunkMap,
    /// In blocks: this many after the metadata.
    Blocks(u64),
}

/// The places of all nodes that have a name.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The nodes, in the order of their places.
    pub order: Vec<NodeId>,
    /// By node.
    places: Vec<Option<Place>>,
    /// The size of the metadata, in blocks.
    pub metadata_blocks: u64,
    /// Some files are chunked.
    pub has_chunks: bool,
}

impl Layout {
    /// Finds a place for every node.
    pub fn new(tree: &Tree) -> Result<Layout> {
        let mut layout = Layout {
            order: Vec::new(),
            places: vec![None; tree.len()],
            metadata_blocks: 0,
            has_chunks: false,
        };
        // An inode number of zero would mean "no file" to programs that read directories.
        let mut offset = ALIGNMENT;
        let mut payload_blocks = 0;
        let mut pending = VecDeque::from([Tree::ROOT]);
        layout.put(
            tree,
            Tree::ROOT,
            Tree::ROOT,
            &mut offset,
            &mut payload_blocks,
        )?;
        while let Some(directory) = pending.pop_front() {
            let children = tree.children(directory).into_iter().flatten();
            for (_, child) in children {
                if let Some(place) = &mut layout.places[child.0] {
                    place.links += 1;
                    continue;
                }
                layout.put(tree, *child, directory, &mut offset, &mut payload_blocks)?;
                if tree.children(*child).is_some() {
                    pending.push_back(*child);
                    if let Some(place) = &mut layout.places[directory.0] {
                        place.links += 1;
                    }
                }
            }
        }
        layout.metadata_blocks = offset.div_ceil(BLOCK_BYTES);
        Ok(layout)
    }

    /// The place of a node that has a name.
    pub fn place(&self, id: NodeId) -> Place {
        match self.places[id.0] {
            Some(place) => place,
            None => unreachable!("only nodes with a name are asked for"),
        }
    }

    fn put(
        &mut self,
        tree: &Tree,
        id: NodeId,
        parent: NodeId,
        offset: &mut u64,
        payload_blocks: &mut u64,
    ) -> Result<()> {
        let node = tree.node(id);
        let xattrs = node.attributes.xattr_body().unwrap_or_default();
        debug_assert!(xattr_count(&xattrs).is_ok(), "checked when it was inserted");
        let head = size_of::<RawExtendedInode>() as u64 + xattrs.len() as u64;
        let (links, payload_bytes) = match &node.contents {
            Contents::Directory(_) => (2, Some(directory_block::size(&names(tree, id)))),
            Contents::Symlink(target) => (1, Some(target.len())),
            _ => (1, None),
        };
        let mut length = head;
        let payload = match payload_bytes {
            None => match &node.contents {
                Contents::Regular(FileData {
                    place: FilePlace::Chunks { blocks, .. },
                    ..
                }) => {
                    self.has_chunks = true;
                    length += size_of_val::<[u32]>(blocks) as u64;
                    Payload::ChunkMap
                }
                _ => Payload::None,
            },
            Some(bytes) if head + bytes as u64 <= BLOCK_BYTES => {
                length += bytes as u64;
                // Readers map one block for the inode's tail.
                if *offset % BLOCK_BYTES + length > BLOCK_BYTES {
                    *offset = offset.next_multiple_of(BLOCK_BYTES);
                }
                Payload::Inline
            }
            Some(bytes) => {
                let first = *payload_blocks;
                *payload_blocks += bytes.div_ceil(BLOCK_SIZE) as u64;
                Payload::Blocks(first)
            }
        };
        self.places[id.0] = Some(Place {
            offset: *offset,
            payload,
            links,
            parent,
        });
        self.order.push(id);
        *offset = offset
            .checked_add(length)
            .ok_or(ImageError::ImageTooLarge)?
            .next_multiple_of(ALIGNMENT);
        Ok(())
    }
}

/// The names in a directory, `.` and `..` among them, sorted.
pub(crate) fn names(tree: &Tree, directory: NodeId) -> Vec<&[u8]> {
    let children = tree.children(directory).into_iter().flatten();
    let mut names: Vec<&[u8]> = children.map(|(name, _)| &**name).collect();
    for own in [b"." as &[u8], b".."] {
        let index = names.partition_point(|name| *name < own);
        names.insert(index, own);
    }
    names
}
