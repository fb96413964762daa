//! The frame that a handler runs on and rt_sigreturn(2) reads, as Linux lays it out on x86-64
//! (arch/x86/include/asm/sigframe.h, uapi/asm/sigcontext.h).

use crate::signal::exception::TrapState;
use crate::signal::info::INFO_BYTES;
use crate::signal::{
    Action, ActionFlags, AlternateStack, MIN_STACK_BYTES, SignalInfo, SignalSet, StackFlags,
};
use crate::task::Thread;
use alloc::vec;
use alloc::vec::Vec;
use capsid_core::Errno;
use capsid_platform::{GuestAddr, Registers, platform};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct rt_sigframe`, without the `siginfo_t` at its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct FrameHead {
    return_address: u64,
    flags: u64,
    link: u64,
    stack_base: u64,
    stack_flags: u32,
    stack_padding: u32,
    stack_size: u64,
    context: Context,
    mask: u64,
}

/// `struct sigcontext_64`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Context {
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
    r12: u64,
    r13: u64,
    r14: u64,
    r15: u64,
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rax: u64,
    rcx: u64,
    rsp: u64,
    rip: u64,
    rflags: u64,
    /// cs, gs, fs, ss: 16 bits each.
    segments: u64,
    error: u64,
    vector: u64,
    old_mask: u64,
    fault_address: u64,
    extended_state: u64,
    reserved: [u64; 8],
}

const HEAD_BYTES: usize = size_of::<FrameHead>();
/// `sizeof(struct rt_sigframe)`.
const FRAME_BYTES: u64 = (HEAD_BYTES + INFO_BYTES) as u64;
const _: () = assert!(FRAME_BYTES == 440);

/// Bytes below the stack pointer that leaf functions use (System V ABI).
const RED_ZONE: u64 = 128;
/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`.
const CONTEXT_FLAGS: u64 = 7;
/// cs 0x33 and ss 0x2b.
const USER_SEGMENTS: u64 = 0x002b_0000_0000_0033;
/// Flags that a handler starts without: trap, direction, resume.
const CLEARED_FLAGS: u64 = 0x1_0500;
/// Flags that sigreturn takes from the frame (`FIX_EFLAGS`).
const RESTORED_FLAGS: u64 = 0x5_0dd5;
/// The flags that are always on: interrupts, and bit 1.
const FIXED_FLAGS: u64 = 0x202;

/// `FP_XSTATE_MAGIC1`.
const MAGIC1: u32 = 0x4650_5853;
/// `FP_XSTATE_MAGIC2`, after the state.
const MAGIC2: u32 = 0x4650_5845;
const MAGIC2_BYTES: usize = 4;
/// Where the FXSAVE area has room for software: `struct _fpx_sw_bytes`.
const SOFTWARE_AT: usize = 464;
/// The FXSAVE area and the XSAVE header.
const LEGACY_BYTES: usize = 512;
const HEADER_BYTES: usize = 64;

/// Writes a frame for `action`'s handler to the guest's stack and points the registers at the
/// handler. `mask` is what the handler's return restores. Returns the frame's address.
pub fn build_frame(
    thread: &Thread,
    registers: &mut Registers,
    action: &Action,
    info: &SignalInfo,
    mask: SignalSet,
) -> Result<u64, Errno> {
    if !action.flags.contains(ActionFlags::RESTORER) {
        return Err(Errno::EFAULT);
    }
    let (alternate, trap) = {
        let own = thread.own.lock();
        (own.alternate_stack, own.trap)
    };
    let state = extended_state();
    let place = place_frame(
        registers.rsp,
        &alternate,
        action.flags.contains(ActionFlags::ON_STACK),
        state.len() as u64,
    )?;
    GuestAddr(place.state).write(&state)?;
    let head = FrameHead {
        return_address: action.restorer,
        flags: CONTEXT_FLAGS,
        link: 0,
        stack_base: alternate.base,
        stack_flags: stored_flags(&alternate).bits(),
        stack_padding: 0,
        stack_size: alternate.size,
        context: context(thread, registers, mask, trap, place.state),
        mask: mask.0,
    };
    let mut bytes = [0; HEAD_BYTES + INFO_BYTES];
    bytes[..HEAD_BYTES].copy_from_slice(head.as_bytes());
    bytes[HEAD_BYTES..].copy_from_slice(&info.to_bytes());
    GuestAddr(place.frame).write(&bytes)?;
    if alternate.flags.contains(StackFlags::AUTO_DISARM) {
        thread.own.lock().alternate_stack = AlternateStack::default();
    }
    registers.rdi = info.signal.number().into();
    registers.rsi = place.frame + HEAD_BYTES as u64;
    registers.rdx = place.frame + 8;
    registers.rax = 0;
    registers.rsp = place.frame;
    registers.rip = action.handler;
    registers.rflags &= !CLEARED_FLAGS;
    Ok(place.frame)
}

fn context(
    thread: &Thread,
    registers: &Registers,
    mask: SignalSet,
    trap: TrapState,
    extended_state: u64,
) -> Context {
    let r = registers;
    Context {
        r8: r.r8,
        r9: r.r9,
        r10: r.r10,
        r11: r.r11,
        r12: r.r12,
        r13: r.r13,
        r14: r.r14,
        r15: r.r15,
        rdi: r.rdi,
        rsi: r.rsi,
        rbp: r.rbp,
        rbx: r.rbx,
        rdx: r.rdx,
        rax: r.rax,
        rcx: r.rcx,
        rsp: r.rsp,
        // Guests know nothing of trampolines.
        rip: thread.process.memory().space.original_address(r.rip),
        rflags: r.rflags,
        segments: USER_SEGMENTS,
        error: trap.error,
        vector: trap.vector,
        old_mask: mask.0,
        fault_address: trap.address,
        extended_state,
        reserved: [0; 8],
    }
}

struct FramePlace {
    frame: u64,
    state: u64,
}

/// Chooses where the extended state and the frame go.
fn place_frame(
    stack_pointer: u64,
    alternate: &AlternateStack,
    wants_alternate: bool,
    state_bytes: u64,
) -> Result<FramePlace, Errno> {
    let mut sp = stack_pointer.wrapping_sub(RED_ZONE);
    let nested = alternate.in_use(stack_pointer);
    let entering = wants_alternate && !nested && alternate.size > 0;
    if entering {
        sp = alternate.base.wrapping_add(alternate.size);
    }
    let state = sp.checked_sub(state_bytes).ok_or(Errno::EFAULT)? & !63;
    let frame = (state.checked_sub(FRAME_BYTES).ok_or(Errno::EFAULT)? & !15)
        .checked_sub(8)
        .ok_or(Errno::EFAULT)?;
    if (nested || entering) && !alternate.holds(frame) {
        return Err(Errno::EFAULT);
    }
    Ok(FramePlace { frame, state })
}

/// What `uc_stack` says of the flags.
fn stored_flags(alternate: &AlternateStack) -> StackFlags {
    if alternate.size == 0 {
        StackFlags::DISABLE
    } else {
        alternate.flags
    }
}

/// The thread's extended state as the frame holds it: with the words that tell its size.
fn extended_state() -> Vec<u8> {
    let platform = platform();
    let size = platform.info().extended_state_bytes;
    let mut state = vec![0; size.max(LEGACY_BYTES) + MAGIC2_BYTES];
    platform.save_extended_state(&mut state[..size]);
    let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let features = platform.info().extended_state_mask;
    let mut software = [0; LEGACY_BYTES - SOFTWARE_AT];
    software[0..4].copy_from_slice(&MAGIC1.to_le_bytes());
    software[4..8].copy_from_slice(&small(size + MAGIC2_BYTES));
    software[8..16].copy_from_slice(&features.to_le_bytes());
    software[16..20].copy_from_slice(&small(size));
    state[SOFTWARE_AT..LEGACY_BYTES].copy_from_slice(&software);
    let end = state.len();
    state[end - MAGIC2_BYTES..].copy_from_slice(&MAGIC2.to_le_bytes());
    state
}

/// What rt_sigreturn(2) takes from a frame besides the registers.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// The signal mask.
    pub mask: SignalSet,
    /// The alternate stack; `None` if the frame's makes no sense.
    pub alternate_stack: Option<AlternateStack>,
}

/// Reads the frame at `frame` and loads the state that it holds. Everything in it may be forged:
/// segments and privileged flags are not taken from it.
pub fn restore_frame(
    thread: &Thread,
    frame: GuestAddr,
    registers: &mut Registers,
) -> Result<Restored, Errno> {
    let bytes: [u8; HEAD_BYTES] = frame.read_array()?;
    let head = FrameHead::read_from_bytes(&bytes).map_err(|_| Errno::EFAULT)?;
    load_extended_state(head.context.extended_state)?;
    let c = &head.context;
    *registers = Registers {
        rax: c.rax,
        rbx: c.rbx,
        rcx: c.rcx,
        rdx: c.rdx,
        rsi: c.rsi,
        rdi: c.rdi,
        rbp: c.rbp,
        rsp: c.rsp,
        r8: c.r8,
        r9: c.r9,
        r10: c.r10,
        r11: c.r11,
        r12: c.r12,
        r13: c.r13,
        r14: c.r14,
        r15: c.r15,
        rip: thread.process.memory().space.resume_address(c.rip),
        rflags: c.rflags & RESTORED_FLAGS | FIXED_FLAGS,
        fs_base: registers.fs_base,
    };
    let flags = StackFlags::from_bits_truncate(head.stack_flags);
    let alternate_stack = if flags.contains(StackFlags::DISABLE) {
        Some(AlternateStack::default())
    } else {
        (head.stack_size >= MIN_STACK_BYTES).then_some(AlternateStack {
            base: head.stack_base,
            size: head.stack_size,
            flags: flags & StackFlags::AUTO_DISARM,
        })
    };
    Ok(Restored {
        mask: SignalSet(head.mask),
        alternate_stack,
    })
}

fn load_extended_state(address: u64) -> Result<(), Errno> {
    let platform = platform();
    if address == 0 {
        platform.restore_extended_state(&[]);
        return Ok(());
    }
    let size = platform.info().extended_state_bytes;
    let mut state = vec![0; size.max(LEGACY_BYTES + HEADER_BYTES)];
    GuestAddr(address).read(&mut state[..LEGACY_BYTES])?;
    let word = |at: usize| {
        let bytes = state.get(at..at + 4).unwrap_or(&[0; 4]);
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    };
    let given = usize::try_from(word(SOFTWARE_AT + 16)).unwrap_or(0);
    let complete = word(SOFTWARE_AT) == MAGIC1
        && given >= LEGACY_BYTES + HEADER_BYTES
        && given <= size
        && GuestAddr(address).offset(given as u64)?.read_u32() == Ok(MAGIC2);
    if complete {
        GuestAddr(address).read(&mut state[..given])?;
    } else {
        // Only x87 and SSE: the header says so, the rest is initial.
        state[LEGACY_BYTES..].fill(0);
        state[LEGACY_BYTES] = 3;
    }
    platform.restore_extended_state(&state);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{AlternateStack, Context, FrameHead, StackFlags, place_frame};
    use core::mem::offset_of;

    #[test]
    fn the_layout_is_that_of_linux() {
        assert_eq!(size_of::<Context>(), 256);
        assert_eq!(offset_of!(FrameHead, stack_base), 24);
        assert_eq!(offset_of!(FrameHead, context), 48);
        assert_eq!(offset_of!(FrameHead, mask), 304);
        assert_eq!(offset_of!(Context, rip), 128);
        assert_eq!(offset_of!(Context, segments), 144);
        assert_eq!(offset_of!(Context, extended_state), 184);
    }

    #[test]
    fn frames_are_aligned_and_leave_the_red_zone() {
        let none = AlternateStack::default();
        for sp in 0x7000_0000..0x7000_0080 {
            let place = place_frame(sp, &none, true, 2692).unwrap();
            assert_eq!(place.frame % 16, 8);
            assert_eq!(place.state % 64, 0);
            assert!(place.state + 2692 <= sp - 128);
            assert!(place.frame + 440 <= place.state);
        }
    }

    #[test]
    fn a_small_alternate_stack_is_an_error() {
        let stack = AlternateStack {
            base: 0x1_0000,
            size: 2048,
            flags: StackFlags::empty(),
        };
        assert!(place_frame(0x7000_0000, &stack, true, 2692).is_err());
        assert!(place_frame(0x7000_0000, &stack, false, 2692).is_ok());
        let large = AlternateStack {
            size: 8192,
            ..stack
        };
        let place = place_frame(0x7000_0000, &large, true, 2692).unwrap();
        assert!(large.holds(place.frame));
        let nested = place_frame(place.frame, &large, true, 2692).unwrap();
        assert!(nested.frame < place.frame);
        assert!(place_frame(0x1_0100, &large, true, 2692).is_err());
    }
}
