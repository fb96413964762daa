//! Time of the common operations. Run with `--release -- --ignored --nocapture speed`.

extern crate std;

use super::World;
use crate::fs::*;
use crate::io::{Destination, Source};
use std::time::Instant;

fn time(what: &str, mut operation: impl FnMut()) {
    const ROUNDS: u32 = 2_000;
    let mut batch = || {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            operation();
        }
        start.elapsed().as_nanos() / u128::from(ROUNDS)
    };
    // The best of many: other work on the machine only ever adds.
    let best = (0..100).map(|_| batch()).min().unwrap_or(0);
    std::println!("{what:20} {best:6} ns");
}

#[test]
#[ignore = "a measurement, not a check"]
fn speed() {
    std::println!("tmpfs");
    measure(World::new());
    std::println!("overlay");
    let lower = World::new();
    let upper = tmpfs::Tmpfs::new(tmpfs::TmpfsOptions::default());
    let lowers = alloc::vec![lower.root.mount().file_system().clone()];
    measure(World::over(overlay::Overlay::new(upper, lowers)));
}

fn measure(mut world: World) {
    world.mkdir("/tmp").unwrap();
    world.mkdir("/tmp/dir").unwrap();
    world.write("/tmp/dir/file", &[1; 8192]).unwrap();
    for user in [0, 1000] {
        let root = world.find("/tmp").unwrap();
        world.view().set_owner(&root, Some(1000), None).unwrap();
        world.credentials = crate::credentials::Credentials::new(user, user);
        std::println!("as user {user}");
        let none = CreationFlags::empty();
        let path = "/tmp/dir/file";
        time("open+close", || {
            drop(world.open(path, StatusFlags::empty(), none).unwrap())
        });
        time("stat", || assert!(world.stat(path).is_ok()));
        time("stat missing", || {
            assert!(world.stat("/tmp/dir/none").is_err())
        });
        time("create+unlink", || {
            let creation = CreationFlags::CREATE | CreationFlags::EXCLUSIVE;
            drop(
                world
                    .open("/tmp/new", StatusFlags::WRITE_ONLY, creation)
                    .unwrap(),
            );
            world.unlink("/tmp/new").unwrap();
        });
        time("create+write+unlink", || {
            world.write("/tmp/new", &[1; 4096]).unwrap();
            world.unlink("/tmp/new").unwrap();
        });
        world.credentials = crate::credentials::Credentials::new(0, 0);
    }
    let open = world
        .open(
            "/tmp/dir/file",
            StatusFlags::READ_WRITE,
            CreationFlags::empty(),
        )
        .unwrap();
    let mut buffer = [0; 4096];
    time("pread 4 KiB", || {
        open.file
            .read(0, &mut Destination::kernel(&mut buffer))
            .unwrap();
    });
    time("pwrite 4 KiB", || {
        open.file
            .write(WriteAt::Offset(0), &mut Source::kernel(&buffer))
            .unwrap();
    });
}
