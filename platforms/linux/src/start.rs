//! The sandbox's first moments: from the host's exec to the first guest thread.
//!
//! The order matters. Statics move to shared memory before anything is written to them; the filter
//! is installed before any guest's byte is looked at.

use crate::area::ThreadArea;
use crate::areas::{map_areas, pool_bytes};
use crate::boot::{EXIT_NOT_STARTED, GUEST_END, GUEST_START, LOADER_BASE};
use crate::frame::{self, Signals};
use crate::platform::LinuxPlatform;
use crate::program::{Program, read_auxiliary, share_statics};
use crate::surface::Variant;
use crate::{broker, filter, gate, host, signal, thread, time, xstate};
use alloc::boxed::Box;
use capsid_platform::{
    Errno, GuestAddr, GuestRange, GuestThread, PAGE_SIZE, PlatformInfo, Registers,
};
use capsid_wire::BootConfig;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use linux_raw_sys::general as raw;

/// Makes the first guest thread.
pub type BootFunction = fn() -> Result<Box<dyn GuestThread>, Errno>;

static INFO: spin::Once<PlatformInfo> = spin::Once::new();
static BOOT: spin::Once<BootFunction> = spin::Once::new();
static PROCESSORS: AtomicU32 = AtomicU32::new(1);
static DIRECT_KICK: AtomicBool = AtomicBool::new(false);
static VDSO: AtomicU64 = AtomicU64::new(0);
static HWCAP: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// `HWCAP2_FSGSBASE`: user code may set the FS and GS bases.
const HWCAP2_FSGSBASE: u64 = 2;
/// What the gate needs of the processor is what every x86-64 has; the bases are Linux 5.9.
const NEEDS_FSGSBASE: &str = "needs FSGSBASE (a processor since 2012 or 2019, Linux 5.9 or later)";

/// Facts about the sandbox, once [`start`] has collected them.
pub fn info() -> &'static PlatformInfo {
    match INFO.get() {
        Some(info) => info,
        None => fail("the platform was used before its start"),
    }
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

/// The stack that the host's exec made, and the loader. They are left, and would cost every fork a
/// little.
struct OldStack {
    start: AtomicU64,
    end: AtomicU64,
}

static OLD_STACK: OldStack = OldStack {
    start: AtomicU64::new(0),
    end: AtomicU64::new(0),
};

impl OldStack {
    /// # Safety
    /// Nothing between the addresses is used when `unmap` is called.
    unsafe fn set(&self, start: u64, end: u64) {
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
    }

    fn unmap(&self) {
        // The loader is done too, if it was there.
        // SAFETY: nothing of ours lies there.
        unsafe { host::call3(raw::__NR_munmap, [LOADER_BASE as usize, PAGE_SIZE, 0]) };
        let start = self.start.load(Ordering::Relaxed);
        let length = self.end.load(Ordering::Relaxed).saturating_sub(start);
        // SAFETY: `set`'s caller promised. A refusal leaves the stack where it is.
        unsafe { host::call3(raw::__NR_munmap, [start as usize, length as usize, 0]) };
    }
}

/// Ends a sandbox that cannot start.
pub fn fail(reason: &str) -> ! {
    broker::log_format(format_args!("capsid: the sandbox cannot start: {reason}"));
    broker::shut_down();
    host::exit(EXIT_NOT_STARTED)
}

/// Ends the sandbox unless `result` is a value.
pub fn require<T>(result: Result<T, Errno>, what: &str) -> T {
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
    let text = unsafe { share_statics() };
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
    let process = unsafe { host::call3(raw::__NR_getpid, [0; 3]) }.cast_unsigned() as u32;
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
    // SAFETY: nothing on the old stack is used after the frame is loaded.
    unsafe { OLD_STACK.set(auxiliary.stack_start(stack), auxiliary.stack_end()) };
    let frame = frame::build(
        block,
        gate::capsid_start_entry as *const () as usize,
        Signals::Open,
    );
    // SAFETY: the frame continues at the start entry, on the block's stack.
    unsafe { thread::load_frame(frame) }
}

/// Confines the sandbox, installs the platform and makes the first guest thread, on its kernel stack.
///
/// # Safety
/// `area` is the calling thread's own.
pub unsafe fn boot_first_thread(area: *mut ThreadArea) {
    OLD_STACK.unmap();
    let Ok(boot) = postcard::from_bytes::<BootConfig>(broker::boot_bytes()) else {
        fail("the boot configuration is malformed");
    };
    confine(&boot);
    let vdso = VDSO.load(Ordering::Relaxed);
    // SAFETY: the filter is installed, the vDSO is the host's.
    let vdso_answers = unsafe { time::use_vdso(vdso) };
    let Some(guest_range) = GuestRange::between(GUEST_START, GUEST_END) else {
        fail("the guest range is upside down");
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

/// Gives up every privilege and installs the filter.
fn confine(boot: &BootConfig) {
    let text = Program::get().text();
    DIRECT_KICK.store(boot.direct_kick, Ordering::Relaxed);
    let variant = Variant {
        host_files: !boot.exports.is_empty(),
        direct_kick: boot.direct_kick,
    };
    let program = filter::assemble(variant, text.0, text.1);
    let set = |option: u32, value: usize, what: &str| {
        // SAFETY: options of this process that take no pointers.
        let result = unsafe { host::call6(raw::__NR_prctl, [option as usize, value, 0, 0, 0, 0]) };
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
        Ok(_) => mask
            .iter()
            .map(|word| word.count_ones())
            .sum::<u32>()
            .max(1),
        Err(_) => 1,
    }
}
