//! What goes into an image comes out again: through our reader, erofs-utils and Linux.

mod support;

use capsid_core::fs::erofs::Image;
use capsid_image::{ImageBuilder, OwnerPolicy};
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use support::snapshot::{Snapshot, assert_same, of_directory, of_image};
use support::tools::Mounted;
use support::{Scratch, image_of_archive, image_of_directory, tools, trees};

/// Checks an image with the tools there are against what it was made of.
fn check_with_tools(scratch: &Scratch, bytes: &[u8], expected: &Snapshot) {
    let path = scratch.join("image.erofs");
    fs::write(&path, bytes).unwrap();
    capsid_image::check_image(&path).unwrap();
    if tools::has("fsck.erofs") {
        tools::check(&path);
        let extracted = scratch.join("extracted");
        tools::extract(&path, &extracted);
        let found = of_directory(&extracted);
        assert_same(&as_extracted(&found), &as_extracted(expected));
    }
    if support::is_root() {
        let directory = scratch.join("mounted");
        if let Some(_mounted) = Mounted::new(&path, &directory) {
            assert_same(&of_directory(&directory), expected);
        }
    }
}

/// What fsck.erofs brings back: no extended attributes, no hard links, no set-id bits, which are
/// lost when it sets owners.
fn as_extracted(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    for entry in snapshot.values_mut() {
        entry.xattrs.clear();
        entry.links = 0;
        entry.first_name.clear();
        entry.mode &= !0o6000;
    }
    snapshot
}

#[test]
fn a_directory_comes_back() {
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    trees::everything(&tree);
    let image = image_of_directory(&tree);
    let expected = of_directory(&tree);
    assert_same(&of_image(&image), &expected);
    check_with_tools(&scratch, &image, &expected);
    assert_eq!(
        image,
        image_of_directory(&tree),
        "the same tree, the same image"
    );
    assert_eq!(image.len() % 4096, 0);
}

#[test]
fn large_directories_are_searched() {
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    trees::many(&tree, 20_000);
    let image = image_of_directory(&tree);
    let expected = of_directory(&tree);
    assert_same(&of_image(&image), &expected);
    check_with_tools(&scratch, &image, &expected);
    let image = Image::new(&image).unwrap();
    let root = capsid_core::fs::erofs::Node::read(&image, image.root()).unwrap();
    for missing in [
        &b"file number"[..],
        b"file number 20000",
        b"\0",
        b"zzz",
        b"file number 5x",
    ] {
        let found = root.find(&image, missing);
        assert_eq!(found, Err(capsid_core::Errno::ENOENT));
    }
}

#[test]
fn large_sparse_files_stay_small() {
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    fs::create_dir(&tree).unwrap();
    trees::sparse(&tree.join("sparse"), 4 << 30);
    fs::write(tree.join("dense"), trees::noise(7, 65 << 20)).unwrap();
    trees::sparse(&tree.join("hole"), (64 << 20) + 5);
    let image = image_of_directory(&tree);
    assert!(image.len() < 67 << 20, "{}", image.len());
    let expected = of_directory(&tree);
    assert_same(&of_image(&image), &expected);
    let path = scratch.join("image.erofs");
    fs::write(&path, &image).unwrap();
    // Old versions of fsck.erofs write files with holes short, so that is not compared.
    if tools::has("fsck.erofs") {
        tools::check(&path);
    }
    if support::is_root() {
        let directory = scratch.join("mounted");
        if let Some(_mounted) = Mounted::new(&path, &directory) {
            assert_same(&of_directory(&directory), &expected);
        }
    }
}

/// Packs a tree by GNU tar.
fn pack(tree: &Path, options: &[&str]) -> Vec<u8> {
    let mut command = Command::new("tar");
    command
        .arg("-C")
        .arg(tree)
        .args(options)
        .args(["-cf", "-", "."]);
    tools::run(&mut command).stdout
}

#[test]
fn archives_come_back() {
    if !tools::has("tar") {
        return;
    }
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    trees::everything(&tree);
    // tar leaves sockets out.
    fs::remove_file(tree.join("socket")).unwrap();
    trees::set_mtime(&tree, 1_600_000_000, 0);
    let mut expected = of_directory(&tree);
    let pax = ["--format=pax", "--xattrs", "--xattrs-include=*", "--sparse"];
    let image = image_of_archive(&pack(&tree, &pax)).unwrap();
    assert_same(&of_image(&image), &expected);
    check_with_tools(&scratch, &image, &expected);
    for version in ["--sparse-version=0.0", "--sparse-version=0.1"] {
        let archive = pack(&tree, &[&pax[..], &[version]].concat());
        assert_same(&of_image(&image_of_archive(&archive).unwrap()), &expected);
    }
    // The older formats know whole seconds only.
    for entry in expected.values_mut() {
        entry.mtime.1 = 0;
        entry.xattrs.clear();
    }
    for options in [&["--format=gnu"][..], &["--format=gnu", "--sparse"]] {
        let image = image_of_archive(&pack(&tree, options)).unwrap();
        assert_same(&of_image(&image), &expected);
    }
}

#[test]
fn compressed_archives_come_back() {
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    trees::many(&tree, 300);
    fs::write(tree.join("noise"), trees::noise(3, 400_000)).unwrap();
    fs::write(tree.join("text"), "all work and no play\n".repeat(30_000)).unwrap();
    let archive = pack(&tree, &["--format=pax"]);
    let image = image_of_archive(&archive).unwrap();
    let plain = scratch.join("plain.tar");
    fs::write(&plain, &archive).unwrap();
    for (program, options) in [
        ("gzip", &["-c"][..]),
        ("zstd", &["-c", "-q"]),
        ("zstd", &["-c", "-q", "--ultra", "-22"]),
        ("xz", &["-c"]),
        ("xz", &["-c", "-9e", "--check=sha256"]),
    ] {
        if !tools::has(program) {
            continue;
        }
        let packed = tools::run(Command::new(program).args(options).arg(&plain)).stdout;
        assert!(
            image_of_archive(&packed).unwrap() == image,
            "{program} {options:?}"
        );
        // Two streams, one after the other, are one archive.
        let (head, tail) = archive.split_at(100_000);
        let mut joined = Vec::new();
        for part in [head, tail] {
            fs::write(scratch.join("part"), part).unwrap();
            let mut command = Command::new(program);
            joined.extend(tools::run(command.args(options).arg(scratch.join("part"))).stdout);
        }
        assert!(
            image_of_archive(&joined).unwrap() == image,
            "{program}, two streams"
        );
        // Cut short or changed, it is refused.
        assert!(
            image_of_archive(&packed[..packed.len() / 2]).is_err(),
            "{program}"
        );
        let mut wrong = packed.clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 0x55;
        assert!(image_of_archive(&wrong).is_err(), "{program}");
    }
}

#[test]
fn foreign_images_are_read() {
    if !tools::has("mkfs.erofs") {
        return;
    }
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    trees::everything(&tree);
    // mkfs.erofs 1.5 takes names of 254 bytes at most.
    fs::remove_file(tree.join("n".repeat(255))).unwrap();
    let expected = of_directory(&tree);
    for options in [
        &["-x2"][..],
        &["-Eforce-inode-extended"],
        &["-Enoinline_data"],
        &["--chunksize=4096"],
        &["--chunksize=65536", "-Eforce-chunk-indexes"],
        // Every attribute is shared.
        &["-x1"],
    ] {
        let path = scratch.join("foreign.erofs");
        tools::make(&path, &tree, &[&["--preserve-mtime"], options].concat());
        let bytes = fs::read(&path).unwrap();
        assert_same(&of_image(&bytes), &expected);
        fs::remove_file(&path).unwrap();
    }
    // Compact inodes have the time of the whole image, and 16-bit owners.
    let path = scratch.join("compact.erofs");
    if support::is_root() {
        std::os::unix::fs::chown(tree.join("setgid"), Some(1), Some(2)).unwrap();
    }
    let mut expected = of_directory(&tree);
    tools::make(&path, &tree, &["-Eforce-inode-compact", "-T1234567"]);
    for entry in expected.values_mut() {
        entry.mtime = (1_234_567, 0);
    }
    assert_same(&of_image(&fs::read(&path).unwrap()), &expected);
    // Compressed images are refused when they are opened.
    let path = scratch.join("compressed.erofs");
    tools::make(&path, &tree, &["-zlz4"]);
    let error = capsid_image::check_image(&path).unwrap_err().to_string();
    assert!(error.contains("compression"), "{error}");
}

#[test]
fn owners_can_be_set() {
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    trees::many(&tree, 3);
    let owner = OwnerPolicy::Set { user: 7, group: 8 };
    let mut builder = ImageBuilder::new(Cursor::new(Vec::new())).owner(owner);
    builder.add_directory(&tree).unwrap();
    let (image, summary) = builder.finish().unwrap();
    assert_eq!(summary.inodes, 4);
    let snapshot = of_image(image.get_ref());
    assert!(snapshot.values().all(|entry| entry.owner == (7, 8)));
}
