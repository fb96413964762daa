//! Copies that a fault ends instead of killing: the only way to guest memory.
//!
//! Each routine that may fault has a range of instructions and a place to continue at when one of
//! them faults; the signal handler looks them up with [`repair`].

use crate::boot::{GUEST_END, GUEST_START};
use capsid_platform::{AtomicOp, Errno, GuestAddr};
use core::arch::{asm, global_asm};

unsafe extern "C" {
    fn capsid_copy(to: *mut u8, from: *const u8, length: usize) -> usize;
    fn capsid_fill_zero(to: *mut u8, unused: usize, length: usize) -> usize;
    fn capsid_copy_small();
    fn capsid_copy_small_end();
    fn capsid_copy_bulk();
    fn capsid_copy_bulk_end();
    fn capsid_copy_stopped();
    fn capsid_atomic();
    fn capsid_atomic_end();
    fn capsid_atomic_failed();
    fn capsid_load32(word: u64, unused: u64, unused: u64) -> u64;
    fn capsid_swap32(word: u64, value: u64, unused: u64) -> u64;
    fn capsid_add32(word: u64, value: u64, unused: u64) -> u64;
    fn capsid_exchange32(word: u64, expected: u64, new: u64) -> u64;
}

global_asm!(
    r#"
    .pushsection .text.capsid_copy,"ax",@progbits
    .globl capsid_copy, capsid_copy_small, capsid_copy_small_end
    .globl capsid_copy_bulk, capsid_copy_bulk_end, capsid_copy_stopped, capsid_fill_zero
    .globl capsid_atomic, capsid_atomic_end, capsid_atomic_failed
    .globl capsid_load32, capsid_swap32, capsid_add32, capsid_exchange32

    # rdi to, rsi from, rdx length. Returns how many bytes are left to copy. A fault in the small
    # copies starts over with the bulk copy, byte by byte up to the fault.
    .balign 32
capsid_copy:
capsid_copy_small:
    # 8 or 16 bytes are one store (done twice): threads that execute what is written never see half
    # of it if it is aligned, on processors with AVX.
    cmp rdx, 16
    jae 4f
    cmp edx, 8
    jae 3f
    cmp edx, 4
    jae 2f
    test edx, edx
    jz 1f
    movzx eax, byte ptr [rsi]
    movzx ecx, byte ptr [rsi + rdx - 1]
    cmp edx, 2
    jbe 5f
    movzx r8d, byte ptr [rsi + 1]
    mov [rdi + 1], r8b
5:  mov [rdi], al
    mov [rdi + rdx - 1], cl
1:  xor eax, eax
    ret
2:  mov eax, [rsi]
    mov ecx, [rsi + rdx - 4]
    mov [rdi], eax
    mov [rdi + rdx - 4], ecx
    xor eax, eax
    ret
3:  mov rax, [rsi]
    mov rcx, [rsi + rdx - 8]
    mov [rdi], rax
    mov [rdi + rdx - 8], rcx
    xor eax, eax
    ret
4:  cmp rdx, 512
    ja capsid_copy_bulk
    cmp edx, 32
    ja 6f
    movups xmm0, [rsi]
    movups xmm1, [rsi + rdx - 16]
    movups [rdi], xmm0
    movups [rdi + rdx - 16], xmm1
    xor eax, eax
    ret
6:  movups xmm2, [rsi + rdx - 32]
    movups xmm3, [rsi + rdx - 16]
    mov ecx, 32
7:  movups xmm0, [rsi + rcx - 32]
    movups xmm1, [rsi + rcx - 16]
    movups [rdi + rcx - 32], xmm0
    movups [rdi + rcx - 16], xmm1
    add ecx, 32
    cmp ecx, edx
    jb 7b
    movups [rdi + rdx - 32], xmm2
    movups [rdi + rdx - 16], xmm3
    xor eax, eax
    ret
capsid_copy_small_end:

    .balign 16
capsid_copy_bulk:
    mov rcx, rdx
    rep movsb
    xor eax, eax
    ret
capsid_fill_zero:
    mov rcx, rdx
    xor eax, eax
    rep stosb
    xor eax, eax
    ret
capsid_copy_bulk_end:
capsid_copy_stopped:
    mov rax, rcx
    ret

    # rdi the word's address, esi and edx the operands. Returns the old value, zero-extended, or all
    # ones after a fault.
capsid_atomic:
capsid_load32:
    mov eax, [rdi]
    ret
capsid_swap32:
    mov eax, esi
    xchg [rdi], eax
    ret
capsid_add32:
    mov eax, esi
    lock xadd [rdi], eax
    ret
capsid_exchange32:
    mov eax, esi
    lock cmpxchg [rdi], edx
    ret
capsid_atomic_end:
capsid_atomic_failed:
    mov rax, -1
    ret
    .popsection
    "#
);

/// Where to continue after a fault at `rip`; `None` if no fault is expected there.
pub fn repair(rip: u64) -> Option<u64> {
    type Label = unsafe extern "C" fn();
    let address = |label: Label| label as *const () as u64;
    let table: [(Label, Label, Label); 3] = [
        (capsid_copy_small, capsid_copy_small_end, capsid_copy_bulk),
        (capsid_copy_bulk, capsid_copy_bulk_end, capsid_copy_stopped),
        (capsid_atomic, capsid_atomic_end, capsid_atomic_failed),
    ];
    table
        .into_iter()
        .find(|(start, end, _)| (address(*start)..address(*end)).contains(&rip))
        .map(|(_, _, target)| address(target))
}

/// How many of `length` bytes from `address` lie in the guest range.
#[inline]
fn allowed(address: GuestAddr, length: usize) -> usize {
    if address.0 < GUEST_START || address.0 >= GUEST_END {
        return 0;
    }
    length.min(usize::try_from(GUEST_END - address.0).unwrap_or(0))
}

/// Copies between two places either of which may fault; returns how many bytes were copied.
///
/// # Safety
/// Where an end lies in library-OS memory, all of it is the caller's to read or write.
#[inline]
pub unsafe fn copy(to: *mut u8, from: *const u8, length: usize) -> usize {
    // SAFETY: the caller's promise for our memory; guest memory may be anything, and faults there
    // end the copy.
    unsafe { length - capsid_copy(to, from, length) }
}

/// See [`capsid_platform::Platform::copy_from_guest`].
#[inline]
pub fn from_guest(to: &mut [u8], from: GuestAddr) -> usize {
    let length = allowed(from, to.len());
    // SAFETY: `to` is ours; the guest range holds no library-OS memory.
    unsafe { copy(to.as_mut_ptr(), from.0 as *const u8, length) }
}

/// See [`capsid_platform::Platform::copy_to_guest`].
#[inline]
pub fn to_guest(to: GuestAddr, from: &[u8]) -> usize {
    let length = allowed(to, from.len());
    // SAFETY: as in `from_guest`.
    unsafe { copy(to.0 as *mut u8, from.as_ptr(), length) }
}

/// Copies from library-OS memory that others may change meanwhile, such as the pool.
///
/// # Safety
/// `from` has `length` readable bytes.
pub unsafe fn raw_to_guest(to: GuestAddr, from: *const u8, length: usize) -> usize {
    let length = allowed(to, length);
    // SAFETY: the caller's promise.
    unsafe { copy(to.0 as *mut u8, from, length) }
}

/// Copies to library-OS memory that others may change meanwhile, such as the pool.
///
/// # Safety
/// `to` has `length` writable bytes.
pub unsafe fn guest_to_raw(to: *mut u8, from: GuestAddr, length: usize) -> usize {
    let length = allowed(from, length);
    // SAFETY: the caller's promise.
    unsafe { copy(to, from.0 as *const u8, length) }
}

/// Sets `length` bytes to zero and returns how many were set before a fault.
///
/// # Safety
/// As for [`copy`].
pub unsafe fn zero(to: *mut u8, length: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe { length - capsid_fill_zero(to, 0, length) }
}

/// See [`capsid_platform::Platform::guest_atomic`].
pub fn atomic(address: GuestAddr, operation: AtomicOp) -> Result<u32, Errno> {
    if !address.0.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if allowed(address, 4) != 4 {
        return Err(Errno::EFAULT);
    }
    let word = address.0;
    let old = |result: u64| u32::try_from(result).map_err(|_| Errno::EFAULT);
    let update = |change: &dyn Fn(u32) -> u32| {
        // SAFETY: as in `from_guest`.
        let mut seen = old(unsafe { capsid_load32(word, 0, 0) })?;
        loop {
            // SAFETY: as in `from_guest`.
            let found = old(unsafe { capsid_exchange32(word, seen.into(), change(seen).into()) })?;
            if found == seen {
                return Ok(seen);
            }
            seen = found;
        }
    };
    // SAFETY: as in `from_guest`; the routines touch the one aligned word.
    unsafe {
        match operation {
            AtomicOp::Load => old(capsid_load32(word, 0, 0)),
            AtomicOp::Swap(value) => old(capsid_swap32(word, value.into(), 0)),
            AtomicOp::Add(value) => old(capsid_add32(word, value.into(), 0)),
            AtomicOp::Or(value) => update(&|seen| seen | value),
            AtomicOp::And(value) => update(&|seen| seen & value),
            AtomicOp::Xor(value) => update(&|seen| seen ^ value),
            AtomicOp::CompareExchange { expected, new } => {
                old(capsid_exchange32(word, expected.into(), new.into()))
            }
        }
    }
}

/// Orders earlier stores before later loads, as other processors see them.
#[inline]
pub fn full_fence() {
    // SAFETY: adds zero to the top of the stack: cheaper than `mfence`, and as good for ordinary
    // memory.
    unsafe { asm!("lock or dword ptr [rsp], 0") };
}
