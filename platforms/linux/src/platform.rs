//! [`Platform`] on Linux: each function where it belongs.

use crate::{areas, broker, copy, files, memory, start, statistics, thread, time, wait, xstate};
use alloc::boxed::Box;
use capsid_platform::{
    Advice, AtomicOp, Backing, Clock, Errno, GuestAddr, GuestRange, GuestThread, HostFile,
    HostTimer, IoSource, IoTarget, Platform, PlatformInfo, PoolMemory, PoolPage, Protection,
    Registers, Sharing, SpawnKind, ThreadToken, WaitMode, WaitOutcome,
};
use capsid_wire::{Reply, Request};
use core::arch::asm;
use core::sync::atomic::AtomicU32;

/// The library OS's host: a Linux process behind a seccomp filter.
#[derive(Clone, Copy, Debug)]
pub struct LinuxPlatform;

impl Platform for LinuxPlatform {
    fn info(&self) -> &PlatformInfo {
        start::info()
    }

    fn map(
        &self,
        range: GuestRange,
        protection: Protection,
        backing: Backing,
        sharing: Sharing,
    ) -> Result<(), Errno> {
        memory::map(range, protection, backing, sharing)
    }

    fn unmap(&self, range: GuestRange) -> Result<(), Errno> {
        memory::unmap(range)
    }

    fn protect(&self, range: GuestRange, protection: Protection) -> Result<(), Errno> {
        memory::protect(range, protection)
    }

    fn remap(&self, old: GuestRange, new: GuestRange) -> Result<(), Errno> {
        memory::remap(old, new)
    }

    fn advise(&self, range: GuestRange, advice: Advice) -> Result<(), Errno> {
        memory::advise(range, advice)
    }

    fn copy_from_guest(&self, destination: &mut [u8], source: GuestAddr) -> usize {
        copy::from_guest(destination, source)
    }

    fn copy_to_guest(&self, destination: GuestAddr, source: &[u8]) -> usize {
        copy::to_guest(destination, source)
    }

    fn guest_atomic(&self, address: GuestAddr, operation: AtomicOp) -> Result<u32, Errno> {
        copy::atomic(address, operation)
    }

    fn pool_read(&self, page: PoolPage, offset: usize, target: IoTarget<'_>) -> usize {
        memory::pool_read(page, offset, target)
    }

    fn pool_write(&self, page: PoolPage, offset: usize, source: IoSource<'_>) -> usize {
        memory::pool_write(page, offset, source)
    }

    fn pool_zero(&self, page: PoolPage, offset: usize, length: usize, memory: PoolMemory) {
        memory::pool_zero(page, offset, length, memory);
    }

    fn spawn(
        &self,
        kind: SpawnKind,
        thread: Box<dyn GuestThread>,
        registers: &Registers,
    ) -> Result<ThreadToken, Errno> {
        thread::spawn(kind, thread, registers)
    }

    fn current_thread(&self) -> ThreadToken {
        thread::current_token()
    }

    fn kick(&self, thread: ThreadToken) {
        thread::kick(thread);
    }

    fn wait(
        &self,
        word: &AtomicU32,
        expected: u32,
        deadline_ns: Option<u64>,
        mode: WaitMode,
    ) -> WaitOutcome {
        wait::wait(word, expected, deadline_ns, mode)
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        wait::wake(word, count);
    }

    fn yield_now(&self) {
        wait::yield_now();
    }

    fn thread_pointer(&self) -> u64 {
        let value;
        // SAFETY: reads a register.
        unsafe { asm!("rdfsbase {}", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }

    fn set_thread_pointer(&self, value: u64) -> Result<(), Errno> {
        if !start::is_user_address(value) {
            return Err(Errno::EPERM);
        }
        // SAFETY: the FS base is the guest's; nothing in the library OS uses it.
        unsafe { asm!("wrfsbase {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
        Ok(())
    }

    fn save_extended_state(&self, buffer: &mut [u8]) {
        xstate::store(buffer);
    }

    fn restore_extended_state(&self, buffer: &[u8]) {
        xstate::load(buffer);
    }

    fn now(&self, clock: Clock) -> u64 {
        time::now(clock)
    }

    fn set_timer(&self, timer: HostTimer, delay_ns: Option<u64>) {
        time::set_timer(timer, delay_ns);
    }

    fn broker_call(&self, request: &Request, data: &mut [u8]) -> Result<Reply, Errno> {
        broker::call(request, data)
    }

    fn host_read(&self, file: HostFile, offset: u64, target: IoTarget<'_>) -> Result<usize, Errno> {
        files::read(file, offset, target)
    }

    fn host_write(
        &self,
        file: HostFile,
        offset: u64,
        source: IoSource<'_>,
    ) -> Result<usize, Errno> {
        files::write(file, offset, source)
    }

    fn host_close(&self, file: HostFile) {
        files::close(file);
    }

    fn image(&self) -> &'static [u8] {
        areas::image()
    }

    fn trap_counts(&self, each: &mut dyn FnMut(GuestAddr, u64)) -> u64 {
        statistics::report(each)
    }
}
