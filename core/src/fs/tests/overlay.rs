//! The overlay: against a plain tree, and what layers make special.

use super::operations::{Operation, operations};
use super::{World, read_all};
use crate::fs::overlay::Overlay;
use crate::fs::tmpfs::{Tmpfs, TmpfsOptions};
use crate::fs::*;
use crate::io::Source;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::Errno;
use proptest::prelude::*;

fn over(lowers: &[&World]) -> World {
    let upper = Tmpfs::new(TmpfsOptions::default());
    let lowers = lowers
        .iter()
        .map(|world| world.root.mount().file_system().clone())
        .collect();
    World::over(Overlay::new(upper, lowers))
}

/// A lower layer made by operations, which may fail.
fn lower(operations: &[Operation]) -> World {
    let world = World::new();
    for operation in operations {
        let _ = world.apply(operation);
    }
    world
}

proptest! {
    #![proptest_config(crate::test_platform::proptest_config(500))]
    #[test]
    fn an_overlay_is_like_a_plain_tree(
        before in operations(40), after in operations(40), cold in any::<bool>()
    ) {
        let (plain, lower) = (lower(&before), lower(&before));
        let overlay = over(&[&lower]);
        let untouched = lower.snapshot();
        for operation in &after {
            if cold {
                forget_unused();
            }
            prop_assert_eq!(overlay.apply(operation), plain.apply(operation), "{:?}", operation);
        }
        prop_assert_eq!(overlay.snapshot(), plain.snapshot());
        forget_unused();
        prop_assert_eq!(overlay.snapshot(), plain.snapshot());
        prop_assert_eq!(lower.snapshot(), untouched);
    }

    #[test]
    fn numbers_stay(before in operations(30), touched in operations(20)) {
        let lower = lower(&before);
        let overlay = over(&[&lower]);
        let numbers = |world: &World| -> Vec<_> {
            let paths = world.snapshot();
            paths.keys().map(|path| (path.clone(), world.stat(path).unwrap().inode)).collect()
        };
        let first = numbers(&overlay);
        for operation in &touched {
            if let Operation::Append(..) | Operation::Chmod(..) | Operation::SetXattr(..) = operation {
                let _ = overlay.apply(operation);
                forget_unused();
            }
        }
        prop_assert_eq!(numbers(&overlay), first);
    }

    #[test]
    fn two_lower_layers_merge(one in operations(30), two in operations(30)) {
        // What an overlay over the second layer makes of the first's operations is what a plain
        // tree makes of both.
        let bottom = lower(&two);
        let plain = lower(&two);
        let middle = over(&[&bottom]);
        for operation in &one {
            prop_assert_eq!(middle.apply(operation), plain.apply(operation));
        }
        let top = over(&[&middle]);
        prop_assert_eq!(top.snapshot(), plain.snapshot());
    }
}

fn sample() -> World {
    let lower = World::new();
    lower.mkdir("/d").unwrap();
    lower.mkdir("/d/sub").unwrap();
    lower.write("/d/file", b"lower").unwrap();
    lower.write("/d/sub/deep", b"deep").unwrap();
    lower
}

#[test]
fn a_descriptor_from_before_the_copy_reads_the_lower_file() {
    let lower = sample();
    let world = over(&[&lower]);
    let read_only = StatusFlags::empty();
    let old = world
        .open("/d/file", read_only, CreationFlags::empty())
        .unwrap();
    world.write("/d/file", b"upper").unwrap();
    assert_eq!(read_all(&old).unwrap(), b"lower");
    assert_eq!(world.read("/d/file").unwrap(), b"upper");
    let (fstat, stat) = (old.file.metadata().unwrap(), world.stat("/d/file").unwrap());
    assert_eq!((fstat.device, fstat.inode), (stat.device, stat.inode));
    assert_eq!(lower.read("/d/file").unwrap(), b"lower");
}

#[test]
fn copying_up_keeps_what_is_not_changed() {
    let lower = sample();
    let file = lower.find("/d/file").unwrap();
    let view = lower.view();
    view.set_mode(&file, 0o640).unwrap();
    view.set_owner(&file, Some(7), Some(8)).unwrap();
    view.set_xattr(&file, b"user.k", b"v", false, false)
        .unwrap();
    view.set_times(&file, Some(TimeChange::To(1)), Some(TimeChange::To(2)))
        .unwrap();
    let directory = lower.find("/d").unwrap();
    view.set_times(&directory, Some(TimeChange::To(3)), Some(TimeChange::To(4)))
        .unwrap();
    let world = over(&[&lower]);
    let path = world.find("/d/file").unwrap();
    world.view().set_mode(&path, 0o600).unwrap();
    let copy = world.stat("/d/file").unwrap();
    assert_eq!(
        (copy.permissions, copy.owner.user, copy.owner.group),
        (0o600, 7, 8)
    );
    assert_eq!((copy.atime, copy.mtime), (1, 2));
    assert_eq!(world.view().xattr(&path, b"user.k").unwrap(), b"v");
    assert_eq!(world.stat("/d").unwrap().mtime, 4);
    assert_eq!(world.read("/d/file").unwrap(), b"lower");
}

#[test]
fn lower_directories_can_be_renamed() {
    let lower = sample();
    let world = over(&[&lower]);
    world.rename("/d", "/e").unwrap();
    forget_unused();
    assert_eq!(world.read("/e/sub/deep").unwrap(), b"deep");
    assert_eq!(world.stat("/d").unwrap_err(), Errno::ENOENT);
    world.mkdir("/d").unwrap();
    assert_eq!(world.list("/d").unwrap(), [".", ".."]);
    world.rename("/e/sub", "/d/sub").unwrap();
    forget_unused();
    assert_eq!(world.list("/e").unwrap(), [".", "..", "file"]);
    assert_eq!(world.read("/d/sub/deep").unwrap(), b"deep");
}

#[test]
fn links_of_a_lower_file_stay_together() {
    let lower = sample();
    let flags = LookupFlags::empty();
    lower
        .view()
        .link(lower.at("/d/file"), lower.at("/other"), flags)
        .unwrap();
    let world = over(&[&lower]);
    world.write("/d/file", b"changed").unwrap();
    forget_unused();
    assert_eq!(world.read("/other").unwrap(), b"changed");
    let (one, two) = (
        world.stat("/other").unwrap(),
        world.stat("/d/file").unwrap(),
    );
    assert_eq!(one.inode, two.inode);
    world.rename("/other", "/third").unwrap();
    world.unlink("/d/file").unwrap();
    assert_eq!(world.read("/third").unwrap(), b"changed");
}

#[test]
fn unlinked_lower_files_can_still_change() {
    let lower = sample();
    let world = over(&[&lower]);
    let path = world.find("/d/file").unwrap();
    world.unlink("/d/file").unwrap();
    world.view().set_mode(&path, 0o600).unwrap();
    assert_eq!(path.inode().metadata().unwrap().permissions, 0o600);
    let options = OpenOptions::new(StatusFlags::READ_WRITE);
    let open = world.view().open_path(path, &options).unwrap();
    open.file
        .write(WriteAt::End, &mut Source::kernel(b"!"))
        .unwrap();
    assert_eq!(read_all(&open).unwrap(), b"lower!");
    assert_eq!(world.list("/d").unwrap(), [".", "..", "sub"]);
    let sub = world.find("/d/sub").unwrap();
    world.unlink("/d/sub/deep").unwrap();
    world.rmdir("/d/sub").unwrap();
    world.view().set_mode(&sub, 0o700).unwrap();
}

#[test]
fn listings_keep_positions_over_copies() {
    let lower = World::new();
    for i in 0..10 {
        lower.write(&alloc::format!("/f{i}"), b"").unwrap();
    }
    let world = over(&[&lower]);
    world.write("/new", b"").unwrap();
    let directory = StatusFlags::DIRECTORY;
    let open = world.open("/", directory, CreationFlags::empty()).unwrap();
    let mut seen = Vec::new();
    loop {
        let mut count = 0;
        open.read_directory(&mut |entry| {
            if count == 2 {
                return core::ops::ControlFlow::Break(());
            }
            count += 1;
            seen.push(alloc::string::String::from_utf8(entry.name.to_vec()).unwrap());
            core::ops::ControlFlow::Continue(())
        })
        .unwrap();
        if count == 0 {
            break;
        }
        for i in 0..10 {
            world.write(&alloc::format!("/f{i}"), b"copied").unwrap();
        }
    }
    let mut expected: Vec<_> = (0..10).map(|i| alloc::format!("f{i}")).collect();
    expected.extend([".".into(), "..".into(), "new".into()]);
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn whiteouts_cannot_be_made_by_guests() {
    let lower = sample();
    let world = over(&[&lower]);
    let node = NewNode::CharacterDevice(DeviceId::default());
    let made = world.view().make_node(world.at("/w"), node, 0);
    assert_eq!(made, Err(Errno::EPERM));
    let flags = RenameFlags::WHITEOUT;
    let renamed = world
        .view()
        .rename(world.at("/d/file"), world.at("/x"), flags);
    assert_eq!(renamed, Err(Errno::EINVAL));
}

#[test]
fn unmounting_frees_the_layers() {
    let lower = sample();
    let weak = {
        let overlay = Overlay::new(
            Tmpfs::new(TmpfsOptions::default()),
            vec![lower.root.mount().file_system().clone()],
        );
        let weak = Arc::downgrade(&overlay);
        let world = World::over(overlay);
        world.write("/d/file", b"x").unwrap();
        world.rename("/d/sub", "/moved").unwrap();
        weak
    };
    assert!(weak.upgrade().is_none());
}
