//! Making, linking, moving and removing names.

use super::{World, read_all};
use crate::credentials::Credentials;
use crate::fs::*;
use capsid_platform::Errno;

#[test]
fn open_creates_as_its_flags_say() {
    let world = World::new();
    let create = CreationFlags::CREATE;
    let exclusive = create | CreationFlags::EXCLUSIVE;
    let write = StatusFlags::WRITE_ONLY;
    world.open("/f", write, exclusive).unwrap();
    assert_eq!(
        world.open("/f", write, exclusive).unwrap_err(),
        Errno::EEXIST
    );
    assert_eq!(world.open("/d/", write, create).unwrap_err(), Errno::EISDIR);
    world.mkdir("/d").unwrap();
    assert_eq!(world.open("/d", write, create).unwrap_err(), Errno::EISDIR);
    assert_eq!(
        world.open("/d", StatusFlags::empty(), create).unwrap_err(),
        Errno::EISDIR
    );
    world.symlink("/d/new", "/dangling").unwrap();
    assert_eq!(
        world.open("/dangling", write, exclusive).unwrap_err(),
        Errno::EEXIST
    );
    world.write("/dangling", b"x").unwrap();
    assert_eq!(world.read("/d/new").unwrap(), b"x");
    let nofollow = write | StatusFlags::NOFOLLOW;
    assert_eq!(
        world.open("/dangling", nofollow, create).unwrap_err(),
        Errno::ELOOP
    );
    let directory = StatusFlags::DIRECTORY;
    let none = CreationFlags::empty();
    assert_eq!(
        world.open("/f", directory, none).unwrap_err(),
        Errno::ENOTDIR
    );
    assert_eq!(world.stat("/f").unwrap().mode(), 0o100_644);
    world
        .open("/d/new", write, CreationFlags::TRUNCATE)
        .unwrap();
    assert_eq!(world.stat("/d/new").unwrap().size, 0);
}

#[test]
fn files_without_a_name_can_get_one() {
    let world = World::new();
    let flags = StatusFlags::READ_WRITE | StatusFlags::DIRECTORY;
    let open = world.open("/", flags, CreationFlags::UNNAMED).unwrap();
    assert_eq!(open.file.metadata().unwrap().links, 0);
    let path = open.path().unwrap();
    let from = Place::new(path, b"");
    let to = world.at("/named");
    world
        .view()
        .link(from, to, LookupFlags::EMPTY_PATH)
        .unwrap();
    assert_eq!(world.stat("/named").unwrap().links, 1);
    world.unlink("/named").unwrap();
    let again = world.view().link(from, to, LookupFlags::EMPTY_PATH);
    assert_eq!(again, Err(Errno::ENOENT));
}

#[test]
fn links_share_the_inode() {
    let world = World::new();
    world.write("/one", b"shared").unwrap();
    let link = |from, to| {
        let flags = LookupFlags::empty();
        world.view().link(world.at(from), world.at(to), flags)
    };
    link("/one", "/two").unwrap();
    assert_eq!(world.stat("/two").unwrap().links, 2);
    assert_eq!(link("/one", "/two"), Err(Errno::EEXIST));
    world.mkdir("/d").unwrap();
    assert_eq!(link("/d", "/e"), Err(Errno::EPERM));
    assert_eq!(world.rename("/one", "/two"), Ok(()));
    assert_eq!(world.stat("/one").unwrap().links, 2);
    let open = world
        .open("/one", StatusFlags::empty(), CreationFlags::empty())
        .unwrap();
    world.unlink("/one").unwrap();
    world.unlink("/two").unwrap();
    assert_eq!(read_all(&open).unwrap(), b"shared");
    assert_eq!(open.file.metadata().unwrap().links, 0);
}

#[test]
fn removing_checks_kinds_and_contents() {
    let world = World::new();
    world.mkdir("/d").unwrap();
    world.write("/d/f", b"").unwrap();
    assert_eq!(world.rmdir("/d"), Err(Errno::ENOTEMPTY));
    assert_eq!(world.rmdir("/d/f"), Err(Errno::ENOTDIR));
    assert_eq!(world.unlink("/d"), Err(Errno::EISDIR));
    assert_eq!(world.unlink("/d/f/"), Err(Errno::ENOTDIR));
    assert_eq!(world.rmdir("/d/."), Err(Errno::EINVAL));
    assert_eq!(world.rmdir("/d/.."), Err(Errno::ENOTEMPTY));
    assert_eq!(world.rmdir("/"), Err(Errno::EBUSY));
    world.unlink("/d/f").unwrap();
    assert_eq!(world.unlink("/d/f"), Err(Errno::ENOENT));
    let held = world.find("/d").unwrap();
    world.rmdir("/d/").unwrap();
    let inside = Place::new(&held, b"new");
    assert_eq!(
        world.view().make_directory(inside, 0o777),
        Err(Errno::ENOENT)
    );
    assert_eq!(world.stat("/").unwrap().links, 2);
}

#[test]
fn mkdir_and_friends_find_what_exists() {
    let world = World::new();
    world.mkdir("/d/").unwrap();
    for path in ["/d", "/d/.", "/d/..", "/"] {
        assert_eq!(world.mkdir(path), Err(Errno::EEXIST), "{path}");
    }
    assert_eq!(world.symlink("x", "/none/"), Err(Errno::ENOENT));
    assert_eq!(world.symlink("x", "/d/"), Err(Errno::EEXIST));
    assert_eq!(world.symlink("", "/s"), Err(Errno::ENOENT));
}

#[test]
fn rename_follows_its_rules() {
    let world = World::new();
    world.mkdir("/a").unwrap();
    world.mkdir("/a/b").unwrap();
    world.mkdir("/c").unwrap();
    world.write("/f", b"f").unwrap();
    world.write("/g", b"g").unwrap();
    assert_eq!(world.rename("/a", "/a/b/x"), Err(Errno::EINVAL));
    assert_eq!(world.rename("/a/b", "/a"), Err(Errno::ENOTEMPTY));
    assert_eq!(world.rename("/f", "/a"), Err(Errno::EISDIR));
    assert_eq!(world.rename("/a", "/f"), Err(Errno::ENOTDIR));
    assert_eq!(world.rename("/c", "/a"), Err(Errno::ENOTEMPTY));
    assert_eq!(world.rename("/f", "/none/"), Err(Errno::ENOTDIR));
    assert_eq!(world.rename("/a/.", "/x"), Err(Errno::EBUSY));
    assert_eq!(world.rename("/none", "/x"), Err(Errno::ENOENT));
    world.rename("/a", "/c").unwrap();
    assert_eq!(world.list("/c").unwrap(), [".", "..", "b"]);
    world.rename("/f", "/g").unwrap();
    assert_eq!(world.read("/g").unwrap(), b"f");
    assert_eq!(world.stat("/f").unwrap_err(), Errno::ENOENT);
    let flags = RenameFlags::NOREPLACE;
    let result = world.view().rename(world.at("/g"), world.at("/c"), flags);
    assert_eq!(result, Err(Errno::EEXIST));
    let flags = RenameFlags::EXCHANGE;
    world
        .view()
        .rename(world.at("/g"), world.at("/c/b"), flags)
        .unwrap();
    assert_eq!(world.read("/c/b").unwrap(), b"f");
    assert_eq!(world.stat("/g").unwrap().kind, FileKind::Directory);
    let moved = world.find("/g").unwrap();
    assert_eq!(moved.directory_text(&world.root).unwrap(), b"/g");
    assert_eq!(world.stat("/").unwrap().links, 4);
}

#[test]
fn sticky_directories_protect_names() {
    let mut world = World::new();
    world.mkdir("/tmp").unwrap();
    let tmp = world.find("/tmp").unwrap();
    world.view().set_mode(&tmp, 0o1777).unwrap();
    world.write("/tmp/root", b"").unwrap();
    world.credentials = Credentials::new(1000, 1000);
    world.write("/tmp/mine", b"").unwrap();
    assert_eq!(world.unlink("/tmp/root"), Err(Errno::EPERM));
    assert_eq!(world.rename("/tmp/mine", "/tmp/root"), Err(Errno::EPERM));
    assert_eq!(world.unlink("/tmp/mine"), Ok(()));
    assert_eq!(world.write("/new", b""), Err(Errno::EACCES));
    world.credentials = Credentials::new(1001, 1001);
    let flags = LookupFlags::empty();
    let link = world
        .view()
        .link(world.at("/tmp/root"), world.at("/tmp/l"), flags);
    assert_eq!(link, Err(Errno::EPERM));
}

#[test]
fn listing_survives_changes() {
    let world = World::new();
    for i in 0..20 {
        world.write(&alloc::format!("/f{i}"), b"").unwrap();
    }
    let open = world
        .open("/", StatusFlags::DIRECTORY, CreationFlags::empty())
        .unwrap();
    let mut seen = alloc::vec::Vec::new();
    for round in 0.. {
        let mut count = 0;
        open.read_directory(&mut |entry| {
            if count == 3 {
                return core::ops::ControlFlow::Break(());
            }
            count += 1;
            seen.push(entry.name.to_vec());
            core::ops::ControlFlow::Continue(())
        })
        .unwrap();
        if count == 0 {
            break;
        }
        // What was listed may go and come back; the rest is still seen once.
        world.unlink(&alloc::format!("/f{round}")).unwrap();
        if round < 3 {
            world.write(&alloc::format!("/n{round}"), b"").unwrap();
        }
    }
    for i in 10..20 {
        let name = alloc::format!("f{i}").into_bytes();
        assert_eq!(seen.iter().filter(|other| **other == name).count(), 1);
    }
}
