//! Contents of tmpfs files against a vector of bytes.

use super::World;
use crate::fs::tmpfs::{Tmpfs, TmpfsOptions};
use crate::fs::*;
use crate::io::{Destination, Source};
use crate::memory::pool;
use alloc::vec::Vec;
use capsid_platform::{Backing, Errno, IoSource, platform};
use proptest::prelude::*;

const PAGE: usize = 4096;

#[derive(Clone, Debug)]
enum Step {
    Write(usize, usize, u8),
    Append(usize, u8),
    Truncate(usize),
    Allocate(u8, usize, usize),
    Hold(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let offset = || prop_oneof![0..20 * PAGE, (0..20usize).prop_map(|page| page * PAGE)];
    let length = || prop_oneof![1..100usize, 1..3 * PAGE, (1..4usize).prop_map(|n| n * PAGE)];
    prop_oneof![
        4 => (offset(), length(), 1u8..).prop_map(|(at, len, byte)| Step::Write(at, len, byte)),
        2 => (length(), 1u8..).prop_map(|(len, byte)| Step::Append(len, byte)),
        2 => offset().prop_map(Step::Truncate),
        4 => (0..7u8, offset(), length()).prop_map(|(what, at, len)| Step::Allocate(what, at, len)),
        1 => any::<bool>().prop_map(Step::Hold),
    ]
}

const ALLOCATIONS: [Allocation; 7] = [
    Allocation::Extend,
    Allocation::KeepSize,
    Allocation::PunchHole,
    Allocation::Zero,
    Allocation::ZeroKeepSize,
    Allocation::Collapse,
    Allocation::Insert,
];

/// What the allocation does to plain bytes.
fn allocate(model: &mut Vec<u8>, what: Allocation, at: usize, length: usize) -> Result<(), Errno> {
    let end = at + length;
    let size = model.len();
    let aligned = at.is_multiple_of(PAGE) && length.is_multiple_of(PAGE);
    match what {
        Allocation::KeepSize => {}
        Allocation::Extend => model.resize(size.max(end), 0),
        Allocation::PunchHole | Allocation::ZeroKeepSize => {
            model[at.min(size)..end.min(size)].fill(0);
        }
        Allocation::Zero => {
            model.resize(size.max(end), 0);
            model[at..end].fill(0);
        }
        Allocation::Collapse if !aligned || end >= size => return Err(Errno::EINVAL),
        Allocation::Collapse => drop(model.drain(at..end)),
        Allocation::Insert if !aligned || at >= size => return Err(Errno::EINVAL),
        Allocation::Insert => drop(model.splice(at..at, core::iter::repeat_n(0, length))),
    }
    Ok(())
}

fn contents(file: &dyn File) -> Vec<u8> {
    let mut bytes = alloc::vec![0xee; 1 << 19];
    let count = file.read(0, &mut Destination::kernel(&mut bytes)).unwrap();
    bytes.truncate(count);
    bytes
}

proptest! {
    #![proptest_config(crate::test_platform::proptest_config(400))]
    #[test]
    fn files_are_like_bytes(steps in proptest::collection::vec(step(), 1..40)) {
        let world = World::new();
        let flags = StatusFlags::READ_WRITE;
        let open = world.open("/f", flags, CreationFlags::CREATE).unwrap();
        let file = &*open.file;
        let mut model: Vec<u8> = Vec::new();
        let mut held = false;
        for step in steps {
            match step {
                Step::Write(at, length, byte) => {
                    let bytes = alloc::vec![byte; length];
                    let done = file.write(WriteAt::Offset(at as u64), &mut Source::kernel(&bytes));
                    prop_assert_eq!(done, Ok((length, (at + length) as u64)));
                    if model.len() < at + length {
                        model.resize(at + length, 0);
                    }
                    model[at..at + length].fill(byte);
                }
                Step::Append(length, byte) => {
                    let bytes = alloc::vec![byte; length];
                    file.write(WriteAt::End, &mut Source::kernel(&bytes)).unwrap();
                    model.extend_from_slice(&bytes);
                }
                Step::Truncate(size) => {
                    let change = AttributeChange {
                        size: Some(size as u64),
                        ..AttributeChange::default()
                    };
                    file.set_attributes(&change).unwrap();
                    model.resize(size, 0);
                }
                Step::Allocate(what, at, length) => {
                    let what = ALLOCATIONS[usize::from(what)];
                    if held && matches!(what, Allocation::Collapse | Allocation::Insert) {
                        continue;
                    }
                    let result = file.allocate(what, at as u64, length as u64);
                    prop_assert_eq!(result, allocate(&mut model, what, at, length));
                }
                Step::Hold(mapped) if mapped != held => {
                    let mappable = file.mappable().unwrap();
                    mappable.hold(0, PAGE as u64, mapped);
                    held = mapped;
                    // A mapping can write behind the end, in the last page.
                    let tail = model.len() % PAGE;
                    if mapped && tail > 0 {
                        let page = (model.len() - tail) as u64;
                        let (backing, _) = mappable.backing(page, PAGE as u64, true).unwrap();
                        let Backing::Pool(page) = backing else { panic!("{backing:?}") };
                        platform().pool_write(page, tail, IoSource::Kernel(&[9]));
                    }
                }
                Step::Hold(_) => {}
            }
            prop_assert_eq!(file.metadata().unwrap().size, model.len() as u64);
        }
        prop_assert!(contents(file) == model);
        // Data and holes: what is called a hole reads as zero.
        let mut at = 0;
        while let Ok(hole) = file.seek_data(at, true) {
            if hole >= model.len() as u64 {
                break;
            }
            let end = file.seek_data(hole, false).unwrap_or(model.len() as u64);
            let range = usize::try_from(hole).unwrap()..usize::try_from(end).unwrap();
            prop_assert!(model[range].iter().all(|byte| *byte == 0));
            at = end;
        }
    }
}

#[test]
fn a_sparse_file_costs_what_was_written() {
    let world = World::new();
    let open = world
        .open("/f", StatusFlags::READ_WRITE, CreationFlags::CREATE)
        .unwrap();
    let at = WriteAt::Offset((4 << 30) - 1);
    open.file.write(at, &mut Source::kernel(b"x")).unwrap();
    let metadata = open.file.metadata().unwrap();
    assert_eq!((metadata.size, metadata.blocks), (4 << 30, 8));
    assert_eq!(open.file.seek_data(0, false), Ok((4 << 30) - 4096));
    assert_eq!(open.file.seek_data(0, true), Ok(0));
    let mut byte = [7; 3];
    let read = open
        .file
        .read((4 << 30) - 2, &mut Destination::kernel(&mut byte));
    assert_eq!((read, byte), (Ok(2), [0, b'x', 7]));
}

#[test]
fn sequential_writes_make_one_run() {
    let world = World::new();
    let open = world
        .open("/f", StatusFlags::READ_WRITE, CreationFlags::CREATE)
        .unwrap();
    let chunk = alloc::vec![5; 1 << 17];
    for _ in 0..64 {
        open.file
            .write(WriteAt::End, &mut Source::kernel(&chunk))
            .unwrap();
    }
    let mappable = open.file.mappable().unwrap();
    let mut runs = 0;
    let mut at = 0;
    while at < 8 << 20 {
        at += mappable.backing(at, (8 << 20) - at, false).unwrap().1;
        runs += 1;
    }
    // Other tests write at the same time, so that a few breaks are possible.
    assert!(runs <= 16, "{runs} runs");
}

#[test]
fn files_that_grow_at_once_have_long_runs() {
    crate::test_platform::install();
    let options = TmpfsOptions {
        pages: Some(20_000),
        ..TmpfsOptions::default()
    };
    let tmpfs = Tmpfs::new(options);
    let world = World::over(tmpfs.clone());
    let open = |path: &str| {
        let flags = StatusFlags::READ_WRITE;
        world.open(path, flags, CreationFlags::CREATE).unwrap()
    };
    let files = [open("/f"), open("/g")];
    let chunk = [5; PAGE];
    for _ in 0..512 {
        for open in &files {
            let mut source = Source::kernel(&chunk);
            open.file.write(WriteAt::End, &mut source).unwrap();
        }
    }
    let mappable = files[0].file.mappable().unwrap();
    let (mut runs, mut at) = (0, 0);
    while at < 2 << 20 {
        at += mappable.backing(at, (2 << 20) - at, false).unwrap().1;
        runs += 1;
    }
    assert!(runs <= 20, "{runs} runs");
    // What was set aside and not used comes back.
    drop(files);
    let statistics = tmpfs.statistics().unwrap();
    assert_eq!(statistics.blocks - statistics.blocks_free, 1024);
}

#[test]
fn the_size_limit_and_the_space_of_removed_files_count() {
    crate::test_platform::install();
    let options = TmpfsOptions {
        pages: Some(16),
        ..TmpfsOptions::default()
    };
    let tmpfs = Tmpfs::new(options);
    let world = World::over(tmpfs.clone());
    let open = world
        .open("/f", StatusFlags::READ_WRITE, CreationFlags::CREATE)
        .unwrap();
    let bytes = alloc::vec![1; 20 * PAGE];
    let written = open
        .file
        .write(WriteAt::Offset(100), &mut Source::kernel(&bytes));
    assert_eq!(written.unwrap().0, 16 * PAGE - 100);
    let full = open.file.write(WriteAt::End, &mut Source::kernel(b"x"));
    assert_eq!(full, Err(Errno::ENOSPC));
    assert_eq!(
        open.file.allocate(Allocation::Extend, 0, 1 << 20),
        Err(Errno::ENOSPC)
    );
    assert_eq!(tmpfs.statistics().unwrap().blocks_free, 0);
    world.unlink("/f").unwrap();
    assert_eq!(tmpfs.statistics().unwrap().blocks_free, 0);
    drop(open);
    assert_eq!(tmpfs.statistics().unwrap().blocks_free, 16);
}

#[test]
fn unmounting_frees_everything() {
    crate::test_platform::install();
    let tmpfs = Tmpfs::new(TmpfsOptions::default());
    let weak = alloc::sync::Arc::downgrade(&tmpfs);
    let world = World::over(tmpfs);
    let mut path = alloc::string::String::new();
    for _ in 0..200 {
        path.push_str("/d");
        world.mkdir(&path).unwrap();
    }
    world.write("/d/d/file", b"contents").unwrap();
    drop(world);
    assert!(weak.upgrade().is_none());
    assert!(pool().used() <= pool().limit());
}
