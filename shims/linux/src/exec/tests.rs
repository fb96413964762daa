//! Programs that are not as a linker makes them.

use super::elf::Segment;
use super::image::Image;
use super::load::{Base, load};
use crate::exec::elf::Elf;
use crate::test_kernel;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_core::fs::{OpenOptions, Place, StatusFlags, View};
use capsid_platform::{Protection, platform};

fn segment(address: u64, memory_bytes: u64) -> Segment {
    Segment {
        offset: 0,
        address,
        file_bytes: 0,
        memory_bytes,
        protection: Protection::READ,
        alignment: 0x1000,
    }
}

/// Loads a program of these segments, and returns where it ends.
fn end_of(segments: Vec<Segment>) -> Result<u64, Errno> {
    let thread = test_kernel::start();
    let kernel = &thread.process.kernel;
    let root = kernel.namespace.root();
    let view = View {
        namespace: &kernel.namespace,
        root: &root,
        credentials: &thread.credentials(),
        umask: 0,
    };
    // No segment has bytes of the file.
    let options = OpenOptions::new(StatusFlags::PATH);
    let file = view.open(Place::new(&root, b"/"), &options)?;
    let image = Image {
        file: Arc::new(file),
        hold: None,
        elf: Elf {
            relocatable: false,
            entry: 0,
            headers_address: 0,
            headers: 1,
            segments,
            interpreter: None,
            executable_stack: None,
        },
    };
    let limits = thread.process.memory_limits();
    let memory = thread.process.memory();
    load(&memory.space, &image, Base::Anywhere, &limits).map(|loaded| loaded.end)
}

#[test]
fn segments_lie_where_guests_can() {
    test_kernel::start();
    let top = platform().info().guest_range.end();
    assert_eq!(end_of(vec![segment(0x40_0000, 0x1000)]), Ok(0x40_1000));
    // An empty one is not mapped, so that nothing else looks at its address.
    for address in [u64::MAX, u64::MAX - 0xfff, top + 1] {
        let segments = vec![segment(0x40_0000, 0x1000), segment(address, 0)];
        assert_eq!(end_of(segments), Err(Errno::EINVAL), "{address:#x}");
    }
    assert_eq!(end_of(vec![segment(top, 0)]), Ok(top));
}
