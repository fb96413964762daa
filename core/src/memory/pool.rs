//! The allocator of the platform's page pool.
//!
//! Free pages are clean (they read as zero and take no memory of the host) or dirty (used before,
//! and still backed). Small needs take dirty pages first, which are warm; large ones take clean
//! runs, which are long. Dirty pages beyond a bound are given back to the host.

use crate::memory::runs::Runs;
use crate::sync::Mutex;
use alloc::vec::Vec;
use capsid_platform::{PAGE_SIZE, PoolMemory, PoolPage, platform};
use core::sync::atomic::{AtomicU32, Ordering};

/// A freed extent of this many pages goes back to the host at once: 1 MiB.
const DISCARD_PAGES: u32 = 256;
/// Dirty pages kept at most: 8 MiB.
const DIRTY_PAGES_MAX: u32 = 2048;
/// Single dirty pages kept for reuse in the order last freed, first taken.
const WARM_PAGES_MAX: usize = 64;

/// Consecutive pages of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first page.
    pub start: PoolPage,
    /// How many.
    pub count: u32,
}

/// What allocated pages hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Zeros.
    Zeroed,
    /// Anything: the caller overwrites all of it before others can see it.
    Unspecified,
}

/// What [`PagePool::allocate`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// The pages.
    pub extent: Extent,
    /// What they hold: [`Contents::Zeroed`] also where the caller did not ask for it.
    pub contents: Contents,
}

/// The pages of a pool, and which are free.
#[derive(Debug)]
pub struct PagePool {
    free: Mutex<Free>,
    used: AtomicU32,
    limit: AtomicU32,
}

#[derive(Debug)]
struct Free {
    clean: Runs,
    dirty: Runs,
    warm: Vec<u32>,
}

/// The pool of the platform. Not more of it is used than the guest may have memory.
pub fn pool() -> &'static PagePool {
    static POOL: spin::Once<PagePool> = spin::Once::new();
    POOL.call_once(|| {
        let info = platform().info();
        let pool = PagePool::new(info.pool_pages);
        if info.boot.memory_bytes > 0 {
            let pages = info.boot.memory_bytes / PAGE_SIZE as u64;
            pool.set_limit(
                u32::try_from(pages).map_or(info.pool_pages, |pages| pages.min(info.pool_pages)),
            );
        }
        pool
    })
}

impl PagePool {
    /// Makes an allocator of the platform's pages from 0 to `pages`.
    #[must_use]
    pub fn new(pages: u32) -> PagePool {
        let mut clean = Runs::new();
        clean.add(0, pages);
        PagePool {
            free: Mutex::new(Free {
                clean,
                dirty: Runs::new(),
                warm: Vec::new(),
            }),
            used: AtomicU32::new(0),
            limit: AtomicU32::new(pages),
        }
    }

    /// Pages in use.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most pages that may be in use.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Bounds the pages in use, for a guest's memory limit.
    pub fn set_limit(&self, pages: u32) {
        self.limit.store(pages, Ordering::Relaxed);
    }

    /// Allocates up to `count` consecutive pages, at least one: those that begin at `near` if
    /// they are free, else the best run. `None` if nothing is left.
    pub fn allocate(
        &self,
        count: u32,
        near: Option<PoolPage>,
        contents: Contents,
    ) -> Option<Allocated> {
        let count = self.charge(count)?;
        let taken = self.free.lock().take(count, near);
        let (start, found, dirty) = taken.unwrap_or((0, 0, false));
        if found < count {
            self.used.fetch_sub(count - found, Ordering::Relaxed);
        }
        if found == 0 {
            return None;
        }
        let start = PoolPage(start);
        let contents = match contents {
            Contents::Unspecified if dirty => Contents::Unspecified,
            _ => Contents::Zeroed,
        };
        if dirty && contents == Contents::Zeroed {
            platform().pool_zero(start, 0, found as usize * PAGE_SIZE, PoolMemory::Kept);
        }
        let extent = Extent {
            start,
            count: found,
        };
        Some(Allocated { extent, contents })
    }

    /// Counts up to `count` pages as used; `None` at the limit.
    fn charge(&self, count: u32) -> Option<u32> {
        let limit = self.limit();
        let mut used = self.used();
        loop {
            let granted = count.min(limit.saturating_sub(used));
            if granted == 0 {
                return None;
            }
            match self.used.compare_exchange_weak(
                used,
                used + granted,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(granted),
                Err(now) => used = now,
            }
        }
    }

    /// Frees pages that [`PagePool::allocate`] gave out.
    pub fn free(&self, extent: Extent) {
        if extent.count == 0 {
            return;
        }
        let start = extent.start.0;
        if extent.count >= DISCARD_PAGES {
            platform().pool_zero(
                extent.start,
                0,
                extent.count as usize * PAGE_SIZE,
                PoolMemory::GivenBack,
            );
            self.free.lock().clean.add(start, extent.count);
        } else {
            let mut free = self.free.lock();
            if extent.count == 1 && free.warm.len() < WARM_PAGES_MAX {
                free.warm.push(start);
            } else {
                free.dirty.add(start, extent.count);
            }
            if free.dirty.pages() > DIRTY_PAGES_MAX {
                free.discard_dirty(DIRTY_PAGES_MAX / 2);
            }
        }
        self.used.fetch_sub(extent.count, Ordering::Relaxed);
    }
}

impl Free {
    /// Takes up to `count` pages: start, length, and whether they are dirty.
    fn take(&mut self, count: u32, near: Option<PoolPage>) -> Option<(u32, u32, bool)> {
        if let Some(PoolPage(near)) = near {
            let taken = self.clean.take_at(near, count);
            if taken > 0 {
                return Some((near, taken, false));
            }
            let taken = self.dirty.take_at(near, count);
            if taken > 0 {
                return Some((near, taken, true));
            }
        }
        if count == 1
            && let Some(page) = self.warm.pop()
        {
            return Some((page, 1, true));
        }
        if count < DISCARD_PAGES
            && let Some(start) = self.dirty.take_fitting(count)
        {
            return Some((start, count, true));
        }
        if let Some(start) = self.clean.take_fitting(count) {
            return Some((start, count, false));
        }
        // No run is long enough. Clean pages join with their neighbours.
        for page in core::mem::take(&mut self.warm) {
            self.dirty.add(page, 1);
        }
        self.discard_dirty(0);
        if let Some(start) = self.clean.take_fitting(count) {
            return Some((start, count, false));
        }
        let (start, length) = self.clean.take_longest()?;
        Some((start, length, false))
    }

    /// Gives dirty pages back to the host until `keep` or fewer are left, longest runs first.
    fn discard_dirty(&mut self, keep: u32) {
        while self.dirty.pages() > keep {
            let Some((start, length)) = self.dirty.take_longest() else {
                return;
            };
            platform().pool_zero(
                PoolPage(start),
                0,
                length as usize * PAGE_SIZE,
                PoolMemory::GivenBack,
            );
            self.clean.add(start, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Allocated, Contents, Extent, PagePool};
    use crate::test_platform;
    use alloc::vec::Vec;
    use capsid_platform::{IoSource, IoTarget, PAGE_SIZE, PoolPage, platform};
    use proptest::prelude::*;

    const PAGES: u32 = 600;

    #[derive(Clone, Debug)]
    enum Step {
        Allocate(u32, bool),
        Free(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1..300u32, any::<bool>()).prop_map(|(count, near)| Step::Allocate(count, near)),
            (1..3u32, any::<bool>()).prop_map(|(count, near)| Step::Allocate(count, near)),
            any::<usize>().prop_map(Step::Free),
        ];
        proptest::collection::vec(step, 1..80)
    }

    fn read_byte(page: u32) -> u8 {
        let mut byte = [0];
        platform().pool_read(PoolPage(page), 77, IoTarget::Kernel(&mut byte));
        byte[0]
    }

    proptest! {
        #![proptest_config(test_platform::proptest_config(200))]
        #[test]
        fn pages_are_given_once_and_zeroed(steps in steps()) {
            let reserved = test_platform::reserve_pool(PAGES);
            let base = reserved.start.0;
            let pool = PagePool::new(0);
            pool.free.lock().clean.add(base, PAGES);
            pool.set_limit(PAGES);
            let mut held: Vec<Extent> = Vec::new();
            let mut owner = alloc::vec![false; PAGES as usize];
            for step in steps {
                match step {
                    Step::Allocate(count, near) => {
                        let near = held.last().filter(|_| near)
                            .map(|last| PoolPage(last.start.0 + last.count));
                        let used = pool.used();
                        let Some(Allocated { extent, .. }) =
                            pool.allocate(count, near, Contents::Zeroed)
                        else {
                            prop_assert_eq!(used, PAGES);
                            continue;
                        };
                        prop_assert!(extent.count >= 1 && extent.count <= count);
                        for page in extent.start.0..extent.start.0 + extent.count {
                            let slot = &mut owner[(page - base) as usize];
                            prop_assert!(!*slot);
                            *slot = true;
                            prop_assert_eq!(read_byte(page), 0);
                            platform().pool_write(PoolPage(page), 0,
                                IoSource::Kernel(&[0xaa; PAGE_SIZE]));
                        }
                        held.push(extent);
                    }
                    Step::Free(which) if !held.is_empty() => {
                        let extent = held.swap_remove(which % held.len());
                        for page in extent.start.0..extent.start.0 + extent.count {
                            owner[(page - base) as usize] = false;
                        }
                        pool.free(extent);
                    }
                    Step::Free(_) => {}
                }
                let count = owner.iter().filter(|used| **used).count();
                prop_assert_eq!(pool.used() as usize, count);
            }
            super::pool().free(reserved);
        }
    }

    #[test]
    fn growing_in_place_gives_one_run() {
        let base = test_platform::reserve_pool(PAGES).start.0;
        let pool = PagePool::new(0);
        pool.free.lock().clean.add(base, PAGES);
        pool.set_limit(PAGES);
        let first = pool.allocate(4, None, Contents::Zeroed).unwrap().extent;
        let next = PoolPage(first.start.0 + 4);
        let second = pool.allocate(4, Some(next), Contents::Zeroed).unwrap();
        assert_eq!(second.extent.start, next);
        pool.set_limit(10);
        let third = pool.allocate(4, None, Contents::Zeroed).unwrap();
        assert_eq!(third.extent.count, 2);
        assert_eq!(pool.allocate(4, None, Contents::Zeroed), None);
    }
}
