//! Archives as people and attackers make them.

mod support;

use capsid_image::{ImageBuilder, ImageError, Refusal};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use std::io;
use support::image_of_archive;
use support::snapshot::{Snapshot, of_image};
use tar::{Builder, EntryType, Header};

/// A member: type, path, link target, bytes.
type Member<'a> = (EntryType, &'a str, &'a str, &'a [u8]);

fn archive(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, path, target, bytes) in members {
        let mut header = Header::new_gnu();
        // `set_path` refuses what attackers do not.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn imported(members: &[Member<'_>]) -> Result<Snapshot, ImageError> {
    image_of_archive(&archive(members)).map(|image| of_image(&image))
}

fn refusal(members: &[Member<'_>]) -> Refusal {
    match imported(members) {
        Err(ImageError::Refused { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

const FILE: EntryType = EntryType::Regular;
const DIRECTORY: EntryType = EntryType::Directory;
const SYMLINK: EntryType = EntryType::Symlink;
const LINK: EntryType = EntryType::Link;

#[test]
fn paths_stay_inside() {
    let snapshot = imported(&[
        (FILE, "/absolute", "", b"1"),
        (FILE, "././//dots/./file", "", b"22"),
        (SYMLINK, "up", "../../..", b""),
        (FILE, "up/through", "", b"333"),
        (SYMLINK, "lib", "usr/lib", b""),
        (DIRECTORY, "usr/lib", "", b""),
        (FILE, "lib/library", "", b"4444"),
    ])
    .unwrap();
    let size = |path: &str| snapshot[path.as_bytes()].size;
    assert_eq!(size("/absolute"), 1);
    assert_eq!(size("/dots/file"), 2);
    assert_eq!(size("/through"), 3);
    assert_eq!(size("/usr/lib/library"), 4);
    assert_eq!(snapshot[&b"/lib"[..]].target, b"usr/lib");
    assert_eq!(refusal(&[(FILE, "a/../../b", "", b"")]), Refusal::GoesUp);
    assert_eq!(refusal(&[(FILE, "..", "", b"")]), Refusal::GoesUp);
}

#[test]
fn the_last_member_of_a_name_wins() {
    let snapshot = imported(&[
        (FILE, "a", "", b"old"),
        (LINK, "b", "a", b""),
        (FILE, "a", "", b"newer"),
        (SYMLINK, "c", "a", b""),
        (DIRECTORY, "c", "", b""),
        (FILE, "c/d", "", b"d"),
        (DIRECTORY, "c/", "", b""),
    ])
    .unwrap();
    assert_eq!(snapshot[&b"/a"[..]].size, 5);
    assert_eq!(snapshot[&b"/b"[..]].size, 3);
    assert_eq!(snapshot[&b"/b"[..]].links, 1);
    assert_eq!(snapshot[&b"/c/d"[..]].size, 1);
    let over = [(FILE, "x/y", "", &b""[..]), (FILE, "x", "", b"")];
    assert_eq!(refusal(&over), Refusal::ReplacesDirectory);
    assert_eq!(refusal(&[(FILE, ".", "", b"")]), Refusal::ReplacesDirectory);
}

#[test]
fn wrong_members_are_refused() {
    let below = [(FILE, "a", "", &b""[..]), (FILE, "a/b", "", b"")];
    assert_eq!(refusal(&below), Refusal::BelowNonDirectory);
    let circle = [
        (SYMLINK, "a", "b", &b""[..]),
        (SYMLINK, "b", "a", b""),
        (FILE, "a/file", "", b""),
    ];
    assert_eq!(refusal(&circle), Refusal::SymlinkLoop);
    assert_eq!(
        refusal(&[(LINK, "a", "nothing", b"")]),
        Refusal::BadHardLink
    );
    let directory = [(DIRECTORY, "d", "", &b""[..]), (LINK, "a", "d", b"")];
    assert_eq!(refusal(&directory), Refusal::BadHardLink);
    assert_eq!(refusal(&[(SYMLINK, "a", "", b"")]), Refusal::BadSymlink);
    let volume = EntryType::new(b'M');
    assert_eq!(refusal(&[(volume, "a", "", b"")]), Refusal::MultiVolume);
    let extended = [
        (EntryType::XHeader, "x", "", &b"9 uid=no\n"[..]),
        (FILE, "a", "", b""),
    ];
    assert_eq!(refusal(&extended), Refusal::BadNumber);
}

#[test]
fn links_to_themselves_are_harmless() {
    let snapshot = imported(&[(FILE, "a", "", b"1"), (LINK, "a", "a", b"")]).unwrap();
    assert_eq!(snapshot[&b"/a"[..]].links, 1);
}

#[test]
fn extended_headers_are_bounded() {
    let mut header = Header::new_ustar();
    header.set_path("x").unwrap();
    header.set_entry_type(EntryType::XHeader);
    header.set_size(1 << 40);
    header.set_cksum();
    let error = image_of_archive(header.as_bytes()).unwrap_err();
    let bad = Refusal::BadExtendedHeader;
    assert!(matches!(error, ImageError::Refused { reason, .. } if reason == bad));
}

#[test]
fn huge_sparse_files_cost_nothing() {
    let mut header = Header::new_gnu();
    header.set_path("huge").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(5);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 50);
    gnu.sparse[0].set_offset((1 << 50) - 5);
    gnu.sparse[0].set_length(5);
    header.set_cksum();
    let mut archive = Builder::new(Vec::new());
    archive.append(&header, &b"hello"[..]).unwrap();
    let archive = archive.into_inner().unwrap();
    // The data is at the end of a chunk of 16 GiB: nobody wants to hold that in memory.
    let mut builder = ImageBuilder::new(io::empty());
    builder.add_archive(&*archive).unwrap();
    let (_, summary) = builder.finish().unwrap();
    assert_eq!((summary.inodes, summary.bytes), (2, 5));
}

#[test]
fn archives_end_in_several_ways() {
    let full = archive(&[(FILE, "a", "", b"data"), (FILE, "b", "", b"")]);
    let expected = image_of_archive(&full).unwrap();
    // Without the blocks of zeros, and with much behind them.
    let mut long = full.clone();
    long.extend([7; 10_000]);
    for bytes in [&full[..full.len() - 1024], &long] {
        assert_eq!(image_of_archive(bytes).unwrap(), expected);
    }
    for length in [513, 514, 1024 + 100, 1024 + 511] {
        let error = image_of_archive(&full[..length]).unwrap_err();
        assert!(
            matches!(error, ImageError::Damaged { .. }),
            "{length}: {error}"
        );
    }
    assert!(image_of_archive(&[0; 10_240]).is_ok());
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let format = |bytes: &[u8]| match image_of_archive(bytes) {
        Err(ImageError::Format(what)) => what,
        other => panic!("{other:?}"),
    };
    assert!(format(b"").contains("empty"));
    assert!(format(b"BZh91AY&SY").contains("bzip2"));
    assert!(format(b"\x7fELF").contains("no tar archive"));
    assert!(format(&[b'x'; 5000]).contains("no tar archive"));
    let image = image_of_archive(&[0; 1024]).unwrap();
    assert!(format(&image).contains("EROFS image already"));
}

#[test]
fn errors_name_the_member() {
    let error = imported(&[(FILE, "etc/x", "", b""), (FILE, "etc/x/y", "", b"")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "etc/x/y: it lies below something that is not a directory"
    );
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(0x7a7),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    }
}

/// Imports without keeping the image: holes may be of any size.
fn digest(bytes: &[u8]) {
    let mut builder = ImageBuilder::new(io::empty());
    if builder.add_archive(bytes).is_ok() {
        let _ = builder.finish();
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn any_bytes_are_an_archive_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        digest(&bytes);
        for magic in [&b"\x1f\x8b\x08\x00"[..], b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0"] {
            digest(&[magic, &bytes].concat());
        }
    }

    #[test]
    fn changed_headers_make_errors(
        kinds in prop::collection::vec(prop::sample::select(&b"0123456789xgLKSVMD\0Z"[..]), 1..6),
        paths in prop::collection::vec("[ab/.]{0,12}", 6),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..6,
        ),
    ) {
        let records = b"30 mtime=1350244992.023960108\n";
        let mut bytes = Vec::new();
        for (kind, path) in kinds.iter().zip(&paths) {
            let kind = EntryType::new(*kind);
            let data: &[u8] = if kind == EntryType::XHeader { records } else { b"a/b" };
            let member = archive(&[(kind, path, &paths[5], data)]);
            bytes.extend_from_slice(&member[..1024]);
        }
        for (block, offset, value) in changes {
            let start = block.index(bytes.len() / 1024) * 1024;
            bytes[start + offset.index(1024)] = value;
            // The attacker's checksums are right.
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(&bytes[start..start + 512]);
            header.set_cksum();
            bytes[start..start + 512].copy_from_slice(header.as_bytes());
        }
        digest(&bytes);
    }
}
