//! A platform for the unit tests: memory, locks and clocks, and no guest.

extern crate std;

use alloc::boxed::Box;
use alloc::vec::Vec;
use capsid_platform::*;
use capsid_wire::{Reply, Request};
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Pages of the pool: 1 GiB, allocated when touched.
const POOL_PAGES: u32 = 262_144;

type Page = Option<Box<[u8; PAGE_SIZE]>>;

struct TestPlatform {
    info: PlatformInfo,
    pool: Vec<Mutex<Page>>,
    sleepers: Mutex<()>,
    woken: Condvar,
    started: Instant,
}

/// Installs the platform, once.
pub fn install() {
    static PLATFORM: OnceLock<TestPlatform> = OnceLock::new();
    capsid_platform::install(PLATFORM.get_or_init(|| TestPlatform {
        info: PlatformInfo {
            guest_range: GuestRange::between(0x1_0000, 0x7000_0000_0000).unwrap(),
            pool_pages: POOL_PAGES / 2,
            processors: 2,
            gate_jump: &[],
            vdso: GuestAddr::NULL,
            extended_state_bytes: 0,
            extended_state_mask: 0,
            hwcap: 0,
            hwcap2: 0,
            boot: capsid_wire::BootConfig::default(),
        },
        pool: (0..POOL_PAGES).map(|_| Mutex::new(None)).collect(),
        sleepers: Mutex::new(()),
        woken: Condvar::new(),
        started: Instant::now(),
    }));
}

/// Sets pages of the pool's upper half aside for a test with an allocator of its own.
pub fn reserve_pool(pages: u32) -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(POOL_PAGES / 2);
    install();
    let start = NEXT.fetch_add(pages, Ordering::Relaxed);
    assert!(start + pages <= POOL_PAGES);
    start
}

/// A bounded, repeatable run of property tests.
pub fn proptest_config(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x00ca_951d),
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    }
}

impl TestPlatform {
    /// Calls `each(page, range in page, range in buffer)` for the pages of a byte range.
    fn pages(
        &self,
        page: PoolPage,
        offset: usize,
        length: usize,
        mut each: impl FnMut(&mut Page, core::ops::Range<usize>, core::ops::Range<usize>),
    ) {
        let mut done = 0;
        while done < length {
            let at = page.0 as usize * PAGE_SIZE + offset + done;
            let within = at % PAGE_SIZE;
            let count = (PAGE_SIZE - within).min(length - done);
            let mut page = self.pool[at / PAGE_SIZE].lock().unwrap();
            each(&mut page, within..within + count, done..done + count);
            done += count;
        }
    }
}

impl Platform for TestPlatform {
    fn info(&self) -> &PlatformInfo {
        &self.info
    }
    fn map(&self, _: GuestRange, _: Protection, _: Backing, _: Sharing) -> Result<(), Errno> {
        Ok(())
    }
    fn unmap(&self, _: GuestRange) -> Result<(), Errno> {
        Ok(())
    }
    fn protect(&self, _: GuestRange, _: Protection) -> Result<(), Errno> {
        Ok(())
    }
    fn remap(&self, _: GuestRange, _: GuestRange) -> Result<(), Errno> {
        Ok(())
    }
    fn advise(&self, _: GuestRange, _: Advice) -> Result<(), Errno> {
        Ok(())
    }
    fn copy_from_guest(&self, _: &mut [u8], _: GuestAddr) -> usize {
        0
    }
    fn copy_to_guest(&self, _: GuestAddr, _: &[u8]) -> usize {
        0
    }
    fn guest_atomic(&self, _: GuestAddr, _: AtomicOp) -> Result<u32, Errno> {
        Err(Errno::EFAULT)
    }
    fn pool_read(&self, page: PoolPage, offset: usize, target: IoTarget<'_>) -> usize {
        let IoTarget::Kernel(target) = target else {
            return 0;
        };
        self.pages(
            page,
            offset,
            target.len(),
            |page, within, buffer| match page {
                Some(page) => target[buffer].copy_from_slice(&page[within]),
                None => target[buffer].fill(0),
            },
        );
        target.len()
    }
    fn pool_write(&self, page: PoolPage, offset: usize, source: IoSource<'_>) -> usize {
        let IoSource::Kernel(source) = source else {
            return 0;
        };
        self.pages(page, offset, source.len(), |page, within, buffer| {
            let page = page.get_or_insert_with(|| Box::new([0; PAGE_SIZE]));
            page[within].copy_from_slice(&source[buffer]);
        });
        source.len()
    }
    fn pool_zero(&self, page: PoolPage, offset: usize, length: usize) {
        self.pages(page, offset, length, |page, within, _| {
            if let Some(page) = page {
                page[within].fill(0);
            }
        });
    }
    fn pool_discard(&self, page: PoolPage, count: u32) {
        let bytes = count as usize * PAGE_SIZE;
        self.pages(page, 0, bytes, |page, _, _| *page = None);
    }
    fn spawn(
        &self,
        _: SpawnKind,
        _: Box<dyn GuestThread>,
        _: &Registers,
    ) -> Result<ThreadToken, Errno> {
        Err(Errno::EAGAIN)
    }
    fn current_thread(&self) -> ThreadToken {
        ThreadToken(0)
    }
    fn kick(&self, _: ThreadToken) {}
    fn wait(&self, word: &AtomicU32, expected: u32, _: Option<u64>, _: WaitMode) -> WaitOutcome {
        let guard = self.sleepers.lock().unwrap();
        if word.load(Ordering::SeqCst) == expected {
            let _ = self
                .woken
                .wait_timeout(guard, Duration::from_millis(10))
                .unwrap();
        }
        WaitOutcome::Woken
    }
    fn wake(&self, _: &AtomicU32, _: u32) {
        let _guard = self.sleepers.lock().unwrap();
        self.woken.notify_all();
    }
    fn yield_now(&self) {
        std::thread::yield_now();
    }
    fn thread_pointer(&self) -> u64 {
        0
    }
    fn set_thread_pointer(&self, _: u64) -> Result<(), Errno> {
        Ok(())
    }
    fn save_extended_state(&self, _: &mut [u8]) {}
    fn restore_extended_state(&self, _: &[u8]) {}
    fn now(&self, clock: Clock) -> u64 {
        let elapsed = match clock {
            Clock::Realtime => SystemTime::now().duration_since(UNIX_EPOCH).unwrap(),
            _ => self.started.elapsed(),
        };
        u64::try_from(elapsed.as_nanos()).unwrap()
    }
    fn set_timer(&self, _: HostTimer, _: Option<u64>) {}
    fn broker_call(&self, _: &Request, _: &mut [u8]) -> Result<Reply, Errno> {
        Err(Errno::EIO)
    }
    fn host_read(&self, _: HostFile, _: u64, _: IoTarget<'_>) -> Result<usize, Errno> {
        Err(Errno::EIO)
    }
    fn host_write(&self, _: HostFile, _: u64, _: IoSource<'_>) -> Result<usize, Errno> {
        Err(Errno::EIO)
    }
    fn host_close(&self, _: HostFile) {}
    fn image(&self) -> &'static [u8] {
        &[]
    }
    fn log(&self, _: &str) {}
    fn trap_counts(&self, _: &mut dyn FnMut(GuestAddr, u64)) -> u64 {
        0
    }
}
