//! Path walking.

use super::World;
use crate::credentials::Credentials;
use crate::fs::*;
use alloc::string::String;
use capsid_platform::Errno;

fn sample() -> World {
    let world = World::new();
    world.mkdir("/a").unwrap();
    world.mkdir("/a/b").unwrap();
    world.write("/a/b/file", b"hello").unwrap();
    world.symlink("b", "/a/link").unwrap();
    world.symlink("/a/b/file", "/absolute").unwrap();
    world.symlink("loop", "/loop").unwrap();
    world
}

#[test]
fn symlinks_and_dots_are_walked() {
    let world = sample();
    for path in [
        "/a/b/file",
        "a//b/./file",
        "/a/link/file",
        "/a/link/../b/file",
        "/../../a/b/file",
        "/absolute",
        "/a/b/../link/../../absolute",
    ] {
        assert_eq!(world.read(path).unwrap(), b"hello", "{path}");
    }
    assert_eq!(world.find("/loop").unwrap_err(), Errno::ELOOP);
    assert_eq!(world.stat("/loop").unwrap().kind, FileKind::Symlink);
    assert_eq!(world.find("/a/b/file/").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(world.find("/a/b/file/..").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(world.find("/a/b/file/x").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(world.find("/a/none/x").unwrap_err(), Errno::ENOENT);
    assert_eq!(world.find("").unwrap_err(), Errno::ENOENT);
    assert_eq!(world.stat("/a/link/").unwrap().kind, FileKind::Directory);
}

#[test]
fn long_names_and_paths_are_refused() {
    let world = sample();
    let name = String::from_utf8(alloc::vec![b'x'; 256]).unwrap();
    assert_eq!(world.find(&name).unwrap_err(), Errno::ENAMETOOLONG);
    assert_eq!(world.write(&name, b"").unwrap_err(), Errno::ENAMETOOLONG);
    world.write(&name[..255], b"").unwrap();
    let path = "a/../".repeat(900);
    assert_eq!(world.find(&path).unwrap_err(), Errno::ENAMETOOLONG);
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let world = World::new();
    world.write("/l0", b"end").unwrap();
    for i in 0..41 {
        let target = alloc::format!("l{i}");
        let path = alloc::format!("/l{}", i + 1);
        world.symlink(&target, &path).unwrap();
    }
    assert_eq!(world.read("/l40").unwrap(), b"end");
    assert_eq!(world.read("/l41").unwrap_err(), Errno::ELOOP);
}

#[test]
fn a_root_confines() {
    let mut world = sample();
    world.root = world.find("/a").unwrap();
    assert_eq!(world.read("/../../b/file").unwrap(), b"hello");
    assert_eq!(world.find("/../absolute").unwrap_err(), Errno::ENOENT);
    world.symlink("/b/file", "/here").unwrap();
    assert_eq!(world.read("/here").unwrap(), b"hello");
}

#[test]
fn resolve_flags_confine() {
    let world = sample();
    let start = world.find("/a").unwrap();
    let resolve = |path: &str, flags| {
        let place = Place::new(&start, path.as_bytes());
        let flags = flags | LookupFlags::FOLLOW;
        world.view().resolve(place, flags).map(drop)
    };
    assert_eq!(resolve("link/file", LookupFlags::BENEATH), Ok(()));
    assert_eq!(resolve("b/../b", LookupFlags::BENEATH), Ok(()));
    assert_eq!(resolve("../a", LookupFlags::BENEATH), Err(Errno::EXDEV));
    assert_eq!(resolve("/a", LookupFlags::BENEATH), Err(Errno::EXDEV));
    assert_eq!(resolve("/b/file", LookupFlags::IN_ROOT), Ok(()));
    assert_eq!(resolve("../../b/file", LookupFlags::IN_ROOT), Ok(()));
    assert_eq!(resolve("link", LookupFlags::NO_SYMLINKS), Err(Errno::ELOOP));
}

#[test]
fn search_permission_is_needed_on_each_directory() {
    let mut world = sample();
    let path = world.find("/a").unwrap();
    world.view().set_mode(&path, 0o700).unwrap();
    world.credentials = Credentials::new(1000, 1000);
    assert_eq!(world.find("/a").map(drop), Ok(()));
    assert_eq!(world.find("/a/b").unwrap_err(), Errno::EACCES);
    assert_eq!(world.find("/a/..").unwrap_err(), Errno::EACCES);
}

#[test]
fn places_read_as_text() {
    let world = sample();
    let directory = world.find("/a/b").unwrap();
    assert_eq!(directory.directory_text(&world.root).unwrap(), b"/a/b");
    assert_eq!(world.root.directory_text(&world.root).unwrap(), b"/");
    let inner = world.find("/a").unwrap();
    assert_eq!(directory.directory_text(&inner).unwrap(), b"/b");
    let outside = world.root.directory_text(&inner).unwrap();
    assert_eq!(outside, b"(unreachable)/");
    let file = world.find("/a/b/file").unwrap();
    world.unlink("/a/b/file").unwrap();
    assert_eq!(file.link_text(&world.root), b"/a/b/file (deleted)");
    world.rmdir("/a/b").unwrap();
    assert_eq!(directory.directory_text(&world.root), None);
    let place = Place::new(&directory, b"..");
    let above = world.view().resolve(place, LookupFlags::empty()).unwrap();
    assert!(above.is_same(&inner));
}
