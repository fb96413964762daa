//! Writes inodes, directories and the superblock.

use crate::attributes::{Attributes, xattr_count};
use crate::directory_block::{self, Entry};
use crate::error::{ImageError, Result};
use crate::file_data::FilePlace;
use crate::layout::{Layout, Payload, Place, names};
use crate::output::Output;
use crate::tree::{Contents, NodeId, Tree};
use capsid_core::fs::FileKind;
use capsid_core::fs::erofs::format::{
    BLOCK_BITS, BLOCK_SIZE, CompatibleFeatures, DataLayout, FORMAT_EXTENDED, IncompatibleFeatures,
    MAGIC, RawExtendedInode, RawSuperblock, SUPERBLOCK_OFFSET, checksum,
};
use std::io::{Seek, Write};
use zerocopy::IntoBytes;

/// Writes everything but the bytes of files, behind them. Returns the writer and the number of
/// inodes.
pub(crate) fn write<W: Write + Seek>(tree: &Tree, mut output: Output<W>) -> Result<(W, u64)> {
    let layout = Layout::new(tree)?;
    let start = output.position();
    let start_block = output.block();
    let payload_start = u64::from(start_block) + layout.metadata_blocks;
    for (index, id) in layout.order.iter().enumerate() {
        let place = layout.place(*id);
        let gap = start + place.offset - output.position();
        output.write_all(&vec![0; usize::try_from(gap).unwrap_or(0)])?;
        let payload = match place.payload {
            Payload::Inline | Payload::ChunkMap => payload(tree, &layout, *id),
            Payload::None | Payload::Blocks(_) => Vec::new(),
        };
        let (inode, xattrs) = inode(tree, &layout, *id, index, payload_start)?;
        output.write_all(inode.as_bytes())?;
        output.write_all(&xattrs)?;
        output.write_all(&payload)?;
    }
    output.pad_to_block()?;
    for id in &layout.order {
        if let Payload::Blocks(_) = layout.place(*id).payload {
            output.write_all(&payload(tree, &layout, *id))?;
            output.pad_to_block()?;
        }
    }
    let inodes = layout.order.len() as u64;
    let first = superblock(&layout, start_block, output.block());
    Ok((output.finish(&first)?, inodes))
}

/// The bytes of a directory or symlink, or the map of a chunked file.
fn payload(tree: &Tree, layout: &Layout, id: NodeId) -> Vec<u8> {
    let children = match &tree.node(id).contents {
        Contents::Symlink(target) => return target.to_vec(),
        Contents::Directory(children) => children,
        Contents::Regular(file) => match &file.place {
            FilePlace::Chunks { blocks, .. } => {
                return blocks
                    .iter()
                    .flat_map(|block| block.to_le_bytes())
                    .collect();
            }
            FilePlace::Run(_) => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    let names = names(tree, id);
    let entries = names.iter().map(|name| {
        let (id, kind) = match *name {
            b"." => (id, FileKind::Directory),
            b".." => (layout.place(id).parent, FileKind::Directory),
            name => {
                let child = children.get(name).copied().unwrap_or(id);
                (child, tree.node(child).contents.kind())
            }
        };
        let nid = layout.place(id).nid();
        Entry { name, nid, kind }
    });
    directory_block::encode(&entries.collect::<Vec<_>>())
}

/// An inode, and the attributes that follow it.
fn inode(
    tree: &Tree,
    layout: &Layout,
    id: NodeId,
    index: usize,
    payload_start: u64,
) -> Result<(RawExtendedInode, Vec<u8>)> {
    let node = tree.node(id);
    let place = layout.place(id);
    let (size, data) = match &node.contents {
        Contents::Directory(_) => {
            let size = directory_block::size(&names(tree, id)) as u64;
            (size, payload_block(place, payload_start)?)
        }
        Contents::Symlink(target) => (target.len() as u64, payload_block(place, payload_start)?),
        Contents::Regular(file) => match file.place {
            FilePlace::Run(block) => (file.size, block),
            FilePlace::Chunks { bits, .. } => (file.size, bits),
        },
        Contents::CharacterDevice(device) | Contents::BlockDevice(device) => (0, *device),
        Contents::Fifo | Contents::Socket => (0, 0),
    };
    let layout = match place.payload {
        Payload::Inline => DataLayout::FlatInline,
        Payload::ChunkMap => DataLayout::ChunkBased,
        Payload::None | Payload::Blocks(_) => DataLayout::FlatPlain,
    };
    let Attributes {
        permissions,
        user,
        group,
        mtime,
        ..
    } = node.attributes;
    // Both were checked when the node was inserted.
    let xattrs = node.attributes.xattr_body().unwrap_or_default();
    let xattr_count = xattr_count(&xattrs).unwrap_or(0);
    let kind = u16::try_from(node.contents.kind().mode_bits()).unwrap_or(0);
    let inode = RawExtendedInode {
        format: (FORMAT_EXTENDED | layout.format_bits()).into(),
        xattr_count: xattr_count.into(),
        mode: (kind | permissions).into(),
        reserved: 0.into(),
        size: size.into(),
        data: data.into(),
        // A short number for programs that cannot hold the real one.
        ino: u32::try_from(index + 1).unwrap_or(u32::MAX).into(),
        user: user.into(),
        group: group.into(),
        mtime: mtime.seconds.cast_unsigned().into(),
        mtime_nsec: mtime.nanoseconds.into(),
        links: place.links.into(),
        reserved2: [0; 16],
    };
    Ok((inode, xattrs))
}

fn payload_block(place: Place, payload_start: u64) -> Result<u32> {
    match place.payload {
        Payload::Blocks(block) => {
            u32::try_from(payload_start + block).map_err(|_| ImageError::ImageTooLarge)
        }
        Payload::Inline | Payload::ChunkMap | Payload::None => Ok(0),
    }
}

/// The first block. It says nothing of when and where it was made: the same files give the same
/// image.
fn superblock(layout: &Layout, metadata_block: u32, blocks: u32) -> [u8; BLOCK_SIZE] {
    let features = CompatibleFeatures::CHECKSUM | CompatibleFeatures::MTIME;
    let incompatible = if layout.has_chunks {
        IncompatibleFeatures::CHUNKED_FILE
    } else {
        IncompatibleFeatures::empty()
    };
    let root = layout.place(Tree::ROOT).nid();
    let mut superblock = RawSuperblock {
        magic: MAGIC.into(),
        checksum: 0.into(),
        feature_compat: features.bits().into(),
        block_bits: BLOCK_BITS,
        extension_slots: 0,
        // The root stands first.
        root_nid: u16::try_from(root).unwrap_or(0).into(),
        inodes: (layout.order.len() as u64).into(),
        build_time: 0.into(),
        build_time_nsec: 0.into(),
        blocks: blocks.into(),
        meta_block: metadata_block.into(),
        xattr_block: 0.into(),
        uuid: [0; 16],
        volume_name: [0; 16],
        feature_incompat: incompatible.bits().into(),
        compression: 0.into(),
        extra_devices: 0.into(),
        device_slot_offset: 0.into(),
        directory_block_bits: 0,
        reserved: [0; 37],
    };
    let mut block = [0; BLOCK_SIZE];
    let end = SUPERBLOCK_OFFSET + size_of::<RawSuperblock>();
    block[SUPERBLOCK_OFFSET..end].copy_from_slice(superblock.as_bytes());
    superblock.checksum = checksum(block[SUPERBLOCK_OFFSET..].iter().copied()).into();
    block[SUPERBLOCK_OFFSET..end].copy_from_slice(superblock.as_bytes());
    block
}
