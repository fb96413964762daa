//! The heap of the library OS: shared by all processes of the sandbox, lock-free.
//!
//! Each size class keeps its free blocks in a stack whose head is one 64-bit word: a block's number
//! and a count of changes, so that one compare-exchange takes or gives a block, and a thread that
//! dies anywhere leaves no lock behind. Memory is carved from the end of the used heap in spans.
//! Blocks of [`RETURNED_BYTES`] and more go back to the host while they are free.

use crate::boot::HEAP_BASE;
use crate::memory;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Blocks are numbered by this many bytes: 32 bits reach over the whole heap.
const UNIT: usize = 16;
/// As much as block numbers reach.
const REACH_BYTES: usize = (u32::MAX as usize) * UNIT;
const PAGE: usize = 4096;
/// Up to this size there are classes in steps of 16 bytes.
const FINE_LIMIT: usize = 128;
const FINE_CLASSES: usize = FINE_LIMIT / 16;
/// Up to this size there are four classes for each doubling; above it, one.
const COARSE_LIMIT: usize = 32 << 10;
const COARSE_CLASSES: usize = 4 * 8;
const LARGEST_SHIFT: u32 = 35;
const COARSE_SHIFT: u32 = COARSE_LIMIT.trailing_zeros();
const CLASSES: usize = FINE_CLASSES + COARSE_CLASSES + (LARGEST_SHIFT - COARSE_SHIFT) as usize;
/// Free blocks of this size and more hold no memory of the host.
const RETURNED_BYTES: usize = 256 << 10;
/// Spans are as many pages, up to this number, as leave little over. Short ones touch few pages.
const SPAN_PAGES: usize = 4;
/// A span wastes at most this part of itself, if one so short can.
const WASTED_PART: usize = 8;

/// The allocator; all instances are the same heap.
#[derive(Clone, Copy, Debug)]
pub struct Heap;

/// The head of a stack of free blocks: the number of the first in the low half (0 for none), a
/// count of changes in the high half.
#[repr(align(64))]
struct FreeList(AtomicU64);

static FREE: [FreeList; CLASSES] = [const { FreeList(AtomicU64::new(0)) }; CLASSES];
/// Bytes of the heap that were ever carved. The first unit stays unused: 0 means "no block".
static USED: AtomicUsize = AtomicUsize::new(PAGE);
static SIZE: AtomicUsize = AtomicUsize::new(0);

/// Sets how much memory is mapped at [`HEAP_BASE`].
pub fn set_size(bytes: usize) {
    SIZE.store(bytes.min(REACH_BYTES), Ordering::Relaxed);
}

/// The class for a layout, or `None` if it is too large.
#[inline]
fn class_of(layout: Layout) -> Option<usize> {
    let size = if layout.align() <= UNIT {
        layout.size()
    } else {
        // Blocks whose size is a power of two lie at multiples of it.
        layout.size().max(layout.align()).next_power_of_two()
    };
    class_of_size(size)
}

#[inline]
fn class_of_size(size: usize) -> Option<usize> {
    if size <= FINE_LIMIT {
        return Some(size.saturating_sub(1) / 16);
    }
    let last = size - 1;
    let shift = last.ilog2();
    if size <= COARSE_LIMIT {
        let quarter = last >> (shift - 2) & 3;
        return Some(FINE_CLASSES + 4 * (shift as usize - 7) + quarter);
    }
    let above = (shift + 1).checked_sub(COARSE_SHIFT)? as usize;
    let class = FINE_CLASSES + COARSE_CLASSES + above - 1;
    (class < CLASSES).then_some(class)
}

/// The size of a class's blocks.
fn size_of_class(class: usize) -> usize {
    if class < FINE_CLASSES {
        return 16 * (class + 1);
    }
    let class = class - FINE_CLASSES;
    if class < COARSE_CLASSES {
        let base = FINE_LIMIT << (class / 4);
        return base + base / 4 * (class % 4 + 1);
    }
    COARSE_LIMIT << (class - COARSE_CLASSES + 1)
}

/// The word in a free block that numbers the next one.
fn next_of(number: u32) -> &'static AtomicU32 {
    // SAFETY: numbers come from the lists, and name blocks of the mapped heap. A block that was
    // taken meanwhile holds other data here; then the exchange that relies on it fails.
    unsafe { &*((HEAP_BASE as usize + number as usize * UNIT) as *const AtomicU32) }
}

impl FreeList {
    #[inline]
    fn pop(&self) -> Option<*mut u8> {
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let number = head as u32;
            if number == 0 {
                return None;
            }
            let next = next_of(number).load(Ordering::Relaxed);
            match self.0.compare_exchange_weak(
                head,
                ((head >> 32) + 1) << 32 | u64::from(next),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some((HEAP_BASE as usize + number as usize * UNIT) as *mut u8),
                Err(now) => head = now,
            }
        }
    }

    /// Adds the chain of free blocks from `first` to `last`.
    #[inline]
    fn push(&self, first: u32, last: u32) {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            next_of(last).store(head as u32, Ordering::Relaxed);
            match self.0.compare_exchange_weak(
                head,
                ((head >> 32) + 1) << 32 | u64::from(first),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

fn number_of(address: usize) -> u32 {
    ((address - HEAP_BASE as usize) / UNIT) as u32
}

/// Takes memory from the end of the used heap.
fn extend(bytes: usize, align: usize) -> Option<usize> {
    let mut start = 0;
    USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        start = used.checked_next_multiple_of(align)?;
        let end = start.checked_add(bytes)?;
        (end <= SIZE.load(Ordering::Relaxed)).then_some(end)
    })
    .ok()?;
    Some(HEAP_BASE as usize + start)
}

/// How much memory is carved at once into blocks of `size`.
fn span_of(size: usize) -> usize {
    let least = size.next_multiple_of(PAGE);
    (0..SPAN_PAGES)
        .map(|more| least + more * PAGE)
        .find(|span| span % size <= span / WASTED_PART)
        .unwrap_or(least)
}

/// Makes blocks of `class` and returns one.
#[cold]
fn carve(class: usize) -> *mut u8 {
    let size = size_of_class(class);
    let span = span_of(size);
    let align = if size.is_power_of_two() {
        size.clamp(PAGE, 1 << 30)
    } else {
        PAGE
    };
    let Some(start) = extend(span, align) else {
        return null_mut();
    };
    let count = span / size;
    if count > 1 {
        let number = |index: usize| number_of(start + index * size);
        for index in 1..count - 1 {
            next_of(number(index)).store(number(index + 1), Ordering::Relaxed);
        }
        FREE[class].push(number(1), number(count - 1));
    }
    start as *mut u8
}

#[inline]
fn allocate(class: usize) -> *mut u8 {
    match FREE[class].pop() {
        Some(block) => block,
        None => carve(class),
    }
}

// SAFETY: a block is in one list or with one owner: the compare-exchanges move it whole. Classes are
// at least as large as the layouts they serve, and aligned as `class_of` says.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class_of(layout) {
            Some(class) => allocate(class),
            None => null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else {
            return null_mut();
        };
        let block = allocate(class);
        if !block.is_null() {
            // Memory that the host has just given, or given anew, is zero but for the number of the
            // next free block.
            let dirty = if size_of_class(class) >= RETURNED_BYTES {
                UNIT
            } else {
                layout.size()
            };
            // SAFETY: the block is at least that large.
            unsafe { block.write_bytes(0, dirty) };
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else {
            return;
        };
        let size = size_of_class(class);
        if size >= RETURNED_BYTES {
            memory::release_heap(block as usize, size);
        }
        let number = number_of(block as usize);
        FREE[class].push(number, number);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises a valid size for the same alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if class_of(layout) == class_of(new_layout) {
            return block;
        }
        // SAFETY: `GlobalAlloc`'s own contract, passed on.
        unsafe {
            let moved = self.alloc(new_layout);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, class_of, class_of_size, size_of_class, span_of};
    use core::alloc::Layout;

    #[test]
    fn classes_cover_every_size_tightly() {
        for class in 0..CLASSES {
            let size = size_of_class(class);
            assert_eq!(class_of_size(size), Some(class), "{size}");
            assert_eq!(size % 16, 0);
            if class + 1 < CLASSES {
                assert_eq!(class_of_size(size + 1), Some(class + 1), "{size}");
            }
        }
        assert_eq!(class_of_size(size_of_class(CLASSES - 1) + 1), None);
        assert_eq!(class_of_size(0), Some(0));
        assert_eq!(class_of_size(usize::MAX), None);
    }

    #[test]
    fn spans_waste_little() {
        for class in 0..CLASSES {
            let size = size_of_class(class);
            let span = span_of(size);
            assert!(span >= size && span.is_multiple_of(4096), "{size}");
            assert!(span % size <= span / 8, "{size}: {span}");
        }
    }

    #[test]
    fn alignment_takes_a_power_of_two() {
        let layout = Layout::from_size_align(100, 64).expect("a layout");
        assert_eq!(class_of(layout).map(size_of_class), Some(128));
        let layout = Layout::from_size_align(24, 4096).expect("a layout");
        assert_eq!(class_of(layout).map(size_of_class), Some(4096));
    }
}
