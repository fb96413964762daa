//! Patched text in address spaces.

use super::*;
use crate::fs::{File, Mappable, OpenFile, StatusFlags};
use crate::io::Destination;
use crate::memory::SharedMemory;
use crate::memory::text::Urgency;
use crate::test_platform::install;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::{Backing, IoSource, Protection};

const NONE: MemoryLimits = MemoryLimits::NONE;
const READ_EXECUTE: Protection = Protection::READ.union(Protection::EXECUTE);
/// Pages of the text, and of the whole image, of which it is the second page on.
const TEXT_PAGES: u64 = 2;
const IMAGE_PAGES: u64 = 4;
/// Where the text's `mov eax, 39` stands.
const NUMBER: u64 = 512;
/// xor eax, eax; syscall; mov ebx, eax; test eax, eax: not certain before it traps.
const UNCERTAIN: u64 = 2048;

#[derive(Debug)]
struct Image {
    memory: SharedMemory,
    bytes: Vec<u8>,
}

impl File for Image {
    fn read(&self, offset: u64, destination: &mut Destination<'_>) -> Result<usize, Errno> {
        destination.put(&self.bytes[to_index(offset)..])
    }

    fn mappable(&self) -> Result<&dyn Mappable, Errno> {
        Ok(&self.memory)
    }
}

fn to_index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

fn image() -> Arc<OpenFile> {
    install();
    let mut bytes = vec![0x90; to_index(IMAGE_PAGES * PAGE)];
    let mut put = |at: u64, code: &[u8]| {
        bytes[to_index(PAGE + at)..][..code.len()].copy_from_slice(code);
    };
    put(NUMBER, &[0xb8, 39, 0, 0, 0, 0x0f, 0x05]);
    put(UNCERTAIN, &[0x31, 0xc0, 0x0f, 0x05, 0x89, 0xc3, 0x85, 0xc0]);
    let memory = SharedMemory::new(IMAGE_PAGES * PAGE).unwrap();
    let (backing, _) = memory.backing(0, IMAGE_PAGES * PAGE, false).unwrap();
    let Backing::Pool(page) = backing else {
        panic!("shared memory is in the pool");
    };
    platform().pool_write(page, 0, IoSource::Kernel(&bytes));
    let image = Arc::new(Image { memory, bytes });
    Arc::new(OpenFile::new(image, StatusFlags::READ_WRITE))
}

/// Maps the image as the dynamic loader does, and returns where its text is.
fn load(space: &AddressSpace, file: &Arc<OpenFile>) -> u64 {
    let whole = MapRequest::file(
        Placement::Hint(0),
        IMAGE_PAGES * PAGE,
        Protection::READ,
        file.clone(),
        0,
    );
    let text = space.map(whole, &NONE).unwrap() + PAGE;
    map_text(space, file, text);
    text
}

fn map_text(space: &AddressSpace, file: &Arc<OpenFile>, at: u64) {
    let request = MapRequest::file(
        Placement::Fixed(at),
        TEXT_PAGES * PAGE,
        READ_EXECUTE,
        file.clone(),
        PAGE,
    );
    space.map(request, &NONE).unwrap();
}

fn byte_at(address: u64) -> u8 {
    GuestAddr(address).read_array::<1>().unwrap()[0]
}

fn is_patched(text: u64) -> bool {
    byte_at(text + NUMBER) == 0xe9
}

fn trap(space: &AddressSpace, text: u64) {
    let site = GuestAddr(text + NUMBER + 5);
    assert_eq!(space.trapped(site, Urgency::Now), site.0 + 2);
}

#[test]
fn later_mappings_show_the_copy() {
    let (file, space) = (image(), AddressSpace::new(0));
    let text = load(&space, &file);
    assert!(!is_patched(text));
    trap(&space, text);
    assert!(is_patched(text));
    let another = load(&space, &file);
    assert!(is_patched(another));
    let regions = space.regions().len();
    assert_eq!(regions, 6, "the guest does not see trampolines");

    let copied = AddressSpace::new(1);
    let text = load(&copied, &file);
    assert!(is_patched(text));
    copied.fork(|copy| assert_eq!(copy.regions().len(), 3));
}

#[test]
fn a_thread_that_trapped_goes_on_in_the_trampoline() {
    let (file, space) = (image(), AddressSpace::new(0));
    let text = load(&space, &file);
    trap(&space, text);
    let site = text + UNCERTAIN + 2;
    let behind = site + 2;
    assert_eq!(space.resume_address(behind), behind);
    let resume = space.trapped(GuestAddr(site), Urgency::Counted);
    assert_ne!(resume, behind);
    assert!(space.is_patched_call(GuestAddr(site)));
    assert!(!space.is_patched_call(GuestAddr(site - 2)));
    assert_eq!(space.resume_address(behind), resume);
    assert_eq!(space.original_address(resume), behind);
    assert_eq!(space.original_address(behind), behind);
    // The call is made again there, and its trap changes nothing.
    assert_eq!(space.trapped(GuestAddr(resume - 2), Urgency::Now), resume);
}

#[test]
fn text_that_may_change_is_the_files_again() {
    let (file, space) = (image(), AddressSpace::new(0));
    let text = load(&space, &file);
    trap(&space, text);
    assert!(is_patched(text));
    let page = GuestAddr(text + PAGE);
    space
        .protect(page, PAGE, READ_EXECUTE | Protection::WRITE, &NONE)
        .unwrap();
    assert!(!is_patched(text));
    space.protect(page, PAGE, READ_EXECUTE, &NONE).unwrap();
    let written = text + PAGE + 5;
    assert_eq!(space.trapped(GuestAddr(written), Urgency::Now), written + 2);
    assert_eq!(byte_at(written), 0x90);
}

#[test]
fn text_that_may_only_be_read_is_shown_unpatched() {
    let (file, space) = (image(), AddressSpace::new(0));
    let text = load(&space, &file);
    trap(&space, text);
    assert!(is_patched(text));
    space.show_text_unpatched();
    let text = load(&space, &file);
    assert!(!is_patched(text));
    trap(&space, text);
    assert!(is_patched(text), "it makes calls");
}

#[test]
fn text_is_unpatched_before_its_trampolines_go() {
    let (file, space) = (image(), AddressSpace::new(0));
    let text = load(&space, &file);
    trap(&space, text);
    let over = text - PAGE + IMAGE_PAGES * PAGE;
    let request = MapRequest::anonymous(Placement::Fixed(over), PAGE, Protection::READ);
    space.map(request, &NONE).unwrap();
    assert!(!is_patched(text));
    assert_eq!(byte_at(over), 0);

    // In part, and as a whole.
    let text = load(&space, &file);
    assert!(is_patched(text));
    space.unmap(GuestAddr(text + PAGE), PAGE).unwrap();
    assert!(!is_patched(text));
    let text = load(&space, &file);
    space
        .unmap(GuestAddr(text - PAGE), IMAGE_PAGES * PAGE)
        .unwrap();
    let trampolines = text - PAGE + IMAGE_PAGES * PAGE;
    assert!(GuestAddr(trampolines).read_array::<1>().is_err());
}

#[test]
fn moved_text_is_unpatched() {
    let (file, space) = (image(), AddressSpace::new(0));
    let text = load(&space, &file);
    trap(&space, text);
    let request = RemapRequest {
        address: GuestAddr(text),
        old_length: TEXT_PAGES * PAGE,
        new_length: TEXT_PAGES * PAGE,
        flags: RemapFlags::MAY_MOVE | RemapFlags::FIXED,
        new_address: 0x5000_0000,
    };
    space.remap(request, &NONE).unwrap();
    assert!(!is_patched(0x5000_0000));
}

#[test]
fn trampolines_of_a_program_lie_below_it() {
    let (file, space) = (image(), AddressSpace::new(0));
    let text = 0x40_0000;
    map_text(&space, &file, text);
    trap(&space, text);
    assert!(is_patched(text));
    let limits = &NONE;
    space.set_heap_start(text + TEXT_PAGES * PAGE);
    let end = text + 100 * PAGE;
    assert_eq!(space.set_break(end, limits), end);
    assert!(is_patched(text), "the heap does not get in the way");
}
