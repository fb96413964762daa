//! Copies of made-up programs.

use crate::fs::File;
use crate::io::Destination;
use crate::memory::text::{
    MappedTexts, Outcome, PatchedText, TextCache, TextKey, TextMapping, TrampolineRoom, Urgency,
};
use crate::test_platform;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::{Errno, GuestAddr, GuestRange, PAGE_SIZE, Protection, platform};

const START: u64 = 0x40_0000;
const READ_EXECUTE: Protection = Protection::READ.union(Protection::EXECUTE);

#[derive(Debug)]
struct Program(Vec<u8>);

impl File for Program {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        let offset = usize::try_from(offset).unwrap().min(self.0.len());
        destination.put(&self.0[offset..])
    }
}

/// `pages` pages of harmless instructions, and `code` at byte 512 of each page in `at`.
fn program(pages: usize, at: &[usize], code: &[u8]) -> (Program, TextKey) {
    test_platform::install();
    let mut text = vec![0x90; pages * PAGE_SIZE];
    for page in at {
        text[page * PAGE_SIZE + 512..][..code.len()].copy_from_slice(code);
    }
    let key = TextKey {
        file: (1, 2),
        version: 3,
        offset: 0,
        length: text.len() as u64,
    };
    (Program(text), key)
}

/// xor eax, eax; syscall; mov ebx, eax; test eax, eax: patched when it traps only.
const UNCERTAIN: [u8; 8] = [0x31, 0xc0, 0x0f, 0x05, 0x89, 0xc3, 0x85, 0xc0];
/// mov eax, 39; syscall
const PLAIN: [u8; 7] = [0xb8, 39, 0, 0, 0, 0x0f, 0x05];
const DISTANCE: i64 = 0x20_0000;

/// Bytes of the text as a guest sees them.
fn seen(offset: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let address = GuestAddr(START + offset as u64);
    assert_eq!(platform().copy_from_guest(&mut bytes, address), length);
    bytes
}

fn make(program: &Program, key: &TextKey, site: usize) -> Result<Arc<PatchedText>, Errno> {
    TextCache::default().make(program, key, site, |_| Some(DISTANCE))
}

#[test]
fn copies_are_made_when_they_are_worth_it() {
    let (program, key) = program(2, &[0], &PLAIN);
    let cache = TextCache::default();
    let mut traps = 1;
    while !cache.is_worth_a_copy(&key, Urgency::Counted) {
        traps += 1;
    }
    assert!((10..100).contains(&traps), "{traps}");
    assert!(cache.is_worth_a_copy(&key, Urgency::Now));
    assert!(cache.find(&key, |_| true).is_none());
    let made = cache.make(&program, &key, 517, |_| Some(DISTANCE)).unwrap();
    assert!(Arc::ptr_eq(&made, &cache.find(&key, |_| true).unwrap()));
    assert!(cache.find(&key, |_| false).is_none());
    let other = TextKey { version: 4, ..key };
    assert!(cache.find(&other, |_| true).is_none());
}

#[test]
fn failures_are_not_repeated_soon() {
    let (program, key) = program(2, &[], &[]);
    let cache = TextCache::default();
    let failure = cache.make(&program, &key, 517, |_| Some(DISTANCE));
    assert_eq!(failure.unwrap_err(), Errno::ENOEXEC);
    assert!(!cache.is_worth_a_copy(&key, Urgency::Now));
    assert!((0..100).all(|_| !cache.is_worth_a_copy(&key, Urgency::Counted)));
    let failure = cache.make(&program, &key, 517, |_| None);
    assert_eq!(failure.unwrap_err(), Errno::ENOMEM);
}

#[test]
fn all_plain_sites_are_patched_at_once() {
    let (program, key) = program(20, &[0, 3, 19], &PLAIN);
    let text = make(&program, &key, 517).unwrap();
    for page in [0, 3, 19] {
        assert_eq!(
            text.patch(&program, page * PAGE_SIZE + 517),
            Outcome::Patched
        );
    }
    assert_eq!(text.patch(&program, 600), Outcome::Stays);
    assert_eq!(text.map_segments(START, READ_EXECUTE, 0), Ok(1));
    // A jump, and the syscall behind it.
    assert_eq!(seen(3 * PAGE_SIZE + 512, 1), [0xe9]);
    assert_eq!(seen(3 * PAGE_SIZE + 517, 2), [0x0f, 0x05]);
}

#[test]
fn uncertain_sites_are_patched_when_they_trap() {
    let (mut program, key) = program(20, &[0, 3], &UNCERTAIN);
    program.0[512..520].copy_from_slice(&[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x90]);
    let text = make(&program, &key, 517).unwrap();
    let site = 3 * PAGE_SIZE + 514;
    let mut mapped = MappedTexts::default();
    mapped.map(START, READ_EXECUTE, Arc::clone(&text)).unwrap();
    assert_eq!(seen(site, 2), [0x0f, 0x05]);
    let behind = START + site as u64 + 2;
    assert_eq!(mapped.resume_address(behind), behind);

    assert_eq!(text.patch(&program, site), Outcome::Patched);
    assert_eq!(seen(site, 1), [0xe9]);
    let resume = mapped.resume_address(behind);
    let area = text.trampoline_range(START).unwrap();
    assert!(area.contains(resume));
    assert_eq!(mapped.original_address(resume), behind);
    assert_eq!(mapped.original_address(resume - 2), behind - 2);
    assert_eq!(mapped.original_address(START), START);
    // Patching again changes nothing.
    assert_eq!(text.patch(&program, site), Outcome::Patched);
}

#[test]
fn only_the_blocks_of_a_long_text_are_copied() {
    let (mut program, key) = program(3000, &[0, 17, 2999], &PLAIN);
    program.0[1000 * PAGE_SIZE + 512..][..8].copy_from_slice(&UNCERTAIN);
    let text = make(&program, &key, 517).unwrap();
    let mut mapped = MappedTexts::default();
    mapped.map(START, READ_EXECUTE, Arc::clone(&text)).unwrap();
    // The first two blocks are neighbours; the last is cut short.
    assert_eq!(text.map_segments(START, READ_EXECUTE, 2), Ok(2));
    assert_eq!(
        text.patch(&program, 1000 * PAGE_SIZE + 514),
        Outcome::Patched
    );
    assert_eq!(text.map_segments(START, READ_EXECUTE, 2), Ok(3));
    mapped.map_added(START, READ_EXECUTE).unwrap();
    assert_eq!(seen(1000 * PAGE_SIZE + 514, 1), [0xe9]);
    assert_eq!(seen(2999 * PAGE_SIZE + 512, 1), [0xe9]);
}

#[test]
fn texts_are_found_by_their_bytes_and_their_trampolines() {
    let (program, key) = program(20, &[0], &PLAIN);
    let text = make(&program, &key, 517).unwrap();
    let mut mapped = MappedTexts::default();
    mapped.map(START, READ_EXECUTE, Arc::clone(&text)).unwrap();
    let area = text.trampoline_range(START).unwrap();
    assert!(mapped.at(START).is_some() && mapped.at(START - 1).is_none());
    assert!(mapped.at(START + key.length).is_none());
    assert!(mapped.with_trampoline_at(area.start()).is_some());
    let page = |at| GuestRange::new(GuestAddr(at), 4096).unwrap();
    assert_eq!(mapped.touched_by(page(area.start())).len(), 1);
    assert_eq!(mapped.touched_by(page(START + 4096)).len(), 1);
    assert!(mapped.touched_by(page(START - 4096)).is_empty());
    assert!(mapped.forget(START).is_some() && mapped.is_empty());
}

/// An address space whose free addresses are those behind `START + 0x10_0000`.
#[derive(Default)]
struct Room(Vec<GuestRange>);

impl TrampolineRoom for Room {
    fn is_free(&self, range: GuestRange) -> bool {
        !self.0.iter().any(|taken| taken.overlaps(range))
    }

    fn find(&self, start: u64, bytes: u64) -> Option<u64> {
        let candidates = (0..100).map(|page| start + 0x10_0000 + page * 4096);
        candidates
            .filter_map(|at| GuestRange::new(GuestAddr(at), bytes))
            .find(|range| self.is_free(*range))
            .map(GuestRange::start)
    }

    fn take(&mut self, range: GuestRange) {
        self.0.push(range);
    }
}

#[test]
fn a_trap_brings_the_copy_and_later_mappings_have_it() {
    let (program, mut key) = program(2, &[0, 1], &PLAIN);
    // The cache is shared by all tests.
    key.file = (77, 1);
    let at = |start| TextMapping {
        file: &program,
        key,
        start,
        protection: READ_EXECUTE,
    };
    let site = GuestAddr(START + 517);
    let (mut mapped, mut room) = (MappedTexts::default(), Room::default());
    mapped.map_if_patched(&at(START), &mut room);
    let resume = mapped.trapped(Some(&at(START)), site, Urgency::Counted, &mut room);
    assert_eq!(resume, START + 519);
    assert!(mapped.is_empty(), "one trap does not pay for a copy");
    mapped.trapped(Some(&at(START)), site, Urgency::Now, &mut room);
    assert_eq!((mapped.touched_by(room.0[0]).len(), room.0.len()), (1, 1));
    assert_eq!(seen(4096 + 512, 1), [0xe9]);

    let other = START + 0x1000_0000;
    let (mut mapped, mut room) = (MappedTexts::default(), Room::default());
    mapped.map_if_patched(&at(other), &mut room);
    assert!(mapped.at(other).is_some());
    assert_eq!(room.0[0].start(), other + 0x10_0000, "the same distance");

    // Where something is in the way, there is another copy.
    let (mut mapped, mut room) = (MappedTexts::default(), Room::default());
    room.take(GuestRange::new(GuestAddr(other + 0x10_0000), 4096).unwrap());
    mapped.map_if_patched(&at(other), &mut room);
    assert!(mapped.is_empty());
    let site = GuestAddr(other + 517);
    mapped.trapped(Some(&at(other)), site, Urgency::Now, &mut room);
    assert_eq!(room.0[1].start(), other + 0x10_1000);
    // A trap in a trampoline: the call is made again after a signal.
    let again = GuestAddr(room.0[1].start() + 32);
    let resume = mapped.trapped(None, again, Urgency::Now, &mut room);
    assert_eq!(resume, again.0 + 2);
}

#[test]
fn long_texts_wait_and_are_patched_with_care() {
    let (mut program, key) = program(2000, &[1], &PLAIN);
    let checked = [0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff];
    program.0[5 * PAGE_SIZE..][..10].copy_from_slice(&checked);
    for urgency in [Urgency::Counted, Urgency::Now] {
        let cache = TextCache::default();
        while !cache.is_worth_a_copy(&key, urgency) {}
        let plain = PAGE_SIZE + 517;
        let text = cache
            .make(&program, &key, plain, |_| Some(DISTANCE))
            .unwrap();
        let mut mapped = MappedTexts::default();
        mapped.map(START, READ_EXECUTE, text).unwrap();
        assert_eq!(seen(PAGE_SIZE + 512, 1), [0xe9]);
        // A thread may stand behind the call, where the jump would end.
        let behind = START + 5 * PAGE_SIZE as u64 + 4;
        let moved = mapped.resume_address(behind) != behind;
        assert_eq!(moved, urgency == Urgency::Counted);
    }
}
