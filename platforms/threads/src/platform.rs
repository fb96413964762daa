//! The `Platform` trait over std threads.

use crate::memory::GuestMemory;
use crate::page::{POOL_PAGES, Pool, lock};
use crate::thread::{Process, Sleepers, Thread};
use crate::timer;
use crate::world::World;
use capsid_platform::{
    Advice, AtomicOp, Backing, Clock, Errno, GuestAddr, GuestRange, GuestThread, HostFile,
    HostTimer, IoSource, IoTarget, PAGE_SIZE, Platform, PlatformInfo, PoolMemory, PoolPage,
    Protection, Registers, Sharing, SpawnKind, ThreadToken, WaitMode, WaitOutcome,
};
use capsid_wire::{BootConfig, Reply, Request};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes of the extended state: as much as the legacy area and header of XSAVE.
const EXTENDED_STATE_BYTES: usize = 576;

/// The platform of tests.
#[derive(Debug)]
pub struct ThreadsPlatform {
    info: PlatformInfo,
    pool: Pool,
    sleepers: Sleepers,
    next_reserved: AtomicU32,
    next_guest: AtomicU64,
}

impl ThreadsPlatform {
    pub(crate) fn new() -> ThreadsPlatform {
        ThreadsPlatform {
            info: PlatformInfo {
                guest_range: GuestRange::new(GuestAddr(0x1_0000), 0x6fff_0000_0000)
                    .unwrap_or_else(|| unreachable!("the range does not wrap")),
                pool_pages: POOL_PAGES / 2,
                processors: 2,
                // No guest code runs here; the bytes let the patching of text be tested.
                gate_jump: &[0x65, 0xff, 0x24, 0x25, 0x08, 0, 0, 0],
                vdso: GuestAddr::NULL,
                extended_state_bytes: EXTENDED_STATE_BYTES,
                extended_state_mask: 3,
                hwcap: 0,
                hwcap2: 2,
                boot: BootConfig::default(),
            },
            pool: Pool::new(),
            sleepers: Sleepers::new(),
            next_reserved: AtomicU32::new(POOL_PAGES / 2),
            next_guest: AtomicU64::new(0x6000_0000_0000),
        }
    }

    /// What the calling test and the processes it makes share.
    pub fn world(&self) -> Arc<World> {
        Thread::current().process.world.clone()
    }

    /// Makes the calling std thread one more thread of the guest process of `thread`.
    pub fn join_process(&self, thread: ThreadToken) {
        Thread::join(thread);
    }

    /// Maps fresh memory of at least `length` bytes into the calling guest process, at an address
    /// that no other test uses, and returns its start.
    pub fn guest_memory(&self, length: usize) -> GuestAddr {
        let length = length.next_multiple_of(PAGE_SIZE) as u64;
        // A page is left unmapped after each piece, so that tests see overruns.
        let start = self
            .next_guest
            .fetch_add(length + PAGE_SIZE as u64, Ordering::Relaxed);
        if let Some(range) = GuestRange::new(GuestAddr(start), length) {
            let protection = Protection::READ | Protection::WRITE;
            let _ = self.map(range, protection, Backing::Anonymous, Sharing::Private);
        }
        GuestAddr(start)
    }

    /// Maps a copy of `bytes` into the calling guest process and returns its address.
    pub fn guest_bytes(&self, bytes: &[u8]) -> GuestAddr {
        let address = self.guest_memory(bytes.len().max(1));
        self.copy_to_guest(address, bytes);
        address
    }

    /// Sets pages of the pool aside that [`PlatformInfo::pool_pages`] does not count, for a test
    /// with an allocator of its own.
    ///
    /// # Panics
    /// When none are left.
    pub fn reserve_pool(&self, pages: u32) -> u32 {
        let start = self.next_reserved.fetch_add(pages, Ordering::Relaxed);
        assert!(
            start + pages <= POOL_PAGES,
            "the tests use up the page pool"
        );
        start
    }

    fn memory<R>(&self, act: impl FnOnce(&mut GuestMemory, &World) -> R) -> R {
        let process = Thread::current().process.clone();
        let mut memory = lock(&process.memory);
        act(&mut memory, &process.world)
    }
}

impl Platform for ThreadsPlatform {
    fn info(&self) -> &PlatformInfo {
        &self.info
    }

    fn map(
        &self,
        range: GuestRange,
        protection: Protection,
        backing: Backing,
        sharing: Sharing,
    ) -> Result<(), Errno> {
        self.memory(|memory, world| memory.map(world, range, protection, backing, sharing))
    }

    fn unmap(&self, range: GuestRange) -> Result<(), Errno> {
        self.memory(|memory, _| memory.unmap(range));
        Ok(())
    }

    fn protect(&self, range: GuestRange, protection: Protection) -> Result<(), Errno> {
        self.memory(|memory, _| memory.protect(range, protection))
    }

    fn remap(&self, old: GuestRange, new: GuestRange) -> Result<(), Errno> {
        self.memory(|memory, _| memory.remap(old, new))
    }

    fn advise(&self, range: GuestRange, advice: Advice) -> Result<(), Errno> {
        self.memory(|memory, _| {
            if !memory.is_mapped(range) {
                return Err(Errno::ENOMEM);
            }
            memory.advise(range, advice);
            Ok(())
        })
    }

    fn copy_from_guest(&self, destination: &mut [u8], source: GuestAddr) -> usize {
        self.memory(|memory, world| memory.read(world, &self.pool, source, destination))
    }

    fn copy_to_guest(&self, destination: GuestAddr, source: &[u8]) -> usize {
        self.memory(|memory, world| memory.write(world, &self.pool, destination, source))
    }

    fn guest_atomic(&self, address: GuestAddr, operation: AtomicOp) -> Result<u32, Errno> {
        self.memory(|memory, world| memory.atomic(world, &self.pool, address, operation))
    }

    fn pool_read(&self, page: PoolPage, offset: usize, mut target: IoTarget<'_>) -> usize {
        self.pool.pages(
            page,
            offset,
            target.len(),
            |page, within, buffer| match &mut target {
                IoTarget::Kernel(bytes) => {
                    page.read(within.start, &mut bytes[buffer]);
                    within.len()
                }
                IoTarget::Guest(address, _) => {
                    let mut bytes = vec![0; within.len()];
                    page.read(within.start, &mut bytes);
                    let to = GuestAddr(address.0.wrapping_add(buffer.start as u64));
                    self.copy_to_guest(to, &bytes)
                }
            },
        )
    }

    fn pool_write(&self, page: PoolPage, offset: usize, source: IoSource<'_>) -> usize {
        self.pool.pages(
            page,
            offset,
            source.len(),
            |page, within, buffer| match source {
                IoSource::Kernel(bytes) => {
                    page.write(within.start, &bytes[buffer]);
                    within.len()
                }
                IoSource::Guest(address, _) => {
                    let mut bytes = vec![0; within.len()];
                    let from = GuestAddr(address.0.wrapping_add(buffer.start as u64));
                    let copied = self.copy_from_guest(&mut bytes, from);
                    page.write(within.start, &bytes[..copied]);
                    copied
                }
            },
        )
    }

    fn pool_zero(&self, page: PoolPage, offset: usize, length: usize, _memory: PoolMemory) {
        self.pool.pages(page, offset, length, |page, within, _| {
            page.zero(within.clone());
            within.len()
        });
    }

    fn spawn(
        &self,
        kind: SpawnKind,
        thread: Box<dyn GuestThread>,
        registers: &Registers,
    ) -> Result<ThreadToken, Errno> {
        let parent = Thread::current();
        let process = match kind {
            SpawnKind::Thread => parent.process.clone(),
            SpawnKind::Process => {
                let memory = lock(&parent.process.memory).fork();
                Process::new(parent.process.world.clone(), memory)
            }
            SpawnKind::EmptyProcess => {
                Process::new(parent.process.world.clone(), GuestMemory::default())
            }
        };
        let child = Thread::new(process, Some(&parent));
        let token = child.token;
        let registers = *registers;
        std::thread::Builder::new()
            .spawn(move || child.run(thread, registers))
            .map_err(|_| Errno::EAGAIN)?;
        Ok(token)
    }

    fn current_thread(&self) -> ThreadToken {
        Thread::current().token
    }

    fn kick(&self, thread: ThreadToken) {
        if let Some(thread) = Thread::find(thread) {
            thread.kick();
        }
    }

    fn wait(
        &self,
        word: &AtomicU32,
        expected: u32,
        deadline_ns: Option<u64>,
        mode: WaitMode,
    ) -> WaitOutcome {
        let deadline = deadline_ns.map(|deadline| {
            let left = deadline.saturating_sub(self.now(Clock::Monotonic));
            // Far deadlines are as good as none, and must not overflow.
            Instant::now() + Duration::from_nanos(left).min(Duration::from_secs(3600))
        });
        self.sleepers.wait(word, expected, deadline, mode)
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        self.sleepers.wake(word, count);
    }

    fn yield_now(&self) {
        std::thread::yield_now();
    }

    fn thread_pointer(&self) -> u64 {
        Thread::current().thread_pointer.load(Ordering::Relaxed)
    }

    fn set_thread_pointer(&self, value: u64) -> Result<(), Errno> {
        if value >= 1 << 47 {
            return Err(Errno::EPERM);
        }
        Thread::current()
            .thread_pointer
            .store(value, Ordering::Relaxed);
        Ok(())
    }

    fn save_extended_state(&self, buffer: &mut [u8]) {
        let thread = Thread::current();
        let state = lock(&thread.extended_state);
        buffer.fill(0);
        let count = state.len().min(buffer.len());
        buffer[..count].copy_from_slice(&state[..count]);
    }

    fn restore_extended_state(&self, buffer: &[u8]) {
        let kept = &buffer[..buffer.len().min(EXTENDED_STATE_BYTES)];
        *lock(&Thread::current().extended_state) = kept.to_vec();
    }

    fn now(&self, clock: Clock) -> u64 {
        let time = clock_gettime(match clock {
            Clock::Realtime => ClockId::Realtime,
            Clock::Monotonic => ClockId::Monotonic,
            Clock::Boottime => ClockId::Boottime,
            Clock::ProcessCpu => ClockId::ProcessCPUTime,
            Clock::ThreadCpu => ClockId::ThreadCPUTime,
        });
        time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
    }

    fn set_timer(&self, timer: HostTimer, delay_ns: Option<u64>) {
        timer::set(&Thread::current().process, timer, delay_ns);
    }

    fn broker_call(&self, request: &Request, data: &mut [u8]) -> Result<Reply, Errno> {
        let broker = self.world().broker().ok_or(Errno::EIO)?;
        broker(request, data)
    }

    fn host_read(&self, file: HostFile, offset: u64, target: IoTarget<'_>) -> Result<usize, Errno> {
        let file = self.world().file(file)?;
        let offset = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let bytes = {
            let bytes = lock(&file);
            let rest = bytes.get(offset..).unwrap_or(&[]);
            rest[..rest.len().min(target.len())].to_vec()
        };
        match target {
            IoTarget::Kernel(target) => target[..bytes.len()].copy_from_slice(&bytes),
            IoTarget::Guest(address, _) => {
                let copied = self.copy_to_guest(address, &bytes);
                if copied == 0 && !bytes.is_empty() {
                    return Err(Errno::EFAULT);
                }
                return Ok(copied);
            }
        }
        Ok(bytes.len())
    }

    fn host_write(
        &self,
        file: HostFile,
        offset: u64,
        source: IoSource<'_>,
    ) -> Result<usize, Errno> {
        let file = self.world().file(file)?;
        let offset = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let bytes = match source {
            IoSource::Kernel(bytes) => bytes.to_vec(),
            IoSource::Guest(address, length) => {
                let mut bytes = vec![0; length];
                let copied = self.copy_from_guest(&mut bytes, address);
                if copied == 0 && length > 0 {
                    return Err(Errno::EFAULT);
                }
                bytes.truncate(copied);
                bytes
            }
        };
        let mut contents = lock(&file);
        let end = offset + bytes.len();
        if contents.len() < end {
            contents.resize(end, 0);
        }
        contents[offset..end].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn host_close(&self, file: HostFile) {
        self.world().close(file);
    }

    fn image(&self) -> &'static [u8] {
        self.world().image()
    }

    fn trap_counts(&self, _each: &mut dyn FnMut(GuestAddr, u64)) -> u64 {
        0
    }
}
