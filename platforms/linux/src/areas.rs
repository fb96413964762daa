//! The sandbox's own memory: wire, stacks, heap, pool and image, mapped once at fixed addresses.

use crate::boot::{
    EXIT_NOT_STARTED, FD_FIRST_DONATED, FD_IMAGE, FD_KERNEL, FD_NULL, FD_POOL, FD_WIRE, HEAP_BASE,
    HEAP_OFFSET, IMAGE_BASE, IMAGE_LIMIT_BYTES, KERNEL_LIMIT_BYTES, POOL_BASE, POOL_LIMIT_BYTES,
    STACKS_BASE, STACKS_OFFSET, WIRE_BASE,
};
use crate::start::{fail, require};
use crate::{heap, host};
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::general as raw;

static POOL_BYTES: AtomicUsize = AtomicUsize::new(0);
static IMAGE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The size of the pool in bytes.
pub fn pool_bytes() -> usize {
    POOL_BYTES.load(Ordering::Relaxed)
}

/// The root image.
pub fn image() -> &'static [u8] {
    let length = IMAGE_BYTES.load(Ordering::Relaxed);
    if length == 0 {
        return &[];
    }
    // SAFETY: the image is mapped read-only for the sandbox's life. The host could change the file;
    // readers are told so.
    unsafe { core::slice::from_raw_parts(IMAGE_BASE as *const u8, length) }
}

/// What a mapping may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// Maps a descriptor, at `address` or, for 0, where the host likes. Ends the process on failure.
pub fn map_shared(
    address: u64,
    length: usize,
    descriptor: i32,
    offset: u64,
    access: Access,
) -> usize {
    let fixed = if address == 0 { 0 } else { raw::MAP_FIXED };
    let protection = match access {
        Access::ReadOnly => raw::PROT_READ,
        Access::ReadWrite => raw::PROT_READ | raw::PROT_WRITE,
    };
    // SAFETY: callers name addresses that are reserved for what they map.
    let result = unsafe {
        host::call6(
            raw::__NR_mmap,
            [
                address as usize,
                length,
                protection as usize,
                (raw::MAP_SHARED | raw::MAP_NORESERVE | fixed) as usize,
                descriptor.unsigned_abs() as usize,
                offset as usize,
            ],
        )
    };
    match host::check(result) {
        Ok(address) => address,
        Err(_) => host::exit(EXIT_NOT_STARTED),
    }
}

/// The size of what a descriptor refers to; `None` if it is not open.
fn size_of_descriptor(descriptor: i32) -> Option<u64> {
    const SEEK_END: usize = 2;
    // SAFETY: moves the file offset, which nothing uses.
    let result = unsafe {
        host::call3(
            raw::__NR_lseek,
            [descriptor.unsigned_abs() as usize, 0, SEEK_END],
        )
    };
    host::check(result).ok().map(|size| size as u64)
}

/// Maps wire, stacks, heap, pool and image, and closes what is not needed again.
pub fn map_areas() {
    let wire_bytes = capsid_wire::layout::TOTAL_BYTES;
    if size_of_descriptor(FD_WIRE).is_none_or(|size| size < wire_bytes as u64) {
        host::exit(EXIT_NOT_STARTED);
    }
    map_shared(WIRE_BASE, wire_bytes, FD_WIRE, 0, Access::ReadWrite);

    let kernel_bytes = size_of_descriptor(FD_KERNEL).unwrap_or(0);
    if kernel_bytes <= HEAP_OFFSET || kernel_bytes > KERNEL_LIMIT_BYTES {
        fail("the kernel memory has a wrong size");
    }
    let stacks_bytes = (HEAP_OFFSET - STACKS_OFFSET) as usize;
    map_shared(
        STACKS_BASE,
        stacks_bytes,
        FD_KERNEL,
        STACKS_OFFSET,
        Access::ReadWrite,
    );
    let heap_bytes = (kernel_bytes - HEAP_OFFSET) as usize;
    map_shared(
        HEAP_BASE,
        heap_bytes,
        FD_KERNEL,
        HEAP_OFFSET,
        Access::ReadWrite,
    );
    heap::set_size(heap_bytes);

    let pool_bytes = size_of_descriptor(FD_POOL).unwrap_or(0);
    if pool_bytes == 0 || pool_bytes > POOL_LIMIT_BYTES {
        fail("the page pool has a wrong size");
    }
    map_shared(
        POOL_BASE,
        pool_bytes as usize,
        FD_POOL,
        0,
        Access::ReadWrite,
    );
    POOL_BYTES.store(pool_bytes as usize, Ordering::Relaxed);

    match size_of_descriptor(FD_IMAGE) {
        Some(image_bytes @ 1..=IMAGE_LIMIT_BYTES) => {
            map_shared(
                IMAGE_BASE,
                image_bytes as usize,
                FD_IMAGE,
                0,
                Access::ReadOnly,
            );
            IMAGE_BYTES.store(image_bytes as usize, Ordering::Relaxed);
        }
        Some(_) => fail("the root image has a wrong size"),
        None => occupy(FD_IMAGE),
    }
    occupy(FD_WIRE);
    occupy(FD_KERNEL);
    if FD_NULL.iter().any(|descriptor| !is_open(*descriptor)) {
        fail("a standard descriptor is closed");
    }
}

fn is_open(descriptor: i32) -> bool {
    const F_GETFD: usize = 1;
    // SAFETY: asks for flags.
    let result = unsafe {
        host::call3(
            raw::__NR_fcntl,
            [descriptor.unsigned_abs() as usize, F_GETFD, 0],
        )
    };
    host::check(result).is_ok()
}

/// Makes a low descriptor refer to `/dev/null`, so that no donated one gets its number.
fn occupy(descriptor: i32) {
    const { assert!(FD_IMAGE < FD_FIRST_DONATED && FD_WIRE < FD_FIRST_DONATED) };
    // SAFETY: replaces a descriptor that nothing uses any more.
    let result = unsafe {
        host::call3(
            raw::__NR_dup2,
            [
                FD_NULL[0].unsigned_abs() as usize,
                descriptor.unsigned_abs() as usize,
                0,
            ],
        )
    };
    require(host::check(result), "close a descriptor");
}
