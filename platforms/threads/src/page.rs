//! Pages, and the page pool.

use capsid_platform::{PAGE_SIZE, PoolPage};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Pages of the pool: 1 GiB, which takes memory only where it is touched.
pub const POOL_PAGES: u32 = 262_144;

/// One page. All access is under its lock, so that every copy inside a page is atomic.
#[derive(Debug, Default)]
pub struct Page(Mutex<Option<Box<[u8; PAGE_SIZE]>>>);

/// Locks, also after a test panicked with the lock held.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Page {
    /// Copies out from `offset`, within the page.
    pub fn read(&self, offset: usize, destination: &mut [u8]) {
        match &*lock(&self.0) {
            Some(bytes) => {
                destination.copy_from_slice(&bytes[offset..offset + destination.len()]);
            }
            None => destination.fill(0),
        }
    }

    /// Copies in at `offset`, within the page.
    pub fn write(&self, offset: usize, source: &[u8]) {
        let mut page = lock(&self.0);
        let bytes = page.get_or_insert_with(|| Box::new([0; PAGE_SIZE]));
        bytes[offset..offset + source.len()].copy_from_slice(source);
    }

    /// Sets part of the page to zero.
    pub fn zero(&self, range: Range<usize>) {
        let mut page = lock(&self.0);
        if range.len() == PAGE_SIZE {
            *page = None;
        } else if let Some(bytes) = &mut *page {
            bytes[range].fill(0);
        }
    }

    /// Replaces the word at `offset` and returns the old one.
    pub fn update(&self, offset: usize, change: impl FnOnce(u32) -> Option<u32>) -> u32 {
        let mut page = lock(&self.0);
        let word = offset..offset + 4;
        let old = page.as_ref().map_or(0, |bytes| {
            u32::from_le_bytes(bytes[word.clone()].try_into().unwrap_or_default())
        });
        if let Some(new) = change(old) {
            let bytes = page.get_or_insert_with(|| Box::new([0; PAGE_SIZE]));
            bytes[word].copy_from_slice(&new.to_le_bytes());
        }
        old
    }

    /// A page with the same bytes.
    pub fn copy(&self) -> Page {
        Page(Mutex::new(lock(&self.0).clone()))
    }
}

/// The page pool.
#[derive(Debug)]
pub struct Pool(Vec<Page>);

impl Pool {
    /// Makes a pool of [`POOL_PAGES`].
    pub fn new() -> Pool {
        Pool((0..POOL_PAGES).map(|_| Page::default()).collect())
    }

    /// A page; `None` past the end.
    pub fn page(&self, page: PoolPage) -> Option<&Page> {
        self.0.get(page.0 as usize)
    }

    /// Calls `each(page, range in the page, range in the buffer)` for the pages of a byte range
    /// until it returns `false`, and returns how many bytes were done.
    pub fn pages(
        &self,
        page: PoolPage,
        offset: usize,
        length: usize,
        mut each: impl FnMut(&Page, Range<usize>, Range<usize>) -> usize,
    ) -> usize {
        let mut done = 0;
        while done < length {
            let at = page.0 as usize * PAGE_SIZE + offset + done;
            let within = at % PAGE_SIZE;
            let count = (PAGE_SIZE - within).min(length - done);
            let Some(page) = self.0.get(at / PAGE_SIZE) else {
                break;
            };
            let moved = each(page, within..within + count, done..done + count);
            done += moved;
            if moved < count {
                break;
            }
        }
        done
    }
}
