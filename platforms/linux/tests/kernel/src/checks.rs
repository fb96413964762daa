//! Checks of the platform's functions that need no guest code. A failed one panics, which ends the
//! sandbox.

use crate::kernel::{DATA, log, range};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use capsid_platform::{
    Advice, AtomicOp, Backing, Clock, Entry, Errno, GuestAddr, GuestThread, HostFile, IoSource,
    IoTarget, PAGE_SIZE, PoolMemory, PoolPage, Protection, Registers, Resume, Sharing, SpawnKind,
    WaitMode, WaitOutcome, platform,
};
use capsid_wire::{Operation, Request};
use core::arch::x86_64::_rdtsc;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

/// The check called `name`.
pub fn find(name: &str) -> Option<fn()> {
    Some(match name {
        "copies" => copies,
        "atomics" => atomics,
        "memory" => memory,
        "donation" => donation,
        "sealed-read" => sealed_read,
        "heap" => heap,
        "time" => time,
        "empty-processes" => empty_processes,
        "heap-speed" => heap_speed,
        "copy-speed" => copy_speed,
        _ => return None,
    })
}

const READ_WRITE: Protection = Protection::READ.union(Protection::WRITE);

fn map_data(length: u64) {
    platform()
        .map(
            range(DATA, length),
            READ_WRITE,
            Backing::Anonymous,
            Sharing::Private,
        )
        .expect("guest memory can be mapped");
}

fn copies() {
    map_data(0x2000);
    let end = DATA + 0x2000;
    let source: Vec<u8> = (0..3000u32).map(|n| (n * 7) as u8).collect();
    for length in (0..600).chain([1000, 3000]) {
        for before_end in [0, 1, 3, 8, 17, 100, 700] {
            let bytes = &source[..length];
            let start = GuestAddr(end - before_end);
            let fits = length.min(before_end as usize);
            let copied = platform().copy_to_guest(start, bytes);
            assert_eq!(copied, fits, "{length} bytes, {before_end} before the end");
            let mut back = vec![0xaa; length];
            assert_eq!(platform().copy_from_guest(&mut back, start), fits);
            assert_eq!(back[..fits], bytes[..fits]);
        }
    }
    for address in [
        0,
        0xfff,
        0x6fff_c004_0000,
        0x6fff_0000_0000,
        u64::MAX,
        1 << 63,
    ] {
        let mut byte = [0];
        assert_eq!(platform().copy_from_guest(&mut byte, GuestAddr(address)), 0);
        assert_eq!(platform().copy_to_guest(GuestAddr(address), &[1]), 0);
        assert_eq!(
            platform().guest_atomic(GuestAddr(address & !3), AtomicOp::Load),
            Err(Errno::EFAULT)
        );
    }
    // Between the pool and guest memory, over pages and past the pool's end.
    let pool_pages = platform().info().pool_pages;
    platform().copy_to_guest(GuestAddr(DATA), &source);
    let guest = |length| IoSource::Guest(GuestAddr(DATA), length);
    assert_eq!(platform().pool_write(PoolPage(3), 4000, guest(3000)), 3000);
    let mut back = vec![0; 3000];
    assert_eq!(
        platform().pool_read(PoolPage(4), 0, IoTarget::Kernel(&mut back[..10])),
        10
    );
    assert_eq!(
        platform().pool_read(PoolPage(3), 4000, IoTarget::Kernel(&mut back)),
        3000
    );
    assert_eq!(back, source);
    assert_eq!(platform().pool_write(PoolPage(pool_pages), 0, guest(1)), 0);
    assert_eq!(
        platform().pool_write(PoolPage(pool_pages - 1), 4090, guest(100)),
        6
    );
    assert_eq!(
        platform().pool_write(PoolPage(0), usize::MAX, guest(100)),
        0
    );
    platform().pool_zero(PoolPage(3), 4000, 10, PoolMemory::Kept);
    platform().pool_read(PoolPage(3), 4000, IoTarget::Kernel(&mut back));
    assert_eq!(back[..10], [0; 10]);
    assert_eq!(back[10..], source[10..]);
    platform().pool_zero(PoolPage(3), 0, 2 * PAGE_SIZE, PoolMemory::GivenBack);
    platform().pool_read(PoolPage(3), 4000, IoTarget::Kernel(&mut back));
    assert!(back.iter().all(|byte| *byte == 0));
}

fn atomics() {
    map_data(0x1000);
    let word = GuestAddr(DATA);
    let run = |operation| platform().guest_atomic(word, operation);
    assert_eq!(run(AtomicOp::Swap(5)), Ok(0));
    assert_eq!(run(AtomicOp::Add(u32::MAX)), Ok(5));
    assert_eq!(run(AtomicOp::Or(3)), Ok(4));
    assert_eq!(run(AtomicOp::And(6)), Ok(7));
    assert_eq!(run(AtomicOp::Xor(0xffff_ffff)), Ok(6));
    let exchange = |expected, new| AtomicOp::CompareExchange { expected, new };
    assert_eq!(run(exchange(1, 2)), Ok(!6));
    assert_eq!(run(exchange(!6, 2)), Ok(!6));
    assert_eq!(run(AtomicOp::Load), Ok(2));
    let odd = GuestAddr(DATA + 2);
    assert_eq!(
        platform().guest_atomic(odd, AtomicOp::Load),
        Err(Errno::EINVAL)
    );
    let outside = GuestAddr(DATA + 0x1000);
    for operation in [
        AtomicOp::Load,
        AtomicOp::Add(1),
        exchange(1, 2),
        AtomicOp::Or(1),
    ] {
        assert_eq!(
            platform().guest_atomic(outside, operation),
            Err(Errno::EFAULT)
        );
    }
}

fn memory() {
    map_data(0x4000);
    let word = GuestAddr(DATA);
    word.write_u64(1).expect("mapped");
    platform()
        .protect(range(DATA, 0x1000), Protection::READ)
        .expect("mapped");
    assert_eq!(word.write_u64(2), Err(Errno::EFAULT));
    assert_eq!(word.read_u64(), Ok(1));
    platform()
        .remap(range(DATA, 0x1000), range(DATA + 0x10_0000, 0x1000))
        .expect("mapped");
    assert_eq!(word.read_u64(), Err(Errno::EFAULT));
    assert_eq!(GuestAddr(DATA + 0x10_0000).read_u64(), Ok(1));
    let second = GuestAddr(DATA + 0x1000);
    second.write_u64(3).expect("mapped");
    platform()
        .advise(range(DATA + 0x1000, 0x1000), Advice::DontNeed)
        .expect("mapped");
    assert_eq!(second.read_u64(), Ok(0));
    assert_eq!(
        platform().protect(range(DATA, 0x1000), Protection::READ),
        Err(Errno::ENOMEM)
    );
    platform().unmap(range(DATA, 0x20_0000)).expect("guest's");
    assert_eq!(second.read_u64(), Err(Errno::EFAULT));
    for outside in [0x6fff_c004_0000, 0, 0x6fff_ffff_f000, DATA + 1] {
        assert_eq!(
            platform().unmap(range(outside, 0x1000)),
            Err(Errno::EINVAL),
            "{outside:#x}"
        );
    }
    assert!(platform().image().is_empty());
}

fn donation() {
    map_data(0x2000);
    let request = Request {
        operation: Operation::Open,
        args: [0; 6],
        data_len: 0,
    };
    let open = || {
        let reply = platform().broker_call(&request, &mut []).expect("opened");
        HostFile(reply.donated.expect("a file was donated"))
    };
    let (first, second) = (open(), open());
    assert!(first.0 >= 8 && second.0 == first.0 + 1);
    let mut bytes = [0; 7];
    let target = IoTarget::Kernel(&mut bytes);
    assert_eq!(platform().host_read(first, 0, target), Ok(7));
    assert_eq!(&bytes, b"donated");
    let guest = |address, length| IoTarget::Guest(GuestAddr(address), length);
    assert_eq!(platform().host_read(first, 3, guest(DATA, 4)), Ok(4));
    assert_eq!(GuestAddr(DATA).read_array(), Ok(*b"ated"));
    for outside in [0, 0x6fff_c004_0000, DATA + 0x10_0000] {
        assert_eq!(
            platform().host_read(first, 0, guest(outside, 4)),
            Err(Errno::EFAULT)
        );
    }
    let source = IoSource::Guest(GuestAddr(DATA), 4);
    assert_eq!(platform().host_write(second, 4096, source), Ok(4));
    platform()
        .map(
            range(DATA, 0x1000),
            READ_WRITE,
            Backing::HostFile(second, 4096),
            Sharing::Private,
        )
        .expect("the file can be mapped");
    assert_eq!(GuestAddr(DATA).read_array(), Ok(*b"ated"));
    platform().host_close(first);
    platform().host_close(HostFile(5));
    let target = IoTarget::Kernel(&mut bytes);
    assert_eq!(platform().host_read(first, 0, target), Err(Errno::EBADF));
    // The lowest free number is given again.
    assert_eq!(open(), first);
}

fn sealed_read() {
    let mut bytes = [0; 7];
    let target = IoTarget::Kernel(&mut bytes);
    let _ = platform().host_read(HostFile(8), 0, target);
}

fn heap() {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut seed = 1u32;
    for round in 0..20_000usize {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1usize << (seed >> 28) | (seed >> 8) as usize & 0xff;
        let fill = (round % 251) as u8;
        kept.push(vec![fill; length]);
        if kept.len() > 200 {
            let gone = kept.swap_remove((seed >> 4) as usize % 200);
            assert!(gone.iter().all(|byte| *byte == gone[0]));
        }
    }
    let large = vec![0u8; 3 << 20];
    assert!(large.iter().all(|byte| *byte == 0));
    drop(large);
    let mut large = vec![0u8; 3 << 20];
    assert!(large.iter().all(|byte| *byte == 0));
    large.fill(1);
    large.resize(5 << 20, 1);
    assert!(large.iter().all(|byte| *byte == 1));
}

/// A thread that sees whether it has guest memory, says so, and ends.
struct Visitor(&'static AtomicU32);

impl GuestThread for Visitor {
    fn enter(&mut self, entry: Entry, registers: &mut Registers) -> Resume {
        assert_eq!(entry, Entry::Start);
        assert_eq!(registers.rbx, 0x1234);
        assert_eq!(platform().thread_pointer(), registers.fs_base);
        let mut byte = [0];
        assert_eq!(platform().copy_from_guest(&mut byte, GuestAddr(DATA)), 0);
        self.0.fetch_add(1, Ordering::SeqCst);
        platform().wake(self.0, u32::MAX);
        Resume::Exit
    }
}

/// More than are made on demand: the later ones were made ahead.
fn empty_processes() {
    static VISITS: AtomicU32 = AtomicU32::new(0);
    map_data(0x1000);
    GuestAddr(DATA).write(b"x").expect("mapped");
    for round in 0..40u32 {
        let registers = Registers {
            rbx: 0x1234,
            fs_base: 0x1000 * u64::from(round),
            ..Registers::default()
        };
        platform()
            .spawn(
                SpawnKind::EmptyProcess,
                Box::new(Visitor(&VISITS)),
                &registers,
            )
            .expect("spawned");
        // Two at a time, so that one finds no spare process now and then.
        while VISITS.load(Ordering::SeqCst) < round {
            let seen = VISITS.load(Ordering::SeqCst);
            if seen < round {
                platform().wait(&VISITS, seen, None, WaitMode::Uninterruptible);
            }
        }
        assert_eq!(GuestAddr(DATA).read_array(), Ok(*b"x"));
    }
}

fn time() {
    let now = |clock| platform().now(clock);
    let before = now(Clock::Monotonic);
    assert!(now(Clock::Realtime) > 1_600_000_000_000_000_000);
    assert!(now(Clock::Boottime) > 0);
    assert!(now(Clock::ProcessCpu) > 0);
    assert!(now(Clock::ThreadCpu) > 0);
    let word = AtomicU32::new(0);
    for mode in [WaitMode::Interruptible, WaitMode::Uninterruptible] {
        let deadline = now(Clock::Monotonic) + 2_000_000;
        let outcome = platform().wait(&word, 0, Some(deadline), mode);
        assert_eq!(outcome, WaitOutcome::TimedOut);
        assert!(now(Clock::Monotonic) >= deadline);
    }
    assert_eq!(
        platform().wait(&word, 1, None, WaitMode::Interruptible),
        WaitOutcome::Woken
    );
    platform().yield_now();
    assert!(now(Clock::Monotonic) > before);
}

fn ticks(rounds: u64, mut what: impl FnMut()) -> u64 {
    let mut best = u64::MAX;
    for _ in 0..10 {
        // SAFETY: reads a counter.
        let start = unsafe { _rdtsc() };
        for _ in 0..rounds {
            what();
        }
        // SAFETY: reads a counter.
        best = best.min(unsafe { _rdtsc() } - start);
    }
    best * 100 / rounds
}

fn say(name: &str, value: u64) {
    log(&alloc::format!("{name}={value:#x}"));
}

fn heap_speed() {
    for size in [24usize, 200, 3000] {
        let cost = ticks(10_000, || drop(black_box(Vec::<u8>::with_capacity(size))));
        say("report", cost);
    }
    say(
        "report",
        ticks(1_000_000, || {
            black_box(platform().now(Clock::Monotonic));
        }),
    );
}

fn copy_speed() {
    map_data(0x1_0000);
    let mut buffer = vec![0u8; 4096];
    for length in [4, 8, 16, 64, 256, 4096] {
        let part = &mut buffer[..length];
        let cost = ticks(10_000, || {
            black_box(platform().copy_from_guest(part, GuestAddr(DATA)));
        });
        say("report", cost);
    }
}
