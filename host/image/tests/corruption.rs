//! Damaged and hostile images: every look at them ends, with an answer or an error.

mod support;

use capsid_core::fs::FileKind;
use capsid_core::fs::erofs::format::{
    RawDirectoryEntry, RawExtendedInode, RawSuperblock, SUPERBLOCK_OFFSET,
};
use capsid_core::fs::erofs::{Extent, Image, Node};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use std::fs;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use support::hostile::{explore, mend};
use support::{Scratch, image_of_directory, tools, trees};

/// Images to damage: one of ours, and one of mkfs.erofs, which uses more of the format.
fn images() -> &'static [Vec<u8>] {
    static IMAGES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let scratch = Scratch::new();
        let tree = scratch.join("tree");
        trees::small(&tree);
        let mut images = vec![image_of_directory(&tree)];
        if tools::has("mkfs.erofs") {
            let path = scratch.join("foreign.erofs");
            for options in [&["-x1"][..], &["--chunksize=65536", "-x2"]] {
                tools::make(&path, &tree, options);
                images.push(fs::read(&path).unwrap());
            }
        }
        images
    })
}

/// The ranges that hold the structure of an image, where damage matters.
fn structure(image: &[u8]) -> Vec<std::ops::Range<usize>> {
    let parsed = Image::new(image).unwrap();
    let superblock = SUPERBLOCK_OFFSET..SUPERBLOCK_OFFSET + size_of::<RawSuperblock>();
    let mut ranges = Vec::from([superblock]);
    let meta = u32::from_le_bytes(image[1064..1068].try_into().unwrap()) as usize * 4096;
    let mut pending = vec![parsed.root()];
    while let Some(nid) = pending.pop() {
        let node = Node::read(&parsed, nid).unwrap();
        let start = meta + usize::try_from(nid).unwrap() * 32;
        // The inode, its attributes, and what stands inline behind them.
        ranges.push(start..(start + 160).min(image.len()));
        if node.kind == FileKind::Directory {
            if let Ok(Some(Extent::Stored(start, length))) = node.extent(&parsed, 0, 4096) {
                let start = usize::try_from(start).unwrap();
                ranges.push(start..start + usize::try_from(length).unwrap());
            }
            let listed = node.list(&parsed, 0, |entry, _| {
                pending.push(entry.nid);
                Ok(ControlFlow::Continue(()))
            });
            listed.unwrap();
        }
    }
    ranges
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(0x00e2_0f5e),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    }
}

#[test]
fn whole_images_are_explored() {
    for image in images() {
        assert!(explore(image) > 300, "{}", explore(image));
    }
}

/// A damaged copy of an image. One copy serves all cases, as copying is what would take long.
struct Damaged {
    image: MutexGuard<'static, Vec<u8>>,
    before: Vec<(usize, u8)>,
}

impl Damaged {
    fn new(which: usize) -> Damaged {
        static COPIES: OnceLock<Vec<Mutex<Vec<u8>>>> = OnceLock::new();
        let copies = COPIES.get_or_init(|| images().iter().cloned().map(Mutex::new).collect());
        let image = copies[which].lock();
        Damaged {
            // A case that failed has restored it.
            image: image.unwrap_or_else(PoisonError::into_inner),
            before: Vec::new(),
        }
    }

    fn set(&mut self, offset: usize, value: u8) {
        self.before.push((offset, self.image[offset]));
        self.image[offset] = value;
    }

    fn mend(&mut self) {
        let mut block = self.image[..4096].to_vec();
        mend(&mut block);
        let checksum = (0..4).map(|index| SUPERBLOCK_OFFSET + 4 + index);
        checksum.for_each(|offset| self.set(offset, block[offset]));
    }
}

impl Drop for Damaged {
    fn drop(&mut self) {
        for (offset, value) in self.before.drain(..).rev() {
            self.image[offset] = value;
        }
    }
}

proptest! {
    #![proptest_config(config(8_000))]

    #[test]
    fn damage_makes_errors(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop_oneof![
                any::<u8>(), Just(0), Just(0xff), Just(0x7f), Just(0x80),
            ]),
            1..12,
        ),
        mended in prop::bool::weighted(0.9),
    ) {
        static PLACES: OnceLock<Vec<Vec<std::ops::Range<usize>>>> = OnceLock::new();
        let images = images();
        let places = PLACES.get_or_init(|| images.iter().map(|image| structure(image)).collect());
        let which = which.index(images.len());
        let changes = changes.into_iter().map(|(range, offset, value)| {
            let range = places[which][range.index(places[which].len())].clone();
            (range.start + offset.index(range.len()), value)
        });
        let mut damaged = Damaged::new(which);
        for (offset, value) in changes {
            damaged.set(offset, value);
        }
        if mended {
            damaged.mend();
        }
        explore(&damaged.image);
    }

    #[test]
    fn any_bytes_are_no_image(bytes in prop::collection::vec(any::<u8>(), 0..8192)) {
        let mut bytes = bytes;
        explore(&bytes);
        if bytes.len() >= 4096 {
            bytes[1024..1028].copy_from_slice(&0xe0f5_e1e2u32.to_le_bytes());
            bytes[1036] = 12;
            bytes[1104..1108].fill(0);
            bytes[1114] = 0;
            mend(&mut bytes);
            explore(&bytes);
        }
    }
}

#[test]
fn cut_images_make_errors() {
    for image in images() {
        for length in (0..image.len())
            .step_by(image.len() / 97 + 1)
            .chain(4090..4100)
        {
            explore(&image[..length.min(image.len())]);
        }
    }
}

#[test]
fn directories_that_hold_themselves_are_walked_as_far_as_asked() {
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    let mut image = image_of_directory(&tree);
    // The entry `a` of the root leads to the root: entries follow the root's inode.
    let root = 4096 + 64;
    let entries = root + size_of::<RawExtendedInode>();
    let a = entries + 2 * size_of::<RawDirectoryEntry>();
    let (own, rest) = image.split_at_mut(a);
    rest[..8].copy_from_slice(&own[entries..entries + 8]);
    let parsed = Image::new(&image).unwrap();
    let mut nid = parsed.root();
    for _ in 0..1000 {
        let node = Node::read(&parsed, nid).unwrap();
        nid = node.find(&parsed, b"a").unwrap().nid;
    }
    assert_eq!(nid, parsed.root());
    assert_eq!(explore(&image), 1);
}
