//! The host's signal frame: as a handler sees it, and as made by hand for rt_sigreturn(2).
//!
//! A hand-made frame sets the signal mask, the signal stack, the general registers and the extended
//! state in one host call. Layout: `arch/x86/include/uapi/asm/sigcontext.h` and `ucontext.h`.

use crate::area::{Block, FRAME_BYTES, STACK_FLOOR};
use crate::xstate;

/// `struct ucontext` with its `sigcontext`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the fields of the host's structures")]
pub struct UserContext {
    pub flags: u64,
    pub link: u64,
    pub stack_pointer: u64,
    pub stack_flags: u64,
    pub stack_bytes: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub rflags: u64,
    pub segments: u64,
    pub error: u64,
    pub trap_number: u64,
    pub old_mask: u64,
    pub fault_address: u64,
    pub extended_state: u64,
    pub reserved: [u64; 8],
    pub mask: u64,
}

const _: () = assert!(size_of::<UserContext>() == 304);

/// The frame has an extended state with XSAVE parts; `ss` is valid and must be restored as it is.
const CONTEXT_FLAGS: u64 = 1 | 2 | 4;
/// `cs` 0x33 and `ss` 0x2b: 64-bit user code.
pub const SEGMENTS: u64 = 0x33 | 0x2b << 48;
const FLAGS: u64 = 0x202;
const SS_DISABLE: u64 = 2;

/// Where the context lies in the room that a block has for a hand-made frame: after the extended
/// state, which has to be aligned to 64.
const CONTEXT_OFFSET: usize = FRAME_BYTES - 512;

/// Whether signals are delivered after a hand-made frame is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// All, on the block's signal stack.
    Open,
    /// None.
    Blocked,
}

/// Builds the frame that continues at `rip` on the top of `block`'s kernel stack, and returns the
/// value for `rsp` at rt_sigreturn(2).
///
/// With [`Signals::Open`] the calling thread's extended state is loaded too, apart from xmm0 to
/// xmm15, which count as changed; with [`Signals::Blocked`] the extended state is lost.
pub fn build(block: Block, rip: usize, signals: Signals) -> usize {
    let mut context = UserContext {
        flags: CONTEXT_FLAGS,
        stack_flags: SS_DISABLE,
        rsp: block.area() as u64,
        rip: rip as u64,
        rflags: FLAGS,
        segments: SEGMENTS,
        mask: u64::MAX,
        ..UserContext::default()
    };
    if signals == Signals::Open {
        context.mask = 0;
        context.stack_flags = 0;
        context.stack_pointer = block.start() as u64;
        context.stack_bytes = STACK_FLOOR as u64;
        context.extended_state = block.frame_room() as u64;
        // SAFETY: the room is big enough (checked at the start), aligned, and belongs to the
        // caller: its own block, or one it is preparing.
        unsafe { xstate::save_as_signal_frame(block.frame_room() as *mut u8) };
    }
    let place = (block.frame_room() + CONTEXT_OFFSET) as *mut UserContext;
    // SAFETY: as above.
    unsafe { place.write(context) };
    place as usize
}

/// Room for the extended state in a hand-made frame, in bytes.
pub const EXTENDED_STATE_ROOM: usize = CONTEXT_OFFSET;
