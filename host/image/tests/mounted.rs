//! Images as the library OS mounts them: names, bytes, attributes and pages.

mod support;

use capsid_core::Errno;
use capsid_core::fs::erofs::Erofs;
use capsid_core::fs::{AttributeChange, File, FileKind, FileSystem, Inode, NewNode, Owner};
use capsid_core::fs::{StatusFlags, erofs};
use capsid_core::io::Destination;
use capsid_platform::{Backing, IoTarget, PAGE_SIZE, platform};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use support::{Scratch, image_of_directory, tools, trees};

const PAGE: u64 = PAGE_SIZE as u64;

fn mounted(image: Vec<u8>) -> Arc<Erofs> {
    capsid_platform_threads::install().world().set_image(image);
    Erofs::new(platform().image()).unwrap()
}

fn find(root: &Arc<dyn Inode>, path: &str) -> Arc<dyn Inode> {
    path.split('/').fold(root.clone(), |inode, name| {
        inode.lookup(name.as_bytes()).unwrap()
    })
}

fn open(inode: &Arc<dyn Inode>) -> Arc<dyn File> {
    inode.clone().open(StatusFlags::empty()).unwrap()
}

fn read(file: &dyn File, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0xaa; length];
    let read = file
        .read(offset, &mut Destination::kernel(&mut bytes))
        .unwrap();
    bytes.truncate(read);
    bytes
}

/// What may stand behind the pages of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pages {
    OfTheImage,
    SomeCopied,
}

/// What a mapping of the whole file shows.
fn mapped(file: &dyn File, pages: Pages) -> Vec<u8> {
    let mappable = file.mappable().unwrap();
    let end = mappable.size().next_multiple_of(PAGE);
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < end {
        let offset = bytes.len() as u64;
        let (backing, length) = mappable.backing(offset, end - offset, false).unwrap();
        assert!(length > 0 && length.is_multiple_of(PAGE) && length <= end - offset);
        let start = bytes.len();
        bytes.resize(start + usize::try_from(length).unwrap(), 0);
        match backing {
            Backing::Anonymous => {}
            Backing::Image(from) => {
                assert!(from.is_multiple_of(PAGE));
                let from = usize::try_from(from).unwrap();
                let length = usize::try_from(length).unwrap();
                bytes[start..].copy_from_slice(&platform().image()[from..from + length]);
            }
            Backing::Pool(page) => {
                assert!(pages == Pages::SomeCopied);
                platform().pool_read(page, 0, IoTarget::Kernel(&mut bytes[start..]));
            }
            Backing::HostFile(..) => panic!("an image is no host file"),
        }
    }
    bytes
}

/// Compares all files of a host directory, and their pages.
fn compare(inode: &Arc<dyn Inode>, path: &Path, pages: Pages) {
    let mut names = Vec::new();
    let mut position = 0;
    // In small steps, so that positions are used.
    loop {
        let mut count = 0;
        let listed = inode.read_directory(position, &mut |entry| {
            names.push((entry.name.to_vec(), entry.inode));
            position = entry.next;
            count += 1;
            if count < 7 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        listed.unwrap();
        if count == 0 {
            break;
        }
    }
    assert_eq!(names.len(), fs::read_dir(path).unwrap().count());
    for (name, number) in names {
        use std::os::unix::ffi::OsStrExt;
        let path = path.join(std::ffi::OsStr::from_bytes(&name));
        let child = inode.lookup(&name).unwrap();
        let metadata = child.metadata().unwrap();
        assert_eq!(metadata.inode, number);
        match child.kind() {
            FileKind::Directory => compare(&child, &path, pages),
            FileKind::Symlink => {
                let target = fs::read_link(&path).unwrap();
                assert_eq!(child.read_link().unwrap(), target.as_os_str().as_bytes());
            }
            FileKind::Regular => {
                let expected = fs::read(&path).unwrap();
                let file = open(&child);
                assert_eq!(metadata.size, expected.len() as u64);
                assert!(read(&*file, 0, expected.len() + 10) == expected, "{path:?}");
                let middle = expected.len() / 2;
                let part = read(&*file, middle as u64, 5000);
                assert!(part == expected[middle..(middle + 5000).min(expected.len())]);
                assert!(read(&*file, metadata.size, 5).is_empty());
                assert!(read(&*file, u64::MAX, 5).is_empty());
                let shown = mapped(&*file, pages);
                assert!(shown[..expected.len()] == expected, "{path:?}");
                assert!(
                    shown[expected.len()..].iter().all(|byte| *byte == 0),
                    "{path:?}"
                );
            }
            _ => {}
        }
    }
}

#[test]
fn our_images_are_read_and_mapped() {
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    trees::everything(&tree);
    trees::sparse(&tree.join("large"), 64 << 20);
    let erofs = mounted(image_of_directory(&tree));
    let root = erofs.root();
    compare(&root, &tree, Pages::OfTheImage);

    let large = open(&find(&root, "large"));
    assert_eq!(large.seek_data(0, false), Ok(0));
    assert_eq!(large.seek_data(0, true), Ok(64 << 10));
    let middle = large.seek_data(64 << 10, false).unwrap();
    assert_eq!(middle, ((32 << 20) + 12_345) & !0xffff);
    assert_eq!(large.seek_data((64 << 20) - 1, false), Err(Errno::ENXIO));
    assert_eq!(large.seek_data(64 << 20, true), Err(Errno::ENXIO));

    let attributes = find(&root, "attributes");
    let expected = rustix::fs::getxattr(tree.join("attributes"), "user.binary", &mut [0; 64][..]);
    if expected.is_ok() {
        assert_eq!(attributes.xattr(b"user.binary").unwrap(), b"a\nb\0c=d\n");
        let names = attributes.xattr_names().unwrap();
        assert!(names.contains(&b"user.empty".to_vec()));
    }
    assert_eq!(attributes.xattr(b"user.none"), Err(Errno::ENODATA));

    let statistics = erofs.statistics().unwrap();
    assert_eq!(statistics.blocks * PAGE, platform().image().len() as u64);
    assert_eq!(statistics.blocks_free, 0);
    assert_eq!(erofs.magic(), u64::from(erofs::format::MAGIC));
    let hard = find(&root, "links/hard");
    assert!(hard.is_same(&*find(&root, "size-4097")));
    assert_eq!(hard.metadata().unwrap().links, 3);
}

#[test]
fn foreign_images_are_mapped_with_copies_of_tails() {
    if !tools::has("mkfs.erofs") {
        return;
    }
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    trees::everything(&tree);
    fs::remove_file(tree.join("n".repeat(255))).unwrap();
    for options in [&["-x2"][..], &["--chunksize=4096"]] {
        let path = scratch.join("image.erofs");
        tools::make(&path, &tree, options);
        let erofs = mounted(fs::read(&path).unwrap());
        compare(&erofs.root(), &tree, Pages::SomeCopied);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn nothing_can_be_changed() {
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    trees::small(&tree);
    let erofs = mounted(image_of_directory(&tree));
    let root = erofs.root();
    let owner = Owner::default();
    let refused = root.create(b"new", NewNode::Regular, 0o644, owner);
    assert_eq!(refused.err(), Some(Errno::EROFS));
    assert_eq!(root.unlink(b"size-1"), Err(Errno::EROFS));
    assert_eq!(root.remove_directory(b"links"), Err(Errno::EROFS));
    let file = find(&root, "size-1");
    let change = AttributeChange::default();
    assert_eq!(file.set_attributes(&change), Err(Errno::EROFS));
    assert_eq!(
        file.set_xattr(b"user.a", b"", false, false),
        Err(Errno::EROFS)
    );
    assert_eq!(
        file.clone().open(StatusFlags::READ_WRITE).err(),
        Some(Errno::EROFS)
    );
    assert_eq!(file.lookup(b"x").err(), Some(Errno::ENOTDIR));
    assert_eq!(root.lookup(b"x").err(), Some(Errno::ENOENT));
    // All names of a FIFO lead to one pipe.
    let (one, two) = (find(&root, "fifo"), find(&root, "fifo"));
    let attachment = one.attachment().unwrap();
    let attached: Arc<u32> = attachment.get_or_attach(|| Arc::new(5)).unwrap();
    assert_eq!(two.attachment().unwrap().get::<u32>(), Some(attached));
}
