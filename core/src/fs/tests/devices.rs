//! The device nodes.

use super::World;
use crate::credentials::Credentials;
use crate::fs::*;
use crate::io::{Destination, Source};
use capsid_platform::Errno;

#[test]
fn devices_do_what_their_numbers_say() {
    crate::test_platform::install();
    let world = World::over(devfs::new().unwrap());
    let open = |path: &str| {
        world
            .open(path, StatusFlags::READ_WRITE, CreationFlags::empty())
            .unwrap()
    };
    let read = |path: &str| {
        let mut bytes = [7; 64];
        let count = open(path)
            .file
            .read(0, &mut Destination::kernel(&mut bytes));
        (count, bytes)
    };
    let write = |path: &str| {
        let at = WriteAt::Offset(0);
        open(path).file.write(at, &mut Source::kernel(b"abc"))
    };
    assert_eq!(read("/null"), (Ok(0), [7; 64]));
    assert_eq!(read("/zero"), (Ok(64), [0; 64]));
    assert_eq!(read("/full"), (Ok(64), [0; 64]));
    assert_ne!(read("/urandom").1, read("/random").1);
    assert_eq!(write("/null"), Ok((3, 3)));
    assert_eq!(write("/full"), Err(Errno::ENOSPC));
    assert_eq!(world.stat("/shm").unwrap().permissions, 0o1777);
    let link = world.view().read_link(world.at("/stdin")).unwrap();
    assert_eq!(link, b"/proc/self/fd/0");
    assert_eq!(world.stat("/null").unwrap().mode(), 0o020_666);
}

#[test]
fn nodes_need_a_driver_and_a_mount_that_lets_them_be() {
    let mut world = World::new();
    let node = |major, minor| NewNode::CharacterDevice(DeviceId { major, minor });
    let make =
        |world: &World, path: &str, node| world.view().make_node(world.at(path), node, 0o666);
    devfs::new().unwrap();
    make(&world, "/n", node(1, 3)).unwrap();
    make(&world, "/none", node(77, 3)).unwrap();
    make(&world, "/socket", NewNode::Socket).unwrap();
    let open = |world: &World, path: &str| {
        world
            .open(path, StatusFlags::empty(), CreationFlags::empty())
            .map(drop)
    };
    assert_eq!(open(&world, "/n"), Ok(()));
    assert_eq!(open(&world, "/none"), Err(Errno::ENXIO));
    assert_eq!(open(&world, "/socket"), Err(Errno::ENXIO));
    world.root.mount().set_flags(MountFlags::NO_DEVICES);
    assert_eq!(open(&world, "/n"), Err(Errno::EACCES));
    world.credentials = Credentials::new(1000, 1000);
    assert_eq!(make(&world, "/x", node(1, 3)), Err(Errno::EPERM));
}
