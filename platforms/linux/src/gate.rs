//! The ways between guest code and the library OS, in assembly.
//!
//! - `capsid_gate`: a patched site jumps here with the number in `rax` and its return address in
//!   `rcx`. It saves what the library OS could change, switches to the kernel stack and calls
//!   [`crate::entry::syscall`].
//! - `capsid_trap_entry`: where the signal handler sends a thread that trapped in guest code; the
//!   general registers are saved already.
//! - `capsid_start_entry`: where a new thread begins.
//! - `capsid_exit`: back to the guest. Between its look at the pending interrupts and its last
//!   instruction a signal handler sends the thread back to the look (the exit windows).
//!
//! In all of them `rsp` holds the address of the thread area, which is also the kernel stack's top.
//!
//! The library OS is built for plain SSE2, and therefore can change xmm0 to xmm15 and the general
//! registers, nothing else: the upper halves of the vector registers, zmm16 to 31, mask and x87
//! registers stay in the processor.

use crate::area::ThreadArea;
use capsid_platform::Registers;
use core::arch::global_asm;
use core::mem::offset_of;

/// `jmp qword ptr gs:[8]`: to [`ThreadArea::gate`].
pub static GATE_JUMP: [u8; 8] = [0x65, 0xff, 0x24, 0x25, 0x08, 0, 0, 0];
const _: () = assert!(offset_of!(ThreadArea, this) == 0 && offset_of!(ThreadArea, gate) == 8);

/// Flag bits that must be clear in the library OS: trap, direction, nested task, alignment check.
const UNWANTED_FLAGS: u32 = 0x100 | 0x400 | 0x4000 | 0x4_0000;

const REGISTERS: usize = offset_of!(ThreadArea, registers);

/// User code and stack segments of a 64-bit Linux process.
const USER_CS: usize = 0x33;
const USER_SS: usize = 0x2b;

unsafe extern "C" {
    /// See the module; an address, not a function of Rust's.
    pub fn capsid_gate();
    /// See the module.
    pub fn capsid_trap_entry();
    /// See the module.
    pub fn capsid_start_entry();
    /// The look at the pending interrupts: where an exit starts over.
    pub fn capsid_exit_again();
    /// The fast exit's window.
    pub fn capsid_fast_window();
    /// Its end.
    pub fn capsid_fast_window_end();
    /// The full exit's window.
    pub fn capsid_full_window();
    /// Its end.
    pub fn capsid_full_window_end();
}

global_asm!(
    r#"
    .pushsection .text.capsid_gate,"ax",@progbits
    .globl capsid_gate, capsid_trap_entry, capsid_start_entry, capsid_exit_again
    .globl capsid_fast_window, capsid_fast_window_end
    .globl capsid_full_window, capsid_full_window_end

    .balign 64
capsid_gate:
    mov gs:[{rsp}], rsp
    mov rsp, gs:[0]
    mov [rsp + {rax}], rax
    mov [rsp + {rbx}], rbx
    mov [rsp + {rcx}], rcx
    mov [rsp + {rip}], rcx
    mov [rsp + {rdx}], rdx
    mov [rsp + {rsi}], rsi
    mov [rsp + {rdi}], rdi
    mov [rsp + {rbp}], rbp
    mov [rsp + {r8}], r8
    mov [rsp + {r9}], r9
    mov [rsp + {r10}], r10
    mov [rsp + {r12}], r12
    mov [rsp + {r13}], r13
    mov [rsp + {r14}], r14
    mov [rsp + {r15}], r15
    pushfq
    pop r11
    mov [rsp + {r11}], r11
    mov [rsp + {rflags}], r11
    test r11d, {unwanted}
    jnz 9f
2:
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps [rsp + {xmm} + 16*\i], xmm\i
    .endr
    inc qword ptr [rsp + {calls}]
    mov rdi, rsp
    xor ebp, ebp
    call {syscall}

capsid_exit:
    test eax, eax
    jnz capsid_full_window
    .balign 16
capsid_fast_window:
    cmp dword ptr [rsp + {pending}], 0
    jne capsid_exit_again
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps xmm\i, [rsp + {xmm} + 16*\i]
    .endr
    # The arithmetic flags, without the slow popfq: overflow by an addition, the rest by sahf. This
    # exit is taken when all other flags are as they are here.
    mov rax, [rsp + {r11}]
    bt eax, 11
    setc cl
    mov ah, al
    add cl, 0x7f
    sahf
    mov rax, [rsp + {rax}]
    mov rbx, [rsp + {rbx}]
    mov rdx, [rsp + {rdx}]
    mov rsi, [rsp + {rsi}]
    mov rdi, [rsp + {rdi}]
    mov rbp, [rsp + {rbp}]
    mov r8, [rsp + {r8}]
    mov r9, [rsp + {r9}]
    mov r10, [rsp + {r10}]
    mov r11, [rsp + {r11}]
    mov r12, [rsp + {r12}]
    mov r13, [rsp + {r13}]
    mov r14, [rsp + {r14}]
    mov r15, [rsp + {r15}]
    mov rcx, [rsp + {rip}]
    mov rsp, [rsp + {rsp}]
    jmp rcx
capsid_fast_window_end:

9:  push 0x202
    popfq
    jmp 2b

    .balign 16
capsid_full_window:
    cmp dword ptr [rsp + {pending}], 0
    jne capsid_exit_again
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps xmm\i, [rsp + {xmm} + 16*\i]
    .endr
    push {ss}
    push qword ptr [rsp + 8 + {rsp}]
    push qword ptr [rsp + 16 + {exit_flags}]
    push {cs}
    push qword ptr [rsp + 32 + {rip}]
    mov rax, [rsp + 40 + {rax}]
    mov rbx, [rsp + 40 + {rbx}]
    mov rcx, [rsp + 40 + {rcx}]
    mov rdx, [rsp + 40 + {rdx}]
    mov rsi, [rsp + 40 + {rsi}]
    mov rdi, [rsp + 40 + {rdi}]
    mov rbp, [rsp + 40 + {rbp}]
    mov r8, [rsp + 40 + {r8}]
    mov r9, [rsp + 40 + {r9}]
    mov r10, [rsp + 40 + {r10}]
    mov r11, [rsp + 40 + {r11}]
    mov r12, [rsp + 40 + {r12}]
    mov r13, [rsp + 40 + {r13}]
    mov r14, [rsp + 40 + {r14}]
    mov r15, [rsp + 40 + {r15}]
    iretq
capsid_full_window_end:

capsid_exit_again:
    mov rdi, rsp
    call {interrupt}
    jmp capsid_exit

capsid_trap_entry:
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps [rsp + {xmm} + 16*\i], xmm\i
    .endr
    mov rdi, rsp
    xor ebp, ebp
    call {trap}
    jmp capsid_exit

capsid_start_entry:
    mov rdi, rsp
    xor ebp, ebp
    call {start}
    jmp capsid_exit
    .popsection
    "#,
    rax = const REGISTERS + offset_of!(Registers, rax),
    rbx = const REGISTERS + offset_of!(Registers, rbx),
    rcx = const REGISTERS + offset_of!(Registers, rcx),
    rdx = const REGISTERS + offset_of!(Registers, rdx),
    rsi = const REGISTERS + offset_of!(Registers, rsi),
    rdi = const REGISTERS + offset_of!(Registers, rdi),
    rbp = const REGISTERS + offset_of!(Registers, rbp),
    rsp = const REGISTERS + offset_of!(Registers, rsp),
    r8 = const REGISTERS + offset_of!(Registers, r8),
    r9 = const REGISTERS + offset_of!(Registers, r9),
    r10 = const REGISTERS + offset_of!(Registers, r10),
    r11 = const REGISTERS + offset_of!(Registers, r11),
    r12 = const REGISTERS + offset_of!(Registers, r12),
    r13 = const REGISTERS + offset_of!(Registers, r13),
    r14 = const REGISTERS + offset_of!(Registers, r14),
    r15 = const REGISTERS + offset_of!(Registers, r15),
    rip = const REGISTERS + offset_of!(Registers, rip),
    rflags = const REGISTERS + offset_of!(Registers, rflags),
    xmm = const offset_of!(ThreadArea, xmm),
    calls = const offset_of!(ThreadArea, calls),
    pending = const offset_of!(ThreadArea, pending),
    exit_flags = const offset_of!(ThreadArea, exit_flags),
    unwanted = const UNWANTED_FLAGS,
    cs = const USER_CS,
    ss = const USER_SS,
    syscall = sym crate::entry::syscall,
    trap = sym crate::entry::trap,
    start = sym crate::entry::start_thread,
    interrupt = sym crate::entry::interrupt,
);
