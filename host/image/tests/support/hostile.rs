//! Looking at images that may be hostile. The fuzz target uses it too.

use capsid_core::fs::erofs::format::{SUPERBLOCK_OFFSET, checksum};
use capsid_core::fs::erofs::{Extent, Image, Node};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// How much of a hostile image one test looks at: directories may hold themselves, and files may
/// say that they are huge.
const NODES_MAX: usize = 2_000;
const ENTRIES_MAX: usize = 5_000;
const EXTENTS_MAX: usize = 200;

/// Looks at everything that can be reached, and returns how many nodes could be read.
pub fn explore(bytes: &[u8]) -> usize {
    let Ok(image) = Image::new(bytes) else {
        return 0;
    };
    let mut seen = HashSet::new();
    let mut pending = vec![image.root()];
    let mut entries = 0;
    while let Some(nid) = pending.pop() {
        if seen.len() >= NODES_MAX || !seen.insert(nid) {
            continue;
        }
        let Ok(node) = Node::read(&image, nid) else {
            continue;
        };
        let _ = node.each_attribute(&image, |attribute| {
            assert!(attribute.is_named(&attribute.name()));
            None::<()>
        });
        explore_bytes(&image, &node);
        let mut last = 0;
        let _ = node.list(&image, 0, |entry, next| {
            assert!(next > last, "listing goes forward");
            last = next;
            assert!(!entry.name.is_empty() && entry.name.len() <= 255);
            let _ = node.find(&image, entry.name);
            pending.push(entry.nid);
            entries += 1;
            Ok(if entries < ENTRIES_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        });
        for name in [&b"."[..], b"..", b"size-1", b"\xff"] {
            let _ = node.find(&image, name);
        }
        // Positions that no listing gave.
        for position in [1, 11, 4095, 4096, 1 << 40, u64::MAX] {
            let _ = node.list(&image, position, |_, _| Ok(ControlFlow::Break(())));
        }
    }
    seen.len()
}

fn explore_bytes(image: &Image<'_>, node: &Node) {
    let mut position = 0;
    for _ in 0..EXTENTS_MAX {
        match node.extent(image, position, 1 << 30) {
            Ok(Some(extent)) => {
                assert!(extent.length() > 0 && extent.length() <= 1 << 30);
                if let Extent::Stored(start, length) = extent {
                    let bytes = image.bytes(start, length.min(64)).unwrap();
                    assert!(!bytes.is_empty());
                }
                position += extent.length();
            }
            Ok(None) | Err(_) => break,
        }
    }
    for position in [node.size.saturating_sub(1), node.size, u64::MAX] {
        let _ = node.extent(image, position, u64::MAX);
    }
}

/// Makes the superblock's checksum right again, so that what lies behind is looked at.
pub fn mend(image: &mut [u8]) {
    let Some(block) = image.get_mut(SUPERBLOCK_OFFSET..4096) else {
        return;
    };
    block[4..8].fill(0);
    let sum = checksum(block.iter().copied());
    block[4..8].copy_from_slice(&sum.to_le_bytes());
}
