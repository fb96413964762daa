//! Tests of watches over tmpfs.

use super::{FileEvents, Inotify, WatchOptions};
use crate::fs::tests::World;
use crate::fs::tmpfs::{Tmpfs, TmpfsOptions};
use crate::fs::{CreationFlags, File, LookupFlags, OpenOptions, RenameFlags, StatusFlags};
use crate::io::Destination;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::Errno;

struct Seen {
    watch: i32,
    events: FileEvents,
    cookie: u32,
    name: String,
}

/// Reads everything that an instance has.
fn take(inotify: &Inotify) -> Vec<Seen> {
    let mut bytes = [0; 4096];
    let Ok(length) = inotify.read(0, &mut Destination::kernel(&mut bytes)) else {
        return Vec::new();
    };
    let mut left = &bytes[..length];
    let mut seen = Vec::new();
    while !left.is_empty() {
        let word = |at: usize| u32::from_le_bytes(left[at..at + 4].try_into().unwrap());
        let name = usize::try_from(word(12)).unwrap();
        let text: Vec<u8> = left[16..16 + name]
            .iter()
            .copied()
            .filter(|&byte| byte != 0)
            .collect();
        seen.push(Seen {
            watch: word(0).cast_signed(),
            events: FileEvents::from_bits_retain(word(4)),
            cookie: word(8),
            name: String::from_utf8(text).unwrap(),
        });
        left = &left[16 + name..];
    }
    seen
}

fn events(inotify: &Inotify) -> Vec<(FileEvents, String)> {
    take(inotify)
        .into_iter()
        .map(|seen| (seen.events, seen.name))
        .collect()
}

fn watch(world: &World, inotify: &Inotify, path: &str) -> i32 {
    let path = world
        .view()
        .resolve(world.at(path), LookupFlags::FOLLOW)
        .unwrap();
    inotify
        .add_watch(&path, FileEvents::ALL, WatchOptions::empty())
        .unwrap()
}

fn create(world: &World, path: &str) {
    let mut options = OpenOptions::new(StatusFlags::READ_WRITE);
    options.creation = CreationFlags::CREATE;
    drop(world.view().open(world.at(path), &options).unwrap());
}

#[test]
fn a_directory_tells_of_its_names() {
    let world = World::new();
    let inotify = Inotify::new(1).unwrap();
    watch(&world, &inotify, "/");
    create(&world, "/a");
    let name = |name: &str| String::from(name);
    assert_eq!(
        events(&inotify),
        [
            (FileEvents::CREATE, name("a")),
            (FileEvents::OPEN, name("a")),
            (FileEvents::CLOSE_WRITE, name("a"))
        ]
    );
    world
        .view()
        .rename(world.at("/a"), world.at("/b"), RenameFlags::empty())
        .unwrap();
    let moved = take(&inotify);
    assert_eq!(moved.len(), 2);
    assert_eq!(moved[0].cookie, moved[1].cookie);
    assert_ne!(moved[0].cookie, 0);
    world.view().unlink(world.at("/b")).unwrap();
    assert_eq!(events(&inotify), [(FileEvents::DELETE, name("b"))]);
}

#[test]
fn a_watch_ends_with_its_file() {
    let world = World::new();
    let inotify = Inotify::new(2).unwrap();
    create(&world, "/a");
    let number = watch(&world, &inotify, "/a");
    let open = world
        .view()
        .open(world.at("/a"), &OpenOptions::new(StatusFlags::empty()));
    world.view().unlink(world.at("/a")).unwrap();
    assert!(
        events(&inotify)
            .iter()
            .all(|(events, _)| *events != FileEvents::DELETE_SELF)
    );
    drop(open);
    let seen: Vec<_> = events(&inotify)
        .into_iter()
        .map(|(events, _)| events)
        .collect();
    assert_eq!(
        seen,
        [
            FileEvents::CLOSE_NO_WRITE,
            FileEvents::DELETE_SELF,
            FileEvents::IGNORED
        ]
    );
    assert_eq!(inotify.remove_watch(number), Err(Errno::EINVAL));
}

#[test]
fn unmounting_ends_watches() {
    let world = World::new();
    let inotify = Inotify::new(3).unwrap();
    world.view().make_directory(world.at("/m"), 0o755).unwrap();
    let at = world
        .view()
        .resolve(world.at("/m"), LookupFlags::FOLLOW)
        .unwrap();
    let inner = Tmpfs::new(TmpfsOptions::default());
    let mount = world
        .namespace
        .mount(inner, &at, crate::fs::MountFlags::empty(), b"x")
        .unwrap();
    let number = watch(&world, &inotify, "/m");
    drop(mount);
    let top = world
        .view()
        .resolve(world.at("/m"), LookupFlags::FOLLOW)
        .unwrap();
    world
        .namespace
        .unmount(&top, crate::fs::Detach::Lazily)
        .unwrap();
    drop(top);
    let seen = take(&inotify);
    assert_eq!(seen.len(), 2);
    assert_eq!(
        (seen[0].watch, seen[0].events),
        (number, FileEvents::UNMOUNT)
    );
    assert_eq!(seen[1].events, FileEvents::IGNORED);
}

#[test]
fn limits_are_per_user_and_given_back() {
    let world = World::new();
    let many: Vec<Arc<Inotify>> = (0..super::USER_INSTANCES_MAX)
        .map(|_| Inotify::new(4).unwrap())
        .collect();
    assert_eq!(Inotify::new(4).unwrap_err(), Errno::EMFILE);
    assert!(Inotify::new(5).is_ok());
    watch(&world, &many[0], "/");
    drop(many);
    assert!(Inotify::new(4).is_ok());
}

#[test]
fn short_buffers_are_refused() {
    let world = World::new();
    let inotify = Inotify::new(6).unwrap();
    watch(&world, &inotify, "/");
    create(&world, "/a");
    let mut short = [0; 31];
    let read = |bytes: &mut [u8]| inotify.read(0, &mut Destination::kernel(bytes));
    assert_eq!(read(&mut short), Err(Errno::EINVAL));
    assert_eq!(inotify.bytes_ready(), Ok(96));
    assert_eq!(read(&mut [0; 65]), Ok(64));
    assert_eq!(read(&mut [0; 65]), Ok(32));
    assert_eq!(read(&mut [0; 65]), Err(Errno::EAGAIN));
}
