//! Owners, permission bits, times and extended attributes.

use super::World;
use crate::credentials::Credentials;
use crate::fs::*;
use capsid_platform::Errno;

#[test]
fn only_owners_change_modes() {
    let mut world = World::new();
    world.write("/f", b"").unwrap();
    let path = world.find("/f").unwrap();
    world.view().set_mode(&path, 0o6755).unwrap();
    assert_eq!(world.stat("/f").unwrap().permissions, 0o6755);
    world
        .view()
        .set_owner(&path, Some(1000), Some(1000))
        .unwrap();
    assert_eq!(world.stat("/f").unwrap().permissions, 0o755);
    world.credentials = Credentials::new(1000, 5);
    let view = world.view();
    // Not in the file's group: set-group-id is not given.
    view.set_mode(&path, 0o2755).unwrap();
    assert_eq!(path.inode().metadata().unwrap().permissions, 0o755);
    assert_eq!(view.set_owner(&path, Some(0), None), Err(Errno::EPERM));
    assert_eq!(view.set_owner(&path, None, Some(7)), Err(Errno::EPERM));
    view.set_owner(&path, None, Some(5)).unwrap();
    world.credentials = Credentials::new(1001, 5);
    assert_eq!(world.view().set_mode(&path, 0o777), Err(Errno::EPERM));
}

#[test]
fn writing_takes_set_id_bits_unless_privileged() {
    let mut world = World::new();
    world.write("/f", b"").unwrap();
    let path = world.find("/f").unwrap();
    world.view().set_mode(&path, 0o6777).unwrap();
    let bits = || path.inode().metadata().unwrap().permissions;
    world.write("/f", b"x").unwrap();
    assert_eq!(bits(), 0o6777);
    world.credentials = Credentials::new(1000, 1000);
    let open = world
        .open("/f", StatusFlags::WRITE_ONLY, CreationFlags::empty())
        .unwrap();
    let mut source = crate::io::Source::kernel(b"y");
    open.file.write(WriteAt::End, &mut source).unwrap();
    assert_eq!(bits(), 0o777);
    world.credentials = Credentials::new(0, 0);
    world.view().set_mode(&path, 0o6777).unwrap();
    world.credentials = Credentials::new(1000, 1000);
    world.view().truncate(&path, 0).unwrap();
    assert_eq!(bits(), 0o777);
}

#[test]
fn set_group_directories_pass_their_group_on() {
    let mut world = World::new();
    world.mkdir("/d").unwrap();
    let path = world.find("/d").unwrap();
    world.view().set_owner(&path, None, Some(50)).unwrap();
    world.view().set_mode(&path, 0o2777).unwrap();
    world.credentials = Credentials::new(1000, 1000);
    world.write("/d/f", b"").unwrap();
    world.mkdir("/d/sub").unwrap();
    assert_eq!(world.stat("/d/f").unwrap().owner.group, 50);
    let sub = world.stat("/d/sub").unwrap();
    assert_eq!((sub.owner.group, sub.permissions), (50, 0o2755));
}

#[test]
fn times_move_as_linux_moves_them() {
    let world = World::new();
    world.mkdir("/d").unwrap();
    world.write("/d/f", b"x").unwrap();
    let path = world.find("/d/f").unwrap();
    let view = world.view();
    view.set_times(&path, Some(TimeChange::To(5)), Some(TimeChange::To(9)))
        .unwrap();
    let before = path.inode().metadata().unwrap();
    assert_eq!((before.atime, before.mtime), (5, 9));
    world.read("/d/f").unwrap();
    let after = path.inode().metadata().unwrap();
    assert!(after.atime > 9 && after.mtime == 9);
    let directory = world.stat("/d").unwrap();
    world.unlink("/d/f").unwrap();
    assert!(world.stat("/d").unwrap().mtime > directory.mtime);
    assert!(path.inode().metadata().unwrap().ctime > after.ctime);
}

#[test]
fn access_is_checked_by_class() {
    let mut world = World::new();
    world.write("/f", b"").unwrap();
    let path = world.find("/f").unwrap();
    world.view().set_owner(&path, Some(10), Some(20)).unwrap();
    world.view().set_mode(&path, 0o047).unwrap();
    let allowed = |credentials: &Credentials, access| {
        let view = View {
            credentials,
            ..world.view()
        };
        view.access(&path, access).is_ok()
    };
    let owner = Credentials::new(10, 20);
    let member = Credentials::new(11, 20);
    let other = Credentials::new(12, 21);
    let root = Credentials::new(0, 0);
    assert!(!allowed(&owner, Access::READ));
    assert!(allowed(&member, Access::READ) && !allowed(&member, Access::WRITE));
    assert!(allowed(
        &other,
        Access::READ | Access::WRITE | Access::EXECUTE
    ));
    assert!(allowed(
        &root,
        Access::READ | Access::WRITE | Access::EXECUTE
    ));
    world.view().set_mode(&path, 0o644).unwrap();
    assert!(!allowed(&root, Access::EXECUTE));
    world.credentials = owner;
    assert_eq!(world.view().truncate(&path, 5), Ok(()));
}

#[test]
fn extended_attributes_have_their_name_spaces() {
    let mut world = World::new();
    world.write("/f", b"").unwrap();
    world.symlink("f", "/s").unwrap();
    let path = world.find("/f").unwrap();
    let view = world.view();
    view.set_xattr(&path, b"user.a", b"1", true, false).unwrap();
    assert_eq!(
        view.set_xattr(&path, b"user.a", b"2", true, false),
        Err(Errno::EEXIST)
    );
    assert_eq!(
        view.set_xattr(&path, b"user.b", b"2", false, true),
        Err(Errno::ENODATA)
    );
    view.set_xattr(&path, b"trusted.t", b"3", false, false)
        .unwrap();
    assert_eq!(view.xattr(&path, b"user.a").unwrap(), b"1");
    assert_eq!(view.xattr(&path, b"other.a"), Err(Errno::EOPNOTSUPP));
    let link = view.resolve(world.at("/s"), LookupFlags::empty()).unwrap();
    assert_eq!(
        view.set_xattr(&link, b"user.a", b"", false, false),
        Err(Errno::EPERM)
    );
    world.credentials = Credentials::new(1000, 1000);
    let view = world.view();
    assert_eq!(view.xattr(&path, b"trusted.t"), Err(Errno::ENODATA));
    assert_eq!(
        view.set_xattr(&path, b"user.a", b"", false, false),
        Err(Errno::EACCES)
    );
    assert_eq!(view.xattr_names(&path).unwrap(), [b"user.a"]);
}
