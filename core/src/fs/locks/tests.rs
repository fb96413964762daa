//! Record locks against one lock per byte, and deadlocks.

use super::ranges::{LockKind, RangeLock, Ranges};
use super::waits::Waits;
use super::{LockOwner, lock, lock_or_wait, lock_whole, release_file, unlock_whole};
use crate::fs::{FileKind, OpenFile, Owner, StatusFlags};
use crate::test_platform::{install, proptest_config};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::Errno;
use proptest::prelude::*;

const BYTES: u64 = 24;

/// What each of three owners has on each byte.
type Model = Vec<[Option<LockKind>; 3]>;

fn model_of(ranges: &Ranges, owners: &[LockOwner]) -> Model {
    let mut model = vec![[None; 3]; usize::try_from(BYTES).unwrap()];
    for held in ranges.as_slice() {
        let owner = owners.iter().position(|&o| o == held.owner).unwrap();
        for byte in held.start..=held.end {
            let byte = &mut model[usize::try_from(byte).unwrap()][owner];
            assert!(byte.is_none(), "one owner's locks overlap");
            *byte = Some(held.kind);
        }
    }
    model
}

proptest! {
    #![proptest_config(proptest_config(300))]

    #[test]
    fn ranges_agree_with_a_lock_per_byte(
        steps in proptest::collection::vec((0..3usize, 0..3u8, 0..BYTES, 0..BYTES), 1..60)
    ) {
        let owners = [LockOwner::default(), LockOwner::default(), LockOwner::default()];
        let mut ranges = Ranges::default();
        let mut model: Model = vec![[None; 3]; usize::try_from(BYTES).unwrap()];
        for (owner, what, one, two) in steps {
            let (start, end) = (one.min(two), one.max(two));
            let bytes = usize::try_from(start).unwrap()..=usize::try_from(end).unwrap();
            let kind = match what {
                0 => None,
                1 => Some(LockKind::Read),
                _ => Some(LockKind::Write),
            };
            let Some(kind) = kind else {
                ranges.clear(owners[owner], start, end);
                for byte in &mut model[bytes] {
                    byte[owner] = None;
                }
                prop_assert_eq!(&model_of(&ranges, &owners), &model);
                continue;
            };
            let wanted = RangeLock { owner: owners[owner], process: 0, kind, start, end };
            let conflict = model[bytes.clone()].iter().any(|byte| {
                byte.iter().enumerate().any(|(other, held)| {
                    other != owner
                        && held.is_some_and(|held| {
                            held == LockKind::Write || kind == LockKind::Write
                        })
                })
            });
            prop_assert_eq!(ranges.conflict(&wanted).is_some(), conflict);
            if !conflict {
                ranges.set(wanted);
                for byte in &mut model[bytes] {
                    byte[owner] = Some(kind);
                }
            }
            prop_assert_eq!(&model_of(&ranges, &owners), &model);
            // Neighbours of one kind are one lock.
            let held = ranges.as_slice();
            for one in held {
                let touching = |two: &RangeLock| {
                    one.owner == two.owner && one.kind == two.kind && one.end + 1 == two.start
                };
                prop_assert!(!held.iter().any(touching));
            }
        }
    }
}

#[test]
fn circles_of_waits_are_refused() {
    let owners: Vec<LockOwner> = (0..4).map(|_| LockOwner::default()).collect();
    let mut waits = Waits::new();
    assert_eq!(waits.add(owners[0], owners[1]), Ok(()));
    assert_eq!(waits.add(owners[1], owners[2]), Ok(()));
    assert_eq!(waits.add(owners[3], owners[0]), Ok(()));
    assert_eq!(waits.add(owners[2], owners[0]), Err(Errno::EDEADLK));
    waits.remove(owners[0]);
    assert_eq!(waits.add(owners[2], owners[0]), Ok(()));
}

fn description() -> OpenFile {
    let (reader, _) = crate::ipc::pipe::pair(Owner::default());
    assert_eq!(
        crate::fs::File::metadata(&reader).unwrap().kind,
        FileKind::Fifo
    );
    OpenFile::new(Arc::new(reader), StatusFlags::READ_WRITE)
}

#[test]
fn locks_go_with_their_owners() {
    install();
    let file = description();
    let (one, two) = (LockOwner::default(), LockOwner::default());
    let whole = |owner| RangeLock {
        owner,
        process: 0,
        kind: LockKind::Write,
        start: 0,
        end: u64::MAX,
    };
    assert_eq!(lock(&file, whole(one)), Ok(()));
    assert_eq!(lock(&file, whole(two)), Err(Errno::EAGAIN));
    assert_eq!(lock_or_wait(&file, whole(two)), Err(Errno::EAGAIN));
    release_file(&file, one);
    assert_eq!(lock(&file, whole(file.lock_owner())), Ok(()));
    assert_eq!(lock_or_wait(&file, whole(two)), Err(Errno::EAGAIN));
    let inner = file.file.clone();
    drop(file);
    let again = OpenFile::new(inner, StatusFlags::READ_WRITE);
    assert_eq!(lock_or_wait(&again, whole(two)), Ok(()));
    release_file(&again, two);
}

#[test]
fn a_failed_conversion_loses_the_lock() {
    install();
    let one = description();
    let two = OpenFile::new(one.file.clone(), StatusFlags::READ_WRITE);
    let three = OpenFile::new(one.file.clone(), StatusFlags::READ_WRITE);
    assert_eq!(lock_whole(&one, LockKind::Read), Ok(()));
    assert_eq!(lock_whole(&two, LockKind::Read), Ok(()));
    assert_eq!(lock_whole(&three, LockKind::Write), Err(Errno::EAGAIN));
    assert_eq!(lock_whole(&two, LockKind::Write), Err(Errno::EAGAIN));
    assert_eq!(unlock_whole(&one), Ok(()));
    assert_eq!(lock_whole(&three, LockKind::Write), Ok(()));
}
