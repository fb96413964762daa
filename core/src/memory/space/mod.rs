//! Address spaces: what guest addresses mean, mmap(2), munmap(2), mprotect(2), mremap(2), brk(2),
//! madvise(2).
//!
//! A tree of mappings is kept beside what the host has mapped. The lock over the tree is held over
//! the host's calls, so that the two agree. The host maps what the guest asked for at once; only
//! pages past the end of a file are left out until they exist, see [`AddressSpace::fault`].

mod advise;
mod brk;
mod fault;
mod host;
mod lock;
mod map;
mod protect;
mod regions;
mod remap;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
mod text_tests;
mod tree;
mod vma;

pub use advise::GuestAdvice;
pub use fault::Fault;
pub use map::{MapRequest, MapSource, Placement};
pub use regions::{Location, Region};
pub use remap::{RemapFlags, RemapRequest};
pub use vma::VmaFlags;

use crate::memory::text::MappedTexts;
use crate::sync::Mutex;
use alloc::vec::Vec;
use brk::Break;
use capsid_platform::{Advice, Errno, GuestAddr, GuestRange, platform};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tree::VmaTree;
use vma::{PAGE, Removed};

/// Most mappings of one address space, `/proc/sys/vm/max_map_count`.
pub const MAPPINGS_MAX: usize = 65_530;

/// Limits on one call's use of memory, in bytes: getrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// `RLIMIT_AS`.
    pub address_space: u64,
    /// `RLIMIT_DATA`.
    pub data: u64,
    /// `RLIMIT_STACK`.
    pub stack: u64,
    /// `RLIMIT_MEMLOCK`; no limit for the privileged.
    pub locked: u64,
}

impl MemoryLimits {
    /// No limits.
    pub const NONE: MemoryLimits = MemoryLimits {
        address_space: u64::MAX,
        data: u64::MAX,
        stack: u64::MAX,
        locked: u64::MAX,
    };
}

/// One guest address space.
#[derive(Debug)]
pub struct AddressSpace {
    id: u64,
    map: Mutex<Map>,
    /// There is something in [`Map::shrunk`].
    any_shrunk: AtomicBool,
}

/// What the lock guards.
#[derive(Debug)]
struct Map {
    tree: VmaTree,
    /// The texts that the host shows patched copies of.
    texts: MappedTexts,
    /// New mappings of text show its patched copy at once, if there is one.
    shows_patched: bool,
    heap: Break,
    /// Mappings are placed below this.
    base: u64,
    /// New mappings are locked, mlockall(2) with `MCL_FUTURE`.
    lock_future: bool,
    /// Files that became shorter, and whose mappings may still show pages past the end.
    shrunk: Vec<(u64, u64)>,
    /// What the first thread of a copied process has to do in it.
    unfinished: Option<Unfinished>,
}

/// What the host's copy of a process has and the guest's must not.
#[derive(Debug, Default)]
struct Unfinished {
    unmap: Vec<GuestRange>,
    wipe: Vec<GuestRange>,
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The highest address below which mappings are placed, moved down by up to 16 GiB.
fn randomized_base(random: u64) -> u64 {
    platform().info().guest_range.end() - (random % (1 << 22)) * PAGE
}

impl AddressSpace {
    /// Makes an empty address space. `random` decides where mappings are placed.
    ///
    /// The host's side is not touched: [`AddressSpace::clear`] empties it too.
    #[must_use]
    pub fn new(random: u64) -> AddressSpace {
        AddressSpace {
            id: next_id(),
            map: Mutex::new(Map {
                tree: VmaTree::default(),
                texts: MappedTexts::default(),
                shows_patched: true,
                heap: Break::default(),
                base: randomized_base(random),
                lock_future: false,
                shrunk: Vec::new(),
                unfinished: None,
            }),
            any_shrunk: AtomicBool::new(false),
        }
    }

    /// A number that no other address space of the sandbox has or had.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Unmaps everything, for exec. `random` decides where mappings are placed from now on.
    pub fn clear(&self, random: u64) -> Result<(), Errno> {
        let mut map = self.map.lock();
        platform().unmap(platform().info().guest_range)?;
        let removed = map.tree.clear();
        map.texts = MappedTexts::default();
        map.shows_patched = true;
        map.heap = Break::default();
        map.base = randomized_base(random);
        map.lock_future = false;
        map.shrunk = Vec::new();
        map.unfinished = None;
        drop(map);
        drop(removed);
        Ok(())
    }

    /// Lets go of all files, for a process that runs no guest code any more. What the host shows
    /// stays until its process ends.
    pub fn forget(&self) {
        let mut map = self.map.lock();
        let removed = map.tree.clear();
        map.texts = MappedTexts::default();
        drop(map);
        drop(removed);
    }

    /// Shows text that is mapped from now on as the file has it, until it makes calls. For programs
    /// that map text to read it, as emulators do: they would follow the jumps to trampolines.
    pub fn show_text_unpatched(&self) {
        self.map.lock().shows_patched = false;
    }

    /// Copies the address space, fork(2): `spawn` gets the copy and has the host copy the process,
    /// while nothing can change. The first thread of the new process has to call
    /// [`AddressSpace::finish_fork`] on the copy.
    pub fn fork<R>(&self, spawn: impl FnOnce(AddressSpace) -> R) -> R {
        let map = self.map.lock();
        let mut tree = VmaTree::default();
        let mut unfinished = Unfinished::default();
        for (start, vma) in map.tree.iter() {
            let range = GuestRange::between(start, vma.end);
            if vma.flags.contains(VmaFlags::DONT_FORK) {
                unfinished.unmap.extend(range);
                continue;
            }
            if vma.flags.contains(VmaFlags::WIPE_ON_FORK) {
                unfinished.wipe.extend(range);
            }
            let mut vma = vma.clone();
            // Locks are not inherited.
            vma.flags.remove(VmaFlags::LOCKED);
            vma.hold(start);
            tree.insert(start, vma);
        }
        let idle = unfinished.unmap.is_empty() && unfinished.wipe.is_empty();
        let copy = AddressSpace {
            id: next_id(),
            map: Mutex::new(Map {
                tree,
                texts: map.texts.clone(),
                shows_patched: map.shows_patched,
                heap: map.heap,
                base: map.base,
                lock_future: false,
                // The host copies what is still mapped.
                shrunk: map.shrunk.clone(),
                unfinished: (!idle).then_some(unfinished),
            }),
            any_shrunk: AtomicBool::new(!map.shrunk.is_empty()),
        };
        spawn(copy)
    }

    /// Takes from a copied process what it does not inherit, `MADV_DONTFORK` and
    /// `MADV_WIPEONFORK`. Called in that process, before it runs guest code.
    pub fn finish_fork(&self) {
        self.cut_shrunk();
        let mut map = self.map.lock();
        let Some(unfinished) = map.unfinished.take() else {
            return;
        };
        for range in unfinished.unmap {
            let _ = platform().unmap(range);
        }
        for range in unfinished.wipe {
            let _ = platform().advise(range, Advice::DontNeed);
        }
    }

    /// Unmaps a range, munmap(2): `EINVAL` if it is not page-aligned or empty.
    pub fn unmap(&self, start: GuestAddr, length: u64) -> Result<(), Errno> {
        let range = page_range(start, length).ok_or(Errno::EINVAL)?;
        if range.is_empty() || !platform().info().guest_range.encloses(range) {
            return Err(Errno::EINVAL);
        }
        let mut map = self.map.lock();
        let removed = map.unmap(range)?;
        drop(map);
        drop(removed);
        Ok(())
    }

    /// Bytes mapped.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.map.lock().tree.total
    }

    /// Bytes of private writable memory.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.map.lock().tree.data
    }

    /// Bytes locked.
    #[must_use]
    pub fn locked_bytes(&self) -> u64 {
        self.map.lock().tree.locked
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        drop(self.map.get_mut().tree.clear());
    }
}

impl Map {
    fn unmap(&mut self, range: GuestRange) -> Result<Removed, Errno> {
        if self.tree.is_free(range) {
            return Ok(Removed::default());
        }
        self.room_for_splits(2)?;
        self.revert_texts(range)?;
        platform().unmap(range)?;
        self.forget_texts(range);
        Ok(self.tree.remove_with_gap(range))
    }

    /// `ENOMEM` if there may be no room for `more` mappings.
    fn room_for_splits(&self, more: usize) -> Result<(), Errno> {
        if self.tree.len() + more > MAPPINGS_MAX {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }
}

/// Rounds a length up to whole pages; `None` if it wraps.
fn round_up(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(PAGE)
}

/// The pages from `start`; `None` if it is not aligned or the end wraps.
fn page_range(start: GuestAddr, length: u64) -> Option<GuestRange> {
    if !start.is_page_aligned() {
        return None;
    }
    GuestRange::new(start, round_up(length)?)
}
