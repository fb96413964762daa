//! Thread blocks: the shared memory that each guest thread's entries into the library OS run on.
//!
//! ```text
//! 0                  signal stack: the host lays its signal frames here
//! STACK_FLOOR        a canary, then the kernel stack, which grows down from
//! AREA_OFFSET        the thread area, which the GS base points to
//! BLOCK_BYTES
//! ```
//!
//! A block is aligned to its size, so that any address in one leads to its area. Blocks are shared
//! between the processes of the sandbox: a thread can fill the block of a child in another process.

use crate::boot::{BLOCK_BYTES, STACKS_END, THREAD_LIMIT};
use alloc::boxed::Box;
use capsid_platform::{Exception, GuestThread, Registers};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Where the kernel stack ends; below lies the signal stack.
pub const STACK_FLOOR: usize = 32 << 10;
/// Where the thread area starts and the kernel stack begins.
pub const AREA_OFFSET: usize = BLOCK_BYTES - (20 << 10);
/// Room for a signal frame made by hand, extended state included, after the area.
pub const FRAME_BYTES: usize = 18 << 10;

/// [`ThreadArea::pending`]: call `enter(Interrupt)` before going to the guest.
pub const PENDING_ENTRY: u32 = 1;
/// [`ThreadArea::pending`]: end an interruptible wait.
pub const PENDING_WAIT: u32 = 2;

const CANARY: u64 = 0x6361_7073_6964_2121;

/// Why the trap entry was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A system call that seccomp trapped, by the instruction at this address.
    Syscall(u64),
    /// A processor exception.
    Exception(Exception),
    /// A kick or a timer.
    Interrupt,
}

/// What a thread does first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Role {
    /// It runs a guest thread; without one, it is the sandbox's first and makes it.
    Guest,
    /// It waits for one: see [`crate::spare`].
    Spare,
    /// It was given one, perhaps before its first moment.
    Given,
    /// It makes spare ones.
    Nursery,
}

/// What the gate and the signal handlers keep for one thread. The GS base points to it.
#[repr(C, align(64))]
pub struct ThreadArea {
    /// Its own address, at offset 0.
    pub this: *mut ThreadArea,
    /// Where `gate_jump` jumps to; see [`crate::gate::GATE_JUMP`].
    pub gate: usize,
    /// The guest's registers while the thread is in the library OS.
    pub registers: Registers,
    /// System calls that came through the gate.
    pub calls: u64,
    /// `PENDING_*`. Set by this thread's signal handler and by other threads' kicks.
    pub pending: AtomicU32,
    /// The guest's flags as the full exit loads them: only bits that a user may set.
    pub exit_flags: u64,
    /// The guest's xmm0 to xmm15.
    pub xmm: [Xmm; 16],
    /// What the signal handler found, for the trap entry.
    pub trap: Trap,
    /// What this thread runs; `None` before its start and after its end.
    pub thread: UnsafeCell<Option<Box<dyn GuestThread>>>,
    /// A [`Role`].
    pub role: AtomicU32,
    /// The host process, as the sandbox sees it.
    pub host_process: AtomicU32,
    /// The host thread; the host stores it when it makes the thread.
    pub host_thread: AtomicU32,
    /// Counts the threads that had this block; part of a token.
    pub generation: AtomicU64,
    /// The address of the word of an interruptible wait in progress, or 0.
    pub waiting: AtomicUsize,
    /// The value with which that word lets the thread sleep.
    pub waiting_value: AtomicU32,
    /// How long the next wait spins first, in ticks of the time-stamp counter.
    pub spin_ticks: u64,
    /// Waits since one was last tried with spinning although it had not paid.
    pub idle_waits: u32,
    /// Yields so far.
    pub yields: u32,
    /// The next free block, while this one is free.
    pub next_free: AtomicU32,
}

const _: () = assert!(size_of::<ThreadArea>() <= 1024);
const _: () = assert!(AREA_OFFSET + 1024 + FRAME_BYTES <= BLOCK_BYTES);

/// One vector register's low 16 bytes.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Xmm(pub [u8; 16]);

impl core::fmt::Debug for ThreadArea {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ThreadArea")
            .field("registers", &self.registers)
            .finish_non_exhaustive()
    }
}

/// One block, by its index. Plain data: holding one proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block(pub usize);

impl Block {
    /// The block that `address` lies in; `None` for an address outside all of them.
    #[must_use]
    pub fn containing(address: usize) -> Option<Block> {
        // The last byte of the first block is 1 below the end.
        let below = (STACKS_END as usize).checked_sub(address.checked_add(1)?)?;
        let index = below / BLOCK_BYTES;
        (index < THREAD_LIMIT).then_some(Block(index))
    }

    /// Its first address: the signal stack's lowest.
    #[must_use]
    pub fn start(self) -> usize {
        STACKS_END as usize - (self.0 + 1) * BLOCK_BYTES
    }

    /// Its thread area.
    #[must_use]
    pub fn area(self) -> *mut ThreadArea {
        (self.start() + AREA_OFFSET) as *mut ThreadArea
    }

    /// The room for a hand-made signal frame, 64-byte aligned.
    #[must_use]
    pub fn frame_room(self) -> usize {
        self.start() + AREA_OFFSET + 1024
    }

    /// Whether `address` lies inside.
    #[must_use]
    pub fn contains(self, address: usize) -> bool {
        address.wrapping_sub(self.start()) < BLOCK_BYTES
    }

    fn canary(self) -> *mut u64 {
        (self.start() + STACK_FLOOR) as *mut u64
    }

    /// Whether the kernel stack has stayed inside its bounds.
    pub fn stack_intact(self) -> bool {
        // SAFETY: blocks are mapped for the sandbox's whole life, and the canary is written by
        // `set_canary` only.
        unsafe { self.canary().read_volatile() == CANARY }
    }

    /// Marks the end of the kernel stack.
    pub fn set_canary(self) {
        // SAFETY: as in `stack_intact`; the block belongs to the caller or is being prepared by it.
        unsafe { self.canary().write_volatile(CANARY) };
    }
}

/// The list of free blocks: a stack, so that warm blocks are used again first.
#[repr(C)]
#[derive(Debug)]
pub struct FreeBlocks {
    /// Index + 1 of the first free block (0 for none) in the low half; a count of changes in the
    /// high half, against a list that changed and changed back between a look and an exchange.
    pub head: AtomicU64,
    /// How many blocks were ever used.
    used: AtomicU32,
}

/// The free blocks of this sandbox. The end of a thread pushes its own in assembly.
pub static FREE_BLOCKS: FreeBlocks = FreeBlocks {
    head: AtomicU64::new(0),
    used: AtomicU32::new(0),
};

impl FreeBlocks {
    /// Takes a block; `None` when all are in use.
    pub fn take(&self) -> Option<Block> {
        let mut head = self.head.load(Ordering::Acquire);
        while let Some(index) = (head as u32 as usize).checked_sub(1) {
            let block = Block(index.min(THREAD_LIMIT - 1));
            // SAFETY: blocks stay mapped; the field is an atomic.
            let next = unsafe { (*block.area()).next_free.load(Ordering::Relaxed) };
            let changed = ((head >> 32) + 1) << 32 | u64::from(next);
            match self.head.compare_exchange_weak(
                head,
                changed,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(block),
                Err(now) => head = now,
            }
        }
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used < THREAD_LIMIT as u32).then_some(used + 1)
            })
            .ok()
            .map(|index| Block(index as usize))
    }

    /// How many blocks were ever taken: all of them lie below this index.
    pub fn ever_used(&self) -> usize {
        self.used.load(Ordering::Relaxed) as usize
    }

    /// Gives back a block that no thread runs on.
    pub fn give_back(&self, block: Block) {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            // SAFETY: the block belongs to the caller until the exchange below succeeds.
            unsafe {
                (*block.area())
                    .next_free
                    .store(head as u32, Ordering::Relaxed)
            };
            let changed = ((head >> 32) + 1) << 32 | (block.0 as u64 + 1);
            match self.head.compare_exchange_weak(
                head,
                changed,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

/// The calling thread's area.
#[inline]
pub fn current() -> *mut ThreadArea {
    let area;
    // SAFETY: in the library OS the GS base points to the thread's area, whose first field is its
    // own address and never changes while the thread lives.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) area, options(pure, readonly, nostack, preserves_flags));
    }
    area
}
