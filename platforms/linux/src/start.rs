//! The sandbox's first moments: from the host's exec to the first guest thread.
//!
//! The order matters. Statics move to shared memory before anything is written to them; the filter
//! is installed before any byte of the broker's configuration or of a guest is looked at.

use crate::area::ThreadArea;
use crate::boot::{
    EXIT_NOT_STARTED, FD_FIRST_DONATED, FD_IMAGE, FD_KERNEL, FD_NULL, FD_POOL, FD_WIRE, GUEST_END,
    GUEST_START, HEAP_BASE, HEAP_OFFSET, IMAGE_BASE, IMAGE_LIMIT_BYTES, KERNEL_LIMIT_BYTES,
    POOL_BASE, POOL_LIMIT_BYTES, PROGRAM_BASE, STACKS_BASE, STACKS_OFFSET, WIRE_BASE,
};
use crate::frame::{self, Signals};
use crate::platform::LinuxPlatform;
use crate::program::Program;
use crate::surface::Variant;
use crate::{broker, filter, gate, heap, host, signal, thread, time, xstate};
use alloc::boxed::Box;
use capsid_platform::{
    Errno, GuestAddr, GuestRange, GuestThread, PAGE_SIZE, PlatformInfo, Registers,
};
use capsid_wire::BootConfig;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use linux_raw_sys::general as raw;

/// Makes the first guest thread.
pub type BootFunction = fn() -> Result<Box<dyn GuestThread>, Errno>;

static INFO: spin::Once<PlatformInfo> = spin::Once::new();
static BOOT: spin::Once<BootFunction> = spin::Once::new();
static POOL_BYTES: AtomicUsize = AtomicUsize::new(0);
static IMAGE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PROCESSORS: AtomicU32 = AtomicU32::new(1);
static DIRECT_KICK: AtomicBool = AtomicBool::new(false);
static VDSO: AtomicU64 = AtomicU64::new(0);
static HWCAP: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// `HWCAP2_FSGSBASE`: user code may set the FS and GS bases.
const HWCAP2_FSGSBASE: u64 = 2;
/// What the gate needs of the processor is what every x86-64 has; the bases are Linux 5.9.
const NEEDS_FSGSBASE: &str = "needs FSGSBASE (a processor since 2012 or 2019, Linux 5.9 or later)";

/// The auxiliary vector's entries that matter here, getauxval(3).
#[derive(Clone, Copy, Debug, Default)]
struct Auxiliary {
    program_headers: u64,
    program_header_count: u64,
    vdso: u64,
    hwcap: u64,
    hwcap2: u64,
}

const AT_PHDR: u64 = 3;
const AT_PHNUM: u64 = 5;
const AT_HWCAP: u64 = 16;
const AT_HWCAP2: u64 = 26;
const AT_SYSINFO_EHDR: u64 = 33;

/// Facts about the sandbox, once [`start`] has collected them.
pub fn info() -> &'static PlatformInfo {
    match INFO.get() {
        Some(info) => info,
        None => fail("the platform was used before its start"),
    }
}

/// The size of the pool in bytes.
pub fn pool_bytes() -> usize {
    POOL_BYTES.load(Ordering::Relaxed)
}

/// The root image.
pub fn image() -> &'static [u8] {
    let length = IMAGE_BYTES.load(Ordering::Relaxed);
    if length == 0 {
        return &[];
    }
    // SAFETY: the image is mapped read-only for the sandbox's life. The host could change the file;
    // readers are told so.
    unsafe { core::slice::from_raw_parts(IMAGE_BASE as *const u8, length) }
}

/// Whether a waker can run while a waiter spins.
#[inline]
pub fn has_other_processors() -> bool {
    PROCESSORS.load(Ordering::Relaxed) > 1
}

/// Whether the sandbox signals its threads itself.
pub fn direct_kick() -> bool {
    DIRECT_KICK.load(Ordering::Relaxed)
}

/// Whether the processor takes `address` for a thread pointer of user code.
pub fn is_user_address(address: u64) -> bool {
    address < 1 << 47
}

/// Ends a sandbox that cannot start.
fn fail(reason: &str) -> ! {
    broker::log_format(format_args!("capsid: the sandbox cannot start: {reason}"));
    broker::shut_down();
    host::exit(EXIT_NOT_STARTED)
}

fn require<T>(result: Result<T, Errno>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            broker::log_format(format_args!("capsid: the sandbox cannot {what}: {error}"));
            broker::shut_down();
            host::exit(EXIT_NOT_STARTED)
        }
    }
}

/// Starts the sandbox.
///
/// # Safety
/// Called once, first, with the stack pointer that the host's exec left.
pub unsafe fn start(stack: *const u64, boot: BootFunction) -> ! {
    // SAFETY: the host's exec laid out the stack.
    let auxiliary = unsafe { read_auxiliary(stack) };
    // SAFETY: nothing was written to a static yet, and only this thread runs.
    let text = unsafe { share_statics(&auxiliary) };
    Program::get().set_text(text.0, text.1);
    map_areas();
    BOOT.call_once(|| boot);
    HWCAP[0].store(auxiliary.hwcap, Ordering::Relaxed);
    HWCAP[1].store(auxiliary.hwcap2, Ordering::Relaxed);
    VDSO.store(auxiliary.vdso, Ordering::Relaxed);
    if auxiliary.hwcap2 & HWCAP2_FSGSBASE == 0 {
        fail(NEEDS_FSGSBASE);
    }
    if !xstate::detect() {
        fail("the processor's extended state is larger than the sandbox has room for");
    }
    PROCESSORS.store(processors(), Ordering::Relaxed);
    require(signal::learn_frame_format(), "learn the signal frame");
    // SAFETY: asks for this process's number.
    let process = unsafe { host::call3(raw::__NR_getpid, [0; 3]) } as u32;
    let block = require(
        thread::prepare(None, &Registers::default(), process),
        "take a stack",
    );
    let area = block.area();
    // SAFETY: the block is this thread's; the GS base belongs to the library OS.
    unsafe {
        (*area).host_thread.store(process, Ordering::Relaxed);
        asm!("wrgsbase {}", in(reg) area, options(nostack, preserves_flags));
    }
    require(signal::install(), "install signal handlers");
    confine(text);
    let frame = frame::build(
        block,
        gate::capsid_start_entry as *const () as usize,
        Signals::Open,
    );
    // SAFETY: the frame continues at the start entry, on the block's stack.
    unsafe { thread::load_frame(frame) }
}

/// Reads the configuration, installs the platform and makes the first guest thread; on its kernel
/// stack, behind the filter.
pub fn boot_first_thread(area: *mut ThreadArea) {
    let vdso = VDSO.load(Ordering::Relaxed);
    // SAFETY: the filter is installed, the vDSO is the host's.
    let vdso_answers = unsafe { time::use_vdso(vdso) };
    let Some(guest_range) = GuestRange::between(GUEST_START, GUEST_END) else {
        fail("the guest range is upside down");
    };
    let Some(boot) = read_boot() else {
        fail("the boot configuration is malformed");
    };
    INFO.call_once(|| PlatformInfo {
        guest_range,
        pool_pages: u32::try_from(pool_bytes() / PAGE_SIZE).unwrap_or(u32::MAX),
        processors: PROCESSORS.load(Ordering::Relaxed),
        gate_jump: &gate::GATE_JUMP,
        vdso: GuestAddr(if vdso_answers { vdso } else { 0 }),
        extended_state_bytes: xstate::bytes(),
        extended_state_mask: xstate::mask(),
        hwcap: HWCAP[0].load(Ordering::Relaxed),
        hwcap2: HWCAP[1].load(Ordering::Relaxed),
        boot,
    });
    capsid_platform::install(&LinuxPlatform);
    let Some(boot_function) = BOOT.get() else {
        fail("there is no library OS");
    };
    let first = require(boot_function(), "make the first guest thread");
    // SAFETY: the thread's own area, before its first entry.
    unsafe { *(*area).thread.get() = Some(first) };
}

fn read_boot() -> Option<BootConfig> {
    postcard::from_bytes(broker::boot_bytes()).ok()
}

/// Gives up every privilege and installs the filter. The configuration is parsed twice: here only
/// for what the filter depends on, since the heap's contents are not to be trusted later.
fn confine(text: (u64, u64)) {
    let Some(boot) = read_boot() else {
        fail("the boot configuration is malformed");
    };
    DIRECT_KICK.store(boot.direct_kick, Ordering::Relaxed);
    let variant = Variant {
        host_files: !boot.exports.is_empty(),
        direct_kick: boot.direct_kick,
    };
    let program = filter::assemble(variant, text.0, text.1);
    let set = |option: u32, value: usize, what: &str| {
        // SAFETY: options of this process that take no pointers.
        let result = unsafe {
            host::call6(raw::__NR_prctl, [option as usize, value, 0, 0, 0, 0])
        };
        require(host::check(result), what);
    };
    set(
        linux_raw_sys::prctl::PR_SET_PDEATHSIG,
        raw::SIGKILL as usize,
        "ask to die with the broker",
    );
    set(
        linux_raw_sys::prctl::PR_SET_NO_NEW_PRIVS,
        1,
        "renounce new privileges",
    );
    require(filter::install(&program), "install the seccomp filter");
}

/// # Safety
/// `stack` is what the host's exec left.
unsafe fn read_auxiliary(stack: *const u64) -> Auxiliary {
    let mut auxiliary = Auxiliary::default();
    // SAFETY: argument count, arguments, null, environment, null, pairs up to AT_NULL.
    unsafe {
        let mut at = stack.add(*stack as usize + 2);
        while *at != 0 {
            at = at.add(1);
        }
        at = at.add(1);
        while *at != 0 {
            let value = *at.add(1);
            match *at {
                AT_PHDR => auxiliary.program_headers = value,
                AT_PHNUM => auxiliary.program_header_count = value,
                AT_SYSINFO_EHDR => auxiliary.vdso = value,
                AT_HWCAP => auxiliary.hwcap = value,
                AT_HWCAP2 => auxiliary.hwcap2 = value,
                _ => {}
            }
            at = at.add(2);
        }
    }
    auxiliary
}

/// `Elf64_Phdr`.
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    physical: u64,
    file_bytes: u64,
    memory_bytes: u64,
    align: u64,
}

const PT_LOAD: u32 = 1;
const PF_X: u32 = 1;
const PF_W: u32 = 2;

/// Puts the program's writable segments onto the kernel memory, and returns the text's bounds.
///
/// # Safety
/// No static was written to yet; nothing else runs.
unsafe fn share_statics(auxiliary: &Auxiliary) -> (u64, u64) {
    let mut text = (0, 0);
    for index in 0..auxiliary.program_header_count {
        // SAFETY: the host gave the place of our own program headers.
        let header = unsafe {
            &*(auxiliary.program_headers as *const ProgramHeader).add(index as usize)
        };
        if header.kind != PT_LOAD {
            continue;
        }
        let end = header.address + header.memory_bytes;
        if header.flags & PF_X != 0 {
            text = (header.address, end);
        }
        if header.flags & PF_W == 0 {
            continue;
        }
        let page = PAGE_SIZE as u64;
        let start = header.address / page * page;
        let length = (end.next_multiple_of(page) - start) as usize;
        let offset = start.wrapping_sub(PROGRAM_BASE);
        if offset.saturating_add(length as u64) > STACKS_OFFSET {
            host::exit(EXIT_NOT_STARTED);
        }
        let copy = map_shared(0, length, FD_KERNEL, offset, Access::ReadWrite);
        // SAFETY: the copy is as long as the segment's pages.
        unsafe { (copy as *mut u8).copy_from_nonoverlapping(start as *const u8, length) };
        map_shared(start, length, FD_KERNEL, offset, Access::ReadWrite);
        // SAFETY: the first mapping of the copy is not used any more.
        unsafe { host::call3(raw::__NR_munmap, [copy, length, 0]) };
    }
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadOnly,
    ReadWrite,
}

/// Maps a descriptor, at `address` or, for 0, where the host likes. Ends the process on failure.
fn map_shared(address: u64, length: usize, descriptor: i32, offset: u64, access: Access) -> usize {
    let fixed = if address == 0 { 0 } else { raw::MAP_FIXED };
    let protection = match access {
        Access::ReadOnly => raw::PROT_READ,
        Access::ReadWrite => raw::PROT_READ | raw::PROT_WRITE,
    };
    // SAFETY: callers name addresses that are reserved for what they map.
    let result = unsafe {
        host::call6(
            raw::__NR_mmap,
            [
                address as usize,
                length,
                protection as usize,
                (raw::MAP_SHARED | raw::MAP_NORESERVE | fixed) as usize,
                descriptor as usize,
                offset as usize,
            ],
        )
    };
    match host::check(result) {
        Ok(address) => address,
        Err(_) => host::exit(EXIT_NOT_STARTED),
    }
}

/// The size of what a descriptor refers to; `None` if it is not open.
fn size_of_descriptor(descriptor: i32) -> Option<u64> {
    const SEEK_END: usize = 2;
    // SAFETY: moves the file offset, which nothing uses.
    let result = unsafe { host::call3(raw::__NR_lseek, [descriptor as usize, 0, SEEK_END]) };
    host::check(result).ok().map(|size| size as u64)
}

/// Maps wire, stacks, heap, pool and image, and closes what is not needed again.
fn map_areas() {
    let wire_bytes = capsid_wire::layout::TOTAL_BYTES;
    if size_of_descriptor(FD_WIRE).is_none_or(|size| size < wire_bytes as u64) {
        host::exit(EXIT_NOT_STARTED);
    }
    map_shared(WIRE_BASE, wire_bytes, FD_WIRE, 0, Access::ReadWrite);

    let kernel_bytes = size_of_descriptor(FD_KERNEL).unwrap_or(0);
    if kernel_bytes <= HEAP_OFFSET || kernel_bytes > KERNEL_LIMIT_BYTES {
        fail("the kernel memory has a wrong size");
    }
    let stacks_bytes = (HEAP_OFFSET - STACKS_OFFSET) as usize;
    map_shared(
        STACKS_BASE,
        stacks_bytes,
        FD_KERNEL,
        STACKS_OFFSET,
        Access::ReadWrite,
    );
    let heap_bytes = (kernel_bytes - HEAP_OFFSET) as usize;
    map_shared(
        HEAP_BASE,
        heap_bytes,
        FD_KERNEL,
        HEAP_OFFSET,
        Access::ReadWrite,
    );
    heap::set_size(heap_bytes);

    let pool_bytes = size_of_descriptor(FD_POOL).unwrap_or(0);
    if pool_bytes == 0 || pool_bytes > POOL_LIMIT_BYTES {
        fail("the page pool has a wrong size");
    }
    map_shared(
        POOL_BASE,
        pool_bytes as usize,
        FD_POOL,
        0,
        Access::ReadWrite,
    );
    POOL_BYTES.store(pool_bytes as usize, Ordering::Relaxed);

    match size_of_descriptor(FD_IMAGE) {
        Some(image_bytes @ 1..=IMAGE_LIMIT_BYTES) => {
            map_shared(
                IMAGE_BASE,
                image_bytes as usize,
                FD_IMAGE,
                0,
                Access::ReadOnly,
            );
            IMAGE_BYTES.store(image_bytes as usize, Ordering::Relaxed);
        }
        Some(_) => fail("the root image has a wrong size"),
        None => occupy(FD_IMAGE),
    }
    occupy(FD_WIRE);
    occupy(FD_KERNEL);
    if FD_NULL.iter().any(|descriptor| !is_open(*descriptor)) {
        fail("a standard descriptor is closed");
    }
}

fn is_open(descriptor: i32) -> bool {
    const F_GETFD: usize = 1;
    // SAFETY: asks for flags.
    let result = unsafe { host::call3(raw::__NR_fcntl, [descriptor as usize, F_GETFD, 0]) };
    host::check(result).is_ok()
}

/// Makes a low descriptor refer to `/dev/null`, so that no donated one gets its number.
fn occupy(descriptor: i32) {
    const { assert!(FD_IMAGE < FD_FIRST_DONATED && FD_WIRE < FD_FIRST_DONATED) };
    // SAFETY: replaces a descriptor that nothing uses any more.
    let result = unsafe {
        host::call3(
            raw::__NR_dup2,
            [FD_NULL[0] as usize, descriptor as usize, 0],
        )
    };
    require(host::check(result), "close a descriptor");
}

/// The number of processors that this process may use.
fn processors() -> u32 {
    let mut mask = [0u64; 128];
    // SAFETY: the host writes at most the given length.
    let result = unsafe {
        host::call3(
            raw::__NR_sched_getaffinity,
            [0, size_of_val(&mask), mask.as_mut_ptr() as usize],
        )
    };
    match host::check(result) {
        Ok(_) => mask.iter().map(|word| word.count_ones()).sum::<u32>().max(1),
        Err(_) => 1,
    }
}

