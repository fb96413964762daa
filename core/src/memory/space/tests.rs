//! Address spaces against a page-by-page model, and the cases that a model does not reach.
#![expect(
    clippy::cast_possible_truncation,
    reason = "the model's numbers are small, and addresses are 64 bits wide here"
)]

use super::*;
use crate::fs::OpenFile;
use crate::memory::SharedMemory;
use crate::test_platform::{install, proptest_config};
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::{Protection, Sharing};
use proptest::prelude::*;

const READ: Protection = Protection::READ;
const RW: Protection = Protection::READ.union(Protection::WRITE);
const BASE: u64 = 0x1000_0000;
const WINDOW: u64 = 24;
const NONE: MemoryLimits = MemoryLimits::NONE;

fn page(index: u64) -> GuestAddr {
    GuestAddr(BASE + index * PAGE)
}

fn fixed(index: u64, pages: u64, protection: Protection) -> MapRequest {
    MapRequest::anonymous(Placement::Fixed(page(index).0), pages * PAGE, protection)
}

fn anywhere(pages: u64) -> MapRequest {
    MapRequest::anonymous(Placement::Hint(0), pages * PAGE, RW)
}

fn shared(pages: u64) -> Arc<OpenFile> {
    SharedMemory::open(pages * PAGE).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ModelPage {
    protection: Protection,
    /// What the page's first word reads as, and the page of the file that it shows.
    value: u32,
    file_page: Option<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Map(u64, u64, Protection),
    MapFile(u64, u64, u64, Protection),
    Unmap(u64, u64),
    Protect(u64, u64, Protection),
    Write(u64, u32),
    DontNeed(u64, u64),
    Move(u64, u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let protection = || prop_oneof![Just(READ), Just(RW), Just(RW), Just(Protection::empty())];
    let at = || 0..WINDOW;
    let length = || 1..8u64;
    let step = prop_oneof![
        (at(), length(), protection()).prop_map(|(a, l, p)| Step::Map(a, l, p)),
        (at(), length(), 0..8u64, protection()).prop_map(|(a, l, o, p)| Step::MapFile(a, l, o, p)),
        (at(), length()).prop_map(|(a, l)| Step::Unmap(a, l)),
        (at(), length(), protection()).prop_map(|(a, l, p)| Step::Protect(a, l, p)),
        (at(), any::<u32>()).prop_map(|(a, v)| Step::Write(a, v)),
        (at(), any::<u32>()).prop_map(|(a, v)| Step::Write(a, v)),
        (at(), length()).prop_map(|(a, l)| Step::DontNeed(a, l)),
        (at(), length(), at()).prop_map(|(a, l, t)| Step::Move(a, l, t)),
    ];
    proptest::collection::vec(step, 1..40)
}

struct Model {
    pages: Vec<Option<ModelPage>>,
    file: Vec<u32>,
}

impl Model {
    fn range(start: u64, length: u64) -> core::ops::Range<usize> {
        start as usize..(start + length).min(WINDOW) as usize
    }

    fn value(&self, page: &ModelPage) -> u32 {
        match page.file_page {
            Some(index) => self.file[index as usize],
            None => page.value,
        }
    }

    fn apply(&mut self, space: &AddressSpace, file: &Arc<OpenFile>, step: &Step) {
        match *step {
            Step::Map(start, length, protection) => {
                let range = Model::range(start, length);
                let request = fixed(start, range.len() as u64, protection);
                space.map(request, &NONE).unwrap();
                for slot in &mut self.pages[range] {
                    *slot = Some(ModelPage {
                        protection,
                        value: 0,
                        file_page: None,
                    });
                }
            }
            Step::MapFile(start, length, offset, protection) => {
                let range = Model::range(start, length);
                let length = range.len() as u64;
                let mut request = fixed(start, length, protection);
                request.sharing = Sharing::Shared;
                request.source = MapSource::File(file.clone(), offset * PAGE);
                space.map(request, &NONE).unwrap();
                for (index, slot) in (offset..).zip(&mut self.pages[range]) {
                    let file_page = Some(index);
                    *slot = Some(ModelPage {
                        protection,
                        value: 0,
                        file_page,
                    });
                }
            }
            Step::Unmap(start, length) => {
                let range = Model::range(start, length);
                space.unmap(page(start), range.len() as u64 * PAGE).unwrap();
                self.pages[range].fill(None);
            }
            Step::Protect(start, length, protection) => {
                let range = Model::range(start, length);
                let bytes = range.len() as u64 * PAGE;
                let result = space.protect(page(start), bytes, protection, &NONE);
                let mut whole = true;
                for slot in &mut self.pages[range] {
                    match slot {
                        Some(page) if whole => page.protection = protection,
                        Some(_) => {}
                        None => whole = false,
                    }
                }
                assert_eq!(result.is_ok(), whole);
            }
            Step::Write(index, value) => {
                let result = page(index).write_u32(value);
                match &mut self.pages[index as usize] {
                    Some(page) if page.protection == RW => {
                        let Some(file_page) = page.file_page else {
                            page.value = value;
                            return;
                        };
                        // The file has 16 pages; a mapping may reach past it.
                        assert_eq!(result.is_ok(), file_page < 16);
                        if file_page < 16 {
                            self.file[file_page as usize] = value;
                        }
                    }
                    _ => assert!(result.is_err()),
                }
            }
            Step::DontNeed(start, length) => {
                let range = Model::range(start, length);
                let bytes = range.len() as u64 * PAGE;
                let result = space.advise(page(start), bytes, GuestAdvice::DontNeed);
                let whole = self.pages[range.clone()].iter().all(Option::is_some);
                assert_eq!(result.is_ok(), whole);
                for page in self.pages[range].iter_mut().flatten() {
                    page.value = 0;
                }
            }
            Step::Move(start, length, target) => {
                let range = Model::range(start, length);
                let bytes = range.len() as u64 * PAGE;
                let request = RemapRequest {
                    address: page(start),
                    old_length: bytes,
                    new_length: bytes,
                    flags: RemapFlags::MAY_MOVE | RemapFlags::FIXED,
                    new_address: page(target).0,
                };
                let target = target as usize..target as usize + range.len();
                if target.end > WINDOW as usize {
                    return;
                }
                if space.remap(request, &NONE).is_ok() {
                    let moved: Vec<_> = self.pages[range.clone()].to_vec();
                    assert!(moved.iter().all(Option::is_some));
                    self.pages[range].fill(None);
                    self.pages[target].clone_from_slice(&moved);
                }
            }
        }
    }

    fn check(&self, space: &AddressSpace) {
        let regions = space.regions();
        let mapped: u64 = regions.iter().map(|region| region.range.len()).sum();
        assert_eq!(mapped, space.mapped_bytes());
        for pair in regions.windows(2) {
            assert!(pair[0].range.end() <= pair[1].range.start());
            let mergeable = pair[0].range.end() == pair[1].range.start()
                && pair[0].file.is_none()
                && pair[1].file.is_none()
                && pair[0].protection == pair[1].protection;
            assert!(!mergeable);
        }
        for (index, slot) in (0..).zip(&self.pages) {
            let region = space.region_at(page(index).0);
            assert_eq!(
                region.map(|r| r.protection),
                slot.map(|page| page.protection)
            );
            let expected = match slot {
                Some(page) if page.protection.is_empty() => None,
                Some(page) if page.file_page.is_some_and(|p| p >= 16) => None,
                Some(page) => Some(self.value(page)),
                None => None,
            };
            assert_eq!(page(index).read_u32().ok(), expected, "page {index}");
        }
    }
}

proptest! {
    #![proptest_config(proptest_config(300))]
    #[test]
    fn mappings_agree_with_a_page_table(steps in steps()) {
        install();
        let space = AddressSpace::new(0);
        space.clear(0).unwrap();
        let file = shared(16);
        let mut model = Model {
            pages: alloc::vec![None; WINDOW as usize],
            file: alloc::vec![0; 32],
        };
        for step in &steps {
            model.apply(&space, &file, step);
            model.check(&space);
        }
    }

    #[test]
    fn chosen_places_are_free_and_high(sizes in proptest::collection::vec((1..40u64, any::<u8>()), 1..60)) {
        install();
        let space = AddressSpace::new(7);
        space.clear(7).unwrap();
        let mut held: Vec<(u64, u64)> = Vec::new();
        for (pages, action) in sizes {
            if action < 100 && !held.is_empty() {
                let (start, pages) = held.swap_remove(action as usize % held.len());
                space.unmap(GuestAddr(start), pages * PAGE).unwrap();
            } else {
                let start = space.map(anywhere(pages), &NONE).unwrap();
                for &(other, length) in &held {
                    prop_assert!(start + pages * PAGE <= other || other + length * PAGE <= start);
                }
                held.push((start, pages));
            }
        }
        let total: u64 = held.iter().map(|(_, pages)| pages * PAGE).sum();
        prop_assert_eq!(space.mapped_bytes(), total);
    }
}

fn fresh() -> AddressSpace {
    install();
    let space = AddressSpace::new(0);
    space.clear(0).unwrap();
    space
}

#[test]
fn placements_and_their_errors() {
    let space = fresh();
    let at = |placement| MapRequest::anonymous(placement, PAGE, RW);
    assert_eq!(space.map(fixed(0, 4, RW), &NONE), Ok(BASE));
    assert_eq!(
        space.map(at(Placement::FixedNoReplace(BASE)), &NONE),
        Err(Errno::EEXIST)
    );
    assert_eq!(
        space.map(at(Placement::Fixed(BASE + 1)), &NONE),
        Err(Errno::EINVAL)
    );
    assert_eq!(space.map(at(Placement::Fixed(0)), &NONE), Err(Errno::EPERM));
    assert_eq!(
        space.map(at(Placement::Fixed(1 << 47)), &NONE),
        Err(Errno::ENOMEM)
    );
    assert_eq!(
        space.map(at(Placement::Hint(page(9).0)), &NONE),
        Ok(page(9).0)
    );
    assert_ne!(
        space.map(at(Placement::Hint(page(9).0)), &NONE),
        Ok(page(9).0)
    );
    assert!(space.map(at(Placement::Low(0)), &NONE).unwrap() < 1 << 31);
    let low = 0x5000_0000;
    assert_eq!(space.map(at(Placement::Low(low)), &NONE), Ok(low));
    let elsewhere = space.map(at(Placement::Low(low)), &NONE).unwrap();
    assert!(elsewhere < 1 << 31 && elsewhere != low);
    assert!(space.map(at(Placement::Low(1 << 31)), &NONE).unwrap() < 1 << 31);
    let mut empty = anywhere(1);
    empty.length = 0;
    assert_eq!(space.map(empty, &NONE), Err(Errno::EINVAL));
    let mut huge = anywhere(1);
    huge.length = u64::MAX - PAGE;
    assert_eq!(space.map(huge, &NONE), Err(Errno::ENOMEM));
    let limits = MemoryLimits {
        address_space: space.mapped_bytes(),
        ..NONE
    };
    assert_eq!(space.map(anywhere(1), &limits), Err(Errno::ENOMEM));
    assert_eq!(space.map(fixed(0, 4, RW), &limits), Ok(BASE));
    assert_eq!(space.unmap(GuestAddr(BASE + 1), PAGE), Err(Errno::EINVAL));
}

#[test]
fn the_heap_moves_both_ways() {
    let space = fresh();
    space.set_heap_start(BASE + 100);
    assert_eq!(space.set_break(0, &NONE), BASE + 100);
    assert_eq!(space.set_break(BASE + 3 * PAGE, &NONE), BASE + 3 * PAGE);
    // The page that the heap starts in is the program's, or not there.
    assert!(page(0).write_u32(1).is_err());
    assert!(page(2).write_u32(1).is_ok());
    assert_eq!(space.set_break(BASE + 2 * PAGE, &NONE), BASE + 2 * PAGE);
    assert!(page(2).write_u32(1).is_err());
    space.map(fixed(5, 1, RW), &NONE).unwrap();
    assert_eq!(space.set_break(BASE + 6 * PAGE, &NONE), BASE + 2 * PAGE);
    let limits = MemoryLimits { data: PAGE, ..NONE };
    assert_eq!(space.set_break(BASE + 3 * PAGE, &limits), BASE + 2 * PAGE);
}

#[test]
fn mappings_grow_shrink_and_move_with_their_contents() {
    let space = fresh();
    let resize = |address: u64, old: u64, new: u64, flags| {
        let request = RemapRequest {
            address: GuestAddr(address),
            old_length: old * PAGE,
            new_length: new * PAGE,
            flags,
            new_address: 0,
        };
        space.remap(request, &NONE)
    };
    space.map(fixed(0, 2, RW), &NONE).unwrap();
    page(1).write_u32(7).unwrap();
    assert_eq!(resize(BASE, 2, 4, RemapFlags::empty()), Ok(BASE));
    page(3).write_u32(8).unwrap();
    space.map(fixed(4, 1, READ), &NONE).unwrap();
    assert_eq!(resize(BASE, 4, 8, RemapFlags::empty()), Err(Errno::ENOMEM));
    let moved = resize(BASE, 4, 8, RemapFlags::MAY_MOVE).unwrap();
    assert_eq!(GuestAddr(moved + PAGE).read_u32(), Ok(7));
    assert_eq!(GuestAddr(moved + 3 * PAGE).read_u32(), Ok(8));
    GuestAddr(moved + 7 * PAGE).write_u32(1).unwrap();
    assert!(page(1).read_u32().is_err());
    assert_eq!(resize(moved, 8, 2, RemapFlags::empty()), Ok(moved));
    assert!(GuestAddr(moved + 2 * PAGE).read_u32().is_err());
    let flags = RemapFlags::MAY_MOVE | RemapFlags::DONT_UNMAP;
    let again = resize(moved, 2, 2, flags).unwrap();
    assert_eq!(GuestAddr(again + PAGE).read_u32(), Ok(7));
    assert_eq!(GuestAddr(moved + PAGE).read_u32(), Ok(0));
    assert_eq!(
        resize(page(20).0, 1, 2, RemapFlags::MAY_MOVE),
        Err(Errno::EFAULT)
    );
    assert_eq!(
        resize(moved, 1, 0, RemapFlags::MAY_MOVE),
        Err(Errno::EINVAL)
    );
}

#[test]
fn shared_memory_can_be_mapped_twice_by_an_old_length_of_zero() {
    let space = fresh();
    let mut request = anywhere(2);
    request.sharing = Sharing::Shared;
    let first = space.map(request, &NONE).unwrap();
    let request = RemapRequest {
        address: GuestAddr(first),
        old_length: 0,
        new_length: 2 * PAGE,
        flags: RemapFlags::MAY_MOVE,
        new_address: 0,
    };
    let second = space.remap(request, &NONE).unwrap();
    GuestAddr(first + PAGE).write_u32(3).unwrap();
    assert_eq!(GuestAddr(second + PAGE).read_u32(), Ok(3));
    let one = space.locate(GuestAddr(first + PAGE + 8)).unwrap();
    assert_eq!(space.locate(GuestAddr(second + PAGE + 8)), Ok(one));
    assert_eq!(space.locate(GuestAddr(8)), Err(Errno::EFAULT));
}

#[test]
fn faults_say_why() {
    let space = fresh();
    let file = shared(1);
    let mut request = fixed(0, 2, READ);
    request.sharing = Sharing::Shared;
    request.source = MapSource::File(file, 0);
    space.map(request, &NONE).unwrap();
    assert_eq!(space.fault(BASE, READ, &NONE), Fault::Resolved);
    assert_eq!(
        space.fault(BASE, Protection::WRITE, &NONE),
        Fault::NotPermitted
    );
    assert_eq!(space.fault(BASE + PAGE, READ, &NONE), Fault::BeyondFile);
    assert_eq!(space.fault(BASE + 2 * PAGE, READ, &NONE), Fault::NotMapped);
    let mut stack = fixed(600, 1, RW);
    stack.flags = VmaFlags::GROWS_DOWN | VmaFlags::STACK;
    space.map(stack, &NONE).unwrap();
    assert_eq!(
        space.fault(page(590).0 + 8, Protection::WRITE, &NONE),
        Fault::Resolved
    );
    assert!(page(590).write_u32(1).is_ok());
    let limits = MemoryLimits {
        stack: 12 * PAGE,
        ..NONE
    };
    assert_eq!(
        space.fault(page(580).0, Protection::WRITE, &limits),
        Fault::NotMapped
    );
    assert_eq!(
        space.fault(page(3).0, Protection::WRITE, &NONE),
        Fault::NotMapped
    );
}

#[test]
fn large_mappings_are_aligned_for_huge_pages() {
    let space = fresh();
    let small = space.map(anywhere(3), &NONE).unwrap();
    let large = space.map(anywhere(1024), &NONE).unwrap();
    assert!(large.is_multiple_of(2 << 20) && large < small);
    let next = space.map(anywhere(1), &NONE).unwrap();
    assert_eq!(next + PAGE, large);
    space.unmap(GuestAddr(large), 1024 * PAGE).unwrap();
    assert_eq!(space.map(anywhere(1024), &NONE), Ok(large));
}

#[test]
fn a_file_that_shrinks_loses_its_pages() {
    use crate::fs::memfd::{Seals, create};
    use crate::fs::{AttributeChange, Owner};
    let space = fresh();
    let file = Arc::new(create(b"x", 0o600, Owner::default(), Seals::empty()).unwrap());
    let resize = |pages: u64| {
        file.file
            .set_attributes(&AttributeChange {
                size: Some(pages * PAGE),
                ..AttributeChange::default()
            })
            .unwrap();
    };
    resize(3);
    let mut request = fixed(0, 4, RW);
    request.sharing = Sharing::Shared;
    request.source = MapSource::File(file.clone(), 0);
    space.map(request, &NONE).unwrap();
    page(2).write_u32(1).unwrap();
    resize(1);
    let identity = file.file.mappable().unwrap().identity();
    space.file_shrank(identity);
    assert_eq!(page(0).read_u32(), Ok(0));
    assert!(page(2).read_u32().is_err());
    assert_eq!(space.fault(page(2).0, READ, &NONE), Fault::BeyondFile);
    resize(3);
    assert_eq!(space.fault(page(2).0, READ, &NONE), Fault::Resolved);
    assert_eq!(page(2).read_u32(), Ok(0));
}

#[test]
fn a_cut_by_another_process_is_caught_up_with() {
    use crate::fs::memfd::{Seals, create};
    use crate::fs::{AttributeChange, Owner};
    let space = fresh();
    let file = Arc::new(create(b"x", 0o600, Owner::default(), Seals::empty()).unwrap());
    let size = |pages: u64| AttributeChange {
        size: Some(pages * PAGE),
        ..AttributeChange::default()
    };
    file.file.set_attributes(&size(2)).unwrap();
    let inode = file.file.inode().unwrap();
    assert_eq!(inode.mapped_identity(), None);
    let mut request = fixed(0, 2, RW);
    request.sharing = Sharing::Shared;
    request.source = MapSource::File(file.clone(), 0);
    space.map(request, &NONE).unwrap();
    let identity = inode.mapped_identity().unwrap();
    assert!(space.shows(identity) && space.may_write(identity) && !space.shows((0, 0)));
    page(1).write_u32(1).unwrap();
    file.file.set_attributes(&size(1)).unwrap();
    space.note_shrunk(identity);
    assert!(space.has_shrunk());
    assert_eq!(page(1).read_u32(), Ok(0));
    space.cut_shrunk();
    assert!(!space.has_shrunk());
    assert!(page(1).read_u32().is_err());
    assert_eq!(page(0).read_u32(), Ok(0));
    space.forget();
    assert_eq!(inode.mapped_identity(), None);
}

#[test]
fn a_copy_inherits_what_it_should() {
    let space = fresh();
    space.map(fixed(0, 3, RW), &NONE).unwrap();
    page(0).write_u32(1).unwrap();
    page(2).write_u32(1).unwrap();
    space
        .advise(page(1), PAGE, GuestAdvice::Set(VmaFlags::DONT_FORK))
        .unwrap();
    space
        .advise(page(2), PAGE, GuestAdvice::Set(VmaFlags::WIPE_ON_FORK))
        .unwrap();
    let copy = space.fork(|copy| copy);
    copy.finish_fork();
    // The test's host process is still the parent's: both act on it.
    assert_eq!(page(0).read_u32(), Ok(1));
    assert!(page(1).read_u32().is_err());
    assert_eq!(page(2).read_u32(), Ok(0));
    assert_eq!(copy.mapped_bytes(), 2 * PAGE);
    assert_ne!(copy.id(), space.id());
}

#[test]
fn a_file_without_a_place_leaves_room_for_trampolines() {
    let space = fresh();
    let file = |pages| MapRequest::file(Placement::Hint(0), pages * PAGE, READ, shared(pages), 0);
    let high = space.map(anywhere(1), &NONE).unwrap();
    let first = space.map(file(4), &NONE).unwrap();
    assert_eq!(first + 4 * PAGE + (64 << 10), high);
    let next = space.map(anywhere(1), &NONE).unwrap();
    assert!(next < first);
    // Addresses in the gap can be had by asking, and the gap goes with the file.
    let asked = MapRequest::anonymous(Placement::FixedNoReplace(first + 4 * PAGE), PAGE, RW);
    assert_eq!(space.map(asked, &NONE), Ok(first + 4 * PAGE));
    space.unmap(GuestAddr(first), 5 * PAGE).unwrap();
    let refill = space.map(anywhere(20), &NONE).unwrap();
    assert_eq!(refill, high - 20 * PAGE);
}

#[test]
fn locked_bytes_are_counted_and_limited() {
    let space = fresh();
    space.map(fixed(0, 4, RW), &NONE).unwrap();
    let limits = MemoryLimits {
        locked: 2 * PAGE,
        ..NONE
    };
    assert_eq!(space.lock(page(0), 2 * PAGE, true, &limits), Ok(()));
    assert_eq!(
        space.lock(page(1), 2 * PAGE, true, &limits),
        Err(Errno::ENOMEM)
    );
    assert_eq!(
        space.lock(page(3), 2 * PAGE, true, &NONE),
        Err(Errno::ENOMEM)
    );
    assert_eq!(space.locked_bytes(), 2 * PAGE);
    assert_eq!(
        space.advise(page(0), PAGE, GuestAdvice::DontNeed),
        Err(Errno::EINVAL)
    );
    space.unmap(page(0), PAGE).unwrap();
    assert_eq!(space.locked_bytes(), PAGE);
    space.unlock_all();
    assert_eq!(space.locked_bytes(), 0);
}
