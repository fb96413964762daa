//! The extended (x87, vector, mask) state, in the processor's XSAVE standard format.

use crate::area;
use crate::frame::EXTENDED_STATE_ROOM;
use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The header, after the 512 bytes of the legacy region.
const HEADER: usize = 512;
/// Where the legacy region ends.
const EXTENDED: usize = HEADER + 64;
/// The bytes of the legacy region that software may use: the host keeps its signal-frame mark here.
const SOFTWARE: usize = 464;
/// The mark after the extended state in a signal frame.
const MAGIC2: u32 = 0x4650_5845;
const MXCSR: usize = 24;
const XMM: usize = 160;
const MXCSR_INITIAL: u32 = 0x1f80;
const X87_CONTROL_INITIAL: u16 = 0x37f;

/// The host's own software bytes, copied from one of its signal frames at the start.
static SOFTWARE_BYTES: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];
/// Length of the extended state in the host's signal frames, without the mark after it.
static FRAME_STATE_BYTES: AtomicUsize = AtomicUsize::new(0);
static MASK: AtomicU64 = AtomicU64::new(3);
static BYTES: AtomicUsize = AtomicUsize::new(EXTENDED);
static MXCSR_MASK: AtomicU64 = AtomicU64::new(0xffbf);

/// The enabled components (XCR0).
pub fn mask() -> u64 {
    MASK.load(Ordering::Relaxed)
}

/// The size of the standard format for them.
pub fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

/// Reads what the processor has. Returns whether hand-made signal frames have room for it.
pub fn detect() -> bool {
    let (low, high): (u32, u32);
    // SAFETY: XGETBV is there: the host enables XSAVE on every processor with FSGSBASE.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem)) };
    MASK.store(u64::from(high) << 32 | u64::from(low), Ordering::Relaxed);
    let leaf = __cpuid_count(0xd, 0);
    BYTES.store(leaf.ebx as usize, Ordering::Relaxed);
    leaf.ebx as usize + 64 <= EXTENDED_STATE_ROOM
}

/// Learns from one of the host's signal frames how it marks them.
///
/// # Safety
/// `state` is the extended state of a signal frame of the host.
pub unsafe fn learn(state: *const u8) {
    for (index, word) in SOFTWARE_BYTES.iter().enumerate() {
        // SAFETY: the software bytes lie inside the legacy region.
        let value = unsafe {
            state
                .add(SOFTWARE + 8 * index)
                .cast::<u64>()
                .read_unaligned()
        };
        word.store(value, Ordering::Relaxed);
    }
    // struct _fpx_sw_bytes: magic1, extended_size, xfeatures, xstate_size, padding.
    let length = SOFTWARE_BYTES[2].load(Ordering::Relaxed) as u32;
    FRAME_STATE_BYTES.store(length as usize, Ordering::Relaxed);
    // SAFETY: the mask of MXCSR follows MXCSR in the legacy region.
    let mxcsr_mask = unsafe { state.add(MXCSR + 4).cast::<u32>().read_unaligned() };
    if mxcsr_mask != 0 {
        MXCSR_MASK.store(mxcsr_mask.into(), Ordering::Relaxed);
    }
}

/// Stores the live state to `to`, with the host's marks of a signal frame.
///
/// # Safety
/// `to` has room for [`EXTENDED_STATE_ROOM`] bytes, is aligned to 64, and nothing else uses it.
pub unsafe fn save_as_signal_frame(to: *mut u8) {
    let components = SOFTWARE_BYTES[1].load(Ordering::Relaxed);
    // SAFETY: the caller's promise; the header has to be zero before XSAVE, which writes the
    // first 8 bytes only.
    unsafe {
        to.add(HEADER).write_bytes(0, 64);
        save(to, components);
        for (index, word) in SOFTWARE_BYTES.iter().enumerate() {
            to.add(SOFTWARE + 8 * index)
                .cast::<u64>()
                .write(word.load(Ordering::Relaxed));
        }
        to.add(
            FRAME_STATE_BYTES
                .load(Ordering::Relaxed)
                .min(EXTENDED_STATE_ROOM - 4),
        )
        .cast::<u32>()
        .write_unaligned(MAGIC2);
    }
}

/// # Safety
/// As for [`save_as_signal_frame`].
unsafe fn save(to: *mut u8, components: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("xsave64 [{}]", in(reg) to, in("eax") components as u32,
            in("edx") (components >> 32) as u32, options(nostack));
    }
}

/// Writes the calling guest thread's state to `buffer`.
pub fn store(buffer: &mut [u8]) {
    let scratch = scratch();
    let length = bytes().min(EXTENDED_STATE_ROOM).min(buffer.len());
    // SAFETY: the scratch room belongs to the calling thread, is aligned and large enough; the
    // thread's own xmm area is written by its gate only.
    unsafe {
        scratch.add(HEADER).write_bytes(0, 64);
        scratch.add(SOFTWARE).write_bytes(0, 48);
        save(scratch, mask());
        let xmm = (&raw const (*area::current()).xmm).cast::<u8>();
        scratch.add(XMM).copy_from_nonoverlapping(xmm, 256);
        let header = scratch.add(HEADER).cast::<u64>();
        header.write(header.read() | 2);
        buffer
            .as_mut_ptr()
            .copy_from_nonoverlapping(scratch, length);
    }
}

/// Loads the calling guest thread's state from `buffer`; empty for the initial state.
pub fn load(buffer: &[u8]) {
    let scratch = scratch();
    let length = buffer.len().min(bytes()).min(EXTENDED_STATE_ROOM);
    // SAFETY: as in `store`. The state is made such that XRSTOR cannot fault: unknown components
    // and reserved bits are cleared. The registers it loads are declared as changed; the guest's
    // xmm0 to xmm15 are taken from the thread area at the exit.
    unsafe {
        scratch.write_bytes(0, EXTENDED);
        scratch.copy_from_nonoverlapping(buffer.as_ptr(), length);
        let header = scratch.add(HEADER).cast::<u64>();
        let present = if length < 512 {
            0
        } else if length < EXTENDED {
            3
        } else {
            header.read() & mask()
        };
        header.add(1).cast::<u8>().write_bytes(0, 56);
        header.write(present);
        let mxcsr = scratch.add(MXCSR).cast::<u32>();
        if present & 6 == 0 {
            mxcsr.write(MXCSR_INITIAL);
        } else {
            mxcsr.write(mxcsr.read() & MXCSR_MASK.load(Ordering::Relaxed) as u32);
        }
        if present & 1 == 0 {
            scratch.cast::<u16>().write(X87_CONTROL_INITIAL);
        }
        if present & 2 == 0 {
            scratch.add(XMM).write_bytes(0, 256);
        }
        let xmm = (&raw mut (*area::current()).xmm).cast::<u8>();
        xmm.copy_from_nonoverlapping(scratch.add(XMM), 256);
        let components = mask();
        asm!("xrstor64 [{}]", in(reg) scratch, in("eax") components as u32,
            in("edx") (components >> 32) as u32,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack));
    }
}

fn scratch() -> *mut u8 {
    match area::Block::containing(area::current() as usize) {
        Some(block) => block.frame_room() as *mut u8,
        None => panic!("the thread area lies outside the stacks"),
    }
}
