//! The library OS of the tests: one guest process to start with, and numbers from 0x1000 for calls.

use crate::{checks, guests};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use capsid_platform::{
    Backing, Entry, Errno, GuestAddr, GuestRange, GuestThread, HostTimer, PoolPage, Protection,
    Registers, Resume, Sharing, SpawnKind, ThreadToken, WaitMode, platform,
};
use capsid_wire::{Operation, Request};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Where guest code is copied to.
pub const CODE: u64 = 0x40_0000;
/// Guest memory to play with: private, anonymous.
pub const DATA: u64 = 0x50_0000;
/// As [`DATA`], from the pool, shared.
pub const SHARED: u64 = 0x60_0000;
/// Room of each.
pub const AREA_BYTES: u64 = 0x4_0000;

const LAST_SHARED_PAGE: u32 = 64;

/// What all guest processes share.
#[derive(Debug, Default)]
pub struct World {
    counter: AtomicU32,
    interrupts: AtomicU32,
    first: AtomicU64,
    live: AtomicU32,
}

#[derive(Debug)]
struct Thread {
    world: Arc<World>,
    /// Where exceptions continue; 0 ends the thread.
    exception_handler: u64,
    /// Where interrupts continue; 0 for where they came.
    interrupt_handler: u64,
    scenario: Vec<u8>,
}

/// Makes the first thread.
pub fn boot() -> Result<Box<dyn GuestThread>, Errno> {
    let scenario = platform().info().boot.arguments.first().cloned();
    let world = Arc::new(World::default());
    world.live.store(1, Ordering::Relaxed);
    Ok(Box::new(Thread {
        world,
        exception_handler: 0,
        interrupt_handler: 0,
        scenario: scenario.unwrap_or_default(),
    }))
}

/// The range of `length` bytes at `start`.
pub fn range(start: u64, length: u64) -> GuestRange {
    GuestRange::between(start, start + length).expect("the range is not upside down")
}

/// Sends a line to the launcher.
pub fn log(line: &str) {
    let mut bytes = line.as_bytes().to_vec();
    let request = Request {
        operation: Operation::Log,
        args: [0; 6],
        data_len: bytes.len() as u32,
    };
    let _ = platform().broker_call(&request, &mut bytes);
}

fn report(name: &str, value: u64) {
    log(&format!("{name}={value:#x}"));
}

fn end_sandbox(status: u64) {
    let request = Request {
        operation: Operation::Exit,
        args: [status, 0, 0, 0, 0, 0],
        data_len: 0,
    };
    let _ = platform().broker_call(&request, &mut []);
}

impl GuestThread for Thread {
    fn enter(&mut self, entry: Entry, registers: &mut Registers) -> Resume {
        match entry {
            Entry::Start => self.start(registers),
            Entry::Syscall => self.call(registers),
            Entry::TrappedSyscall(site) => {
                if registers.rax < 0x1000 {
                    registers.rax = Errno::ENOSYS.as_return_value();
                    self.world.counter.fetch_add(1, Ordering::SeqCst);
                    return Resume::Guest;
                }
                if registers.rax == 0x1010 {
                    report("site", site.0);
                }
                self.call(registers)
            }
            Entry::Exception(exception) => {
                report("vector", exception.vector.into());
                if self.exception_handler == 0 {
                    report("rip", registers.rip);
                    return self.exit(139);
                }
                registers.r8 = exception.vector.into();
                registers.r9 = exception.address.0;
                registers.r10 =
                    u64::from(exception.error_code) | u64::from(exception.beyond_backing) << 32;
                registers.rip = self.exception_handler;
                registers.rflags &= !0x100;
                Resume::Guest
            }
            Entry::Interrupt => {
                self.world.interrupts.fetch_add(1, Ordering::SeqCst);
                if self.interrupt_handler != 0 {
                    registers.rip = self.interrupt_handler;
                }
                Resume::Guest
            }
        }
    }
}

impl Thread {
    fn start(&mut self, registers: &mut Registers) -> Resume {
        if registers.rip != 0 {
            return Resume::Guest;
        }
        self.world
            .first
            .store(platform().current_thread().0, Ordering::SeqCst);
        let name = core::str::from_utf8(&self.scenario).unwrap_or("");
        if let Some(check) = checks::find(name) {
            check();
            return self.exit(0);
        }
        let Some(code) = guests::find(name) else {
            report("unknown", 1);
            return self.exit(1);
        };
        let map = |start, protection, backing, sharing| {
            platform()
                .map(range(start, AREA_BYTES), protection, backing, sharing)
                .expect("guest memory can be mapped");
        };
        let (all, data) = (Protection::all(), Protection::READ | Protection::WRITE);
        map(CODE, all, Backing::Anonymous, Sharing::Private);
        map(DATA, data, Backing::Anonymous, Sharing::Private);
        map(SHARED, data, Backing::Pool(PoolPage(0)), Sharing::Shared);
        assert_eq!(platform().copy_to_guest(GuestAddr(CODE), code), code.len());
        registers.rip = CODE;
        registers.rsp = DATA + AREA_BYTES - 64;
        registers.rflags = 0x202;
        Resume::Guest
    }

    fn exit(&mut self, status: u64) -> Resume {
        if self.world.live.fetch_sub(1, Ordering::SeqCst) == 1 {
            report("counter", self.world.counter.load(Ordering::SeqCst).into());
            end_sandbox(status << 8);
        }
        Resume::Exit
    }

    fn spawn(&self, kind: SpawnKind, registers: &Registers) -> u64 {
        self.world.live.fetch_add(1, Ordering::SeqCst);
        let child = Box::new(Thread {
            world: self.world.clone(),
            exception_handler: self.exception_handler,
            interrupt_handler: self.interrupt_handler,
            scenario: Vec::new(),
        });
        match platform().spawn(kind, child, registers) {
            Ok(token) => token.0,
            Err(error) => {
                self.world.live.fetch_sub(1, Ordering::SeqCst);
                error.as_return_value()
            }
        }
    }

    fn call(&mut self, registers: &mut Registers) -> Resume {
        let [first, second, third, ..] = registers.arguments();
        let world = &self.world;
        registers.rax = match registers.rax {
            0x1000 => return self.exit(first),
            0x1001 => 0x1234,
            0x1002 => {
                report("report", first);
                0
            }
            0x1003 => {
                let mut child = *registers;
                child.rax = 0;
                child.fs_base = platform().thread_pointer();
                self.spawn(SpawnKind::Process, &child)
            }
            0x1004 => {
                let mut child = *registers;
                (child.rip, child.rsp, child.fs_base) = (first, second, third);
                (child.rcx, child.rax) = (child.rip, 0);
                self.spawn(SpawnKind::Thread, &child)
            }
            0x1005 => {
                let value = world.counter.fetch_add(1, Ordering::SeqCst) + 1;
                platform().wake(&world.counter, u32::MAX);
                value.into()
            }
            0x1006 => {
                loop {
                    let value = world.counter.load(Ordering::SeqCst);
                    if u64::from(value) >= first {
                        break;
                    }
                    platform().wait(&world.counter, value, None, WaitMode::Uninterruptible);
                }
                0
            }
            0x1007 => {
                platform().kick(ThreadToken(first));
                0
            }
            0x1008 => {
                let mut buffer = [0; 4096];
                let length = (second as usize).min(buffer.len());
                platform().copy_from_guest(&mut buffer[..length], GuestAddr(first)) as u64
            }
            0x1009 => {
                platform().set_timer(HostTimer::Real, (first != 0).then_some(first));
                0
            }
            0x100a => {
                self.exception_handler = first;
                self.interrupt_handler = second;
                0
            }
            0x100b => world.interrupts.load(Ordering::SeqCst).into(),
            // Loads every register from 18 words, as a return from a signal handler does.
            0x100c => {
                let mut words = [0; 18];
                for (index, word) in (0u64..).zip(&mut words) {
                    *word = GuestAddr(first + 8 * index).read_u64().unwrap_or(0);
                }
                let [
                    rax,
                    rbx,
                    rcx,
                    rdx,
                    rsi,
                    rdi,
                    rbp,
                    rsp,
                    r8,
                    r9,
                    r10,
                    r11,
                    r12,
                    r13,
                    r14,
                    r15,
                    rip,
                    rflags,
                ] = words;
                *registers = Registers {
                    rax,
                    rbx,
                    rcx,
                    rdx,
                    rsi,
                    rdi,
                    rbp,
                    rsp,
                    r8,
                    r9,
                    r10,
                    r11,
                    r12,
                    r13,
                    r14,
                    r15,
                    rip,
                    rflags,
                    fs_base: 0,
                };
                return Resume::Guest;
            }
            0x100d => {
                // A file-like mapping whose last page has no backing.
                let pages = platform().info().pool_pages;
                let result = platform().map(
                    range(DATA, 0x2000),
                    Protection::READ | Protection::WRITE,
                    Backing::Pool(PoolPage(pages - 1)),
                    Sharing::Shared,
                );
                u64::from(result.is_err())
            }
            // Counts, then sleeps until a kick.
            0x100e => {
                world.counter.fetch_add(1, Ordering::SeqCst);
                platform().wake(&world.counter, u32::MAX);
                let word = AtomicU32::new(0);
                platform().wait(&word, 0, None, WaitMode::Interruptible) as u64
            }
            0x100f => platform().current_thread().0,
            0x1010 => 0,
            // Clobbers what the library OS may: fills the vector registers through ordinary code.
            0x1011 => {
                let text = format!("{:?} {}", registers, LAST_SHARED_PAGE);
                text.len() as u64
            }
            0x1012 => platform()
                .set_thread_pointer(first)
                .map_or_else(Errno::as_return_value, |()| 0),
            // Save the extended state, load the initial one, load the saved one.
            0x1013 => {
                let mut buffer = alloc::vec![0; platform().info().extended_state_bytes];
                platform().save_extended_state(&mut buffer);
                platform().restore_extended_state(&[]);
                platform().restore_extended_state(&buffer);
                0
            }
            // Counts, then waits for events of the broker.
            0x1016 => {
                world.counter.fetch_add(1, Ordering::SeqCst);
                platform().wake(&world.counter, u32::MAX);
                let request = Request {
                    operation: Operation::WaitEvents,
                    args: [1, 0, 0, 0, 0, 0],
                    data_len: 0,
                };
                platform()
                    .broker_call(&request, &mut [0])
                    .map_or_else(Errno::as_return_value, |reply| reply.value)
            }
            0x1014 => {
                panic!("asked to");
            }
            0x1015 => {
                // SAFETY: deliberately none: a fault of the library OS.
                unsafe {
                    core::ptr::null_mut::<u64>()
                        .wrapping_add(1)
                        .write_volatile(1)
                };
                0
            }
            _ => Errno::ENOSYS.as_return_value(),
        };
        Resume::Guest
    }
}
