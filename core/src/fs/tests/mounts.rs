//! Mounts.

use super::World;
use crate::fs::tmpfs::{Tmpfs, TmpfsOptions};
use crate::fs::*;
use capsid_platform::Errno;

#[test]
fn mounts_cover_and_uncover() {
    let world = World::new();
    world.mkdir("/m").unwrap();
    world.write("/m/below", b"").unwrap();
    let at = world.find("/m").unwrap();
    let options = TmpfsOptions::default();
    let flags = MountFlags::empty();
    world
        .namespace
        .mount(Tmpfs::new(options), &at, flags, b"tmpfs")
        .unwrap();
    assert_eq!(world.stat("/m/below").unwrap_err(), Errno::ENOENT);
    world.mkdir("/m/sub").unwrap();
    let inside = world.find("/m/sub").unwrap();
    assert_eq!(inside.directory_text(&world.root).unwrap(), b"/m/sub");
    assert_eq!(
        world.stat("/m/sub/../../m/below").unwrap_err(),
        Errno::ENOENT
    );
    let up = world.find("/m/sub/../..").unwrap();
    assert!(up.is_same(&world.root));
    assert_eq!(world.rename("/m/sub", "/sub"), Err(Errno::EXDEV));
    assert_eq!(world.rmdir("/m"), Err(Errno::EBUSY));
    assert_eq!(world.rename("/m", "/n"), Err(Errno::EBUSY));
    let top = world.find("/m").unwrap();
    assert_eq!(
        world.namespace.unmount(&top, Detach::IfUnused),
        Err(Errno::EBUSY)
    );
    drop(inside);
    world.namespace.unmount(&top, Detach::IfUnused).unwrap();
    assert!(world.stat("/m/below").is_ok());
    assert_eq!(world.namespace.mounts().len(), 1);
}

#[test]
fn read_only_mounts_refuse_changes() {
    let world = World::new();
    world.mkdir("/d").unwrap();
    world.write("/d/f", b"x").unwrap();
    world.mkdir("/view").unwrap();
    let (what, at) = (world.find("/d").unwrap(), world.find("/view").unwrap());
    world
        .namespace
        .bind(&what, &at, MountFlags::READ_ONLY)
        .unwrap();
    assert_eq!(world.read("/view/f").unwrap(), b"x");
    assert_eq!(world.write("/view/f", b"y"), Err(Errno::EROFS));
    assert_eq!(world.mkdir("/view/new"), Err(Errno::EROFS));
    assert_eq!(world.mkdir("/view/f"), Err(Errno::EEXIST));
    assert_eq!(world.unlink("/view/f"), Err(Errno::EROFS));
    let path = world.find("/view/f").unwrap();
    assert_eq!(world.view().set_mode(&path, 0o777), Err(Errno::EROFS));
    world.write("/d/f", b"z").unwrap();
    assert_eq!(world.read("/view/f").unwrap(), b"z");
}

#[test]
fn files_can_cover_files_only() {
    let world = World::new();
    world.mkdir("/d").unwrap();
    world.write("/f", b"f").unwrap();
    world.write("/g", b"g").unwrap();
    let find = |path| world.find(path).unwrap();
    let bind = |what, at| {
        let flags = MountFlags::empty();
        world
            .namespace
            .bind(&find(what), &find(at), flags)
            .map(drop)
    };
    assert_eq!(bind("/d", "/f"), Err(Errno::ENOTDIR));
    assert_eq!(bind("/f", "/d"), Err(Errno::ENOTDIR));
    bind("/f", "/g").unwrap();
    assert_eq!(world.read("/g").unwrap(), b"f");
}

#[test]
fn lazily_detached_mounts_live_on_for_their_users() {
    let world = World::new();
    world.mkdir("/m").unwrap();
    let at = world.find("/m").unwrap();
    let tmpfs = Tmpfs::new(TmpfsOptions::default());
    world
        .namespace
        .mount(tmpfs, &at, MountFlags::empty(), b"tmpfs")
        .unwrap();
    world.write("/m/f", b"still").unwrap();
    let open = world
        .open("/m/f", StatusFlags::empty(), CreationFlags::empty())
        .unwrap();
    let top = world.find("/m").unwrap();
    world.namespace.unmount(&top, Detach::Lazily).unwrap();
    assert_eq!(super::read_all(&open).unwrap(), b"still");
    assert_eq!(world.stat("/m/f").unwrap_err(), Errno::ENOENT);
    let text = top.directory_text(&world.root).unwrap();
    assert_eq!(text, b"(unreachable)/");
}
