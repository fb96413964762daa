//! The guests: position-independent code, copied to guest memory before it runs.
//!
//! Calls are written `syscall` (they trap) or through `CAPSID_GATE`, which is what a patched site
//! does. See `kernel.rs` for the numbers.

use core::arch::global_asm;

macro_rules! guests {
    ($($name:literal => $start:ident, $end:ident;)*) => {
        unsafe extern "C" { $(static $start: u8; static $end: u8;)* }

        /// The code of the guest called `name`.
        pub fn find(name: &str) -> Option<&'static [u8]> {
            match name {
                $($name => {
                    let (start, end) = (&raw const $start, &raw const $end);
                    // SAFETY: the labels enclose bytes of this program's read-only data.
                    Some(unsafe {
                        core::slice::from_raw_parts(start, end as usize - start as usize)
                    })
                })*
                _ => None,
            }
        }
    };
}

guests! {
    "null" => g_null, g_null_end;
    "gate-speed" => g_speed, g_speed_end;
    "trap-speed" => g_trap_speed, g_trap_speed_end;
    "registers" => g_registers, g_registers_end;
    "vectors" => g_vectors, g_vectors_end;
    "every-number" => g_every, g_every_end;
    "other-ways-in" => g_other, g_other_end;
    "own-text" => g_own, g_own_end;
    "fork" => g_fork, g_fork_end;
    "threads" => g_threads, g_threads_end;
    "exceptions" => g_exceptions, g_exceptions_end;
    "kick" => g_kick, g_kick_end;
    "timer" => g_timer, g_timer_end;
    "sleeper" => g_sleeper, g_sleeper_end;
    "input" => g_input, g_input_end;
    "stress" => g_stress, g_stress_end;
    "full-exit" => g_full, g_full_end;
    "bad-rip" => g_bad, g_bad_end;
    "fork-speed" => g_fork_speed, g_fork_speed_end;
    "ping-pong" => g_ping, g_ping_end;
    "panic" => g_panic, g_panic_end;
    "fault" => g_fault, g_fault_end;
    "wild-kernel-write" => g_wild, g_wild_end;
}

global_asm!(
    r#"
    .pushsection .rodata.guests,"a",@progbits

    .macro GATE number
    mov eax, \number
    lea rcx, [rip + 771f]
    jmp qword ptr gs:[8]
771:
    .endm
    .macro TRAP number
    mov eax, \number
    syscall
    .endm
    # Reports rdi.
    .macro REPORT
    GATE 0x1002
    .endm
    .macro EXIT status
    mov edi, \status
    GATE 0x1000
    ud2
    .endm

g_null:
    TRAP 0x1001
    mov rdi, rax
    REPORT
    GATE 0x1001
    mov rdi, rax
    REPORT
    EXIT 7
g_null_end:

g_speed:
    mov ebx, 100000
1:  GATE 0x1001
    dec ebx
    jnz 1b
    mov r12, -1
    mov r13d, 1000
3:  mov ebx, 10000
    rdtsc
    shl rdx, 32
    lea r14, [rdx + rax]
2:  GATE 0x1001
    dec ebx
    jnz 2b
    rdtsc
    shl rdx, 32
    add rdx, rax
    sub rdx, r14
    cmp rdx, r12
    cmovb r12, rdx
    dec r13d
    jnz 3b
    mov rdi, r12
    REPORT
    EXIT 0
g_speed_end:

g_trap_speed:
    mov r12, -1
    mov r13d, 500
3:  mov ebx, 100
    rdtsc
    shl rdx, 32
    lea r14, [rdx + rax]
2:  TRAP 0x1001
    dec ebx
    jnz 2b
    rdtsc
    shl rdx, 32
    add rdx, rax
    sub rdx, r14
    cmp rdx, r12
    cmovb r12, rdx
    dec r13d
    jnz 3b
    mov rdi, r12
    REPORT
    EXIT 0
g_trap_speed_end:

    # Every general register but rax, rcx and r11 survives, and so do the arithmetic flags.
g_registers:
    mov ebx, 0x101
    mov edx, 0x102
    mov esi, 0x103
    mov edi, 0x104
    mov ebp, 0x105
    mov r8d, 0x106
    mov r9d, 0x107
    mov r10d, 0x108
    mov r12d, 0x109
    mov r13d, 0x10a
    mov r14d, 0x10b
    mov r15d, 0x10c
    std
    stc
    GATE 0x1001
    pushfq
    cld
    cmp rsp, 0x53ffb8
    jne 9f
    lea rax, [rip + 771b]
    cmp rcx, rax
    jne 9f
    cmp r11, [rsp]
    jne 9f
    mov rax, [rsp]
    and eax, 0x401
    cmp eax, 0x401
    jne 9f
    add rsp, 8
    # Overflow and sign, without carry and zero; then the reverse.
    mov eax, 0x7fffffff
    inc eax
    clc
    GATE 0x1001
    jno 9f
    jns 9f
    jc 9f
    jz 9f
    xor eax, eax
    stc
    GATE 0x1001
    jo 9f
    js 9f
    jnc 9f
    jnz 9f
    jnp 9f
    stc
    TRAP 0x1001
    jnc 9f
    lea rax, [rip]
5:  sub rax, rcx
    cmp rax, 9
    jne 9f
    # rbx 0x101, rdx 0x102, ... as a sum of products.
    imul rbx, rdx
    imul rsi, rdi
    add rbx, rsi
    imul rbp, r8
    add rbx, rbp
    imul r9, r10
    add rbx, r9
    imul r12, r13
    add rbx, r12
    imul r14, r15
    add rbx, r14
    mov rdi, rbx
    REPORT
    EXIT 0
9:  mov edi, 0xbad
    REPORT
    EXIT 1
g_registers_end:

    # Fills everything there is, calls, and compares. The library OS formats text meanwhile.
g_vectors:
    mov r15d, 0x1011
1:  # x87: two values and a control word; mxcsr.
    fninit
    fldpi
    fld1
    mov word ptr [0x500000], 0x27f
    fldcw [0x500000]
    mov dword ptr [0x500008], 0x9f80
    ldmxcsr [0x500008]
    # ymm0-15 or zmm0-31: what the processor has (cpuid 7, ebx bit 16).
    mov eax, 7
    xor ecx, ecx
    cpuid
    bt ebx, 16
    setc r14b
    mov eax, 0x11111111
    jnc 2f
    mov ebx, 0x500100
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    add eax, 0x01010101
    vpbroadcastd zmm\i, eax
    .endr
    .irp i, 1,2,3,4,5,6,7
    add eax, 0x01010101
    kmovw k\i, eax
    .endr
    jmp 3f
2:  .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    add eax, 0x01010101
    vmovd xmm\i, eax
    vpbroadcastd ymm\i, xmm\i
    .endr
3:  mov eax, r15d
    cmp r13d, 0
    jne 4f
    lea rcx, [rip + 5f]
    jmp qword ptr gs:[8]
4:  syscall
5:  mov ebx, 0x11111111
    test r14b, r14b
    jz 6f
    .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    add ebx, 0x01010101
    vmovdqu32 [0x500100], zmm\i
    lea rdi, [0x500100]
    mov ecx, 16
    mov eax, ebx
    repe scasd
    jne 9f
    .endr
    .irp i, 1,2,3,4,5,6,7
    add ebx, 0x01010101
    kmovw eax, k\i
    cmp ax, bx
    jne 9f
    .endr
    jmp 7f
6:  .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    add ebx, 0x01010101
    vmovdqu [0x500100], ymm\i
    lea rdi, [0x500100]
    mov ecx, 8
    mov eax, ebx
    repe scasd
    jne 9f
    .endr
7:  fnstcw [0x500010]
    cmp word ptr [0x500010], 0x27f
    jne 9f
    stmxcsr [0x500010]
    cmp dword ptr [0x500010], 0x9f80
    jne 9f
    fistp qword ptr [0x500018]
    cmp qword ptr [0x500018], 1
    jne 9f
    fistp qword ptr [0x500018]
    cmp qword ptr [0x500018], 3
    jne 9f
    # Gate and trap; formatting, save-and-restore, and a fork.
    xor r13d, 1
    jnz 1b
    cmp r15d, 0x1013
    je 8f
    cmp r15d, 0x1003
    je 0f
    mov r15d, 0x1013
    jmp 1b
8:  mov r15d, 0x1003
    jmp 1b
0:  EXIT 0
9:  mov edi, ebx
    REPORT
    EXIT 1
g_vectors_end:

    # Numbers below 0x1000 trap; the library OS counts them and answers ENOSYS. 335 and 336 belong to
    # the host's own probes, and it asks no filter about them since Linux 6.13 and 6.18: from
    # anywhere but its own trampoline it answers SIGILL and ENXIO, and does nothing.
g_every:
    lea rdi, [rip + 8f]
    xor esi, esi
    GATE 0x100a
    xor ebx, ebx
1:  mov eax, ebx
    mov edi, 1
    mov rsi, rsp
    mov edx, 1
    xor r10d, r10d
    xor r8d, r8d
    xor r9d, r9d
    syscall
2:  cmp rax, -6
    je 7f
3:  cmp rax, -38
    jne 9f
    inc ebx
    cmp ebx, 600
    jb 1b
    EXIT 0
7:  cmp ebx, 336
    jne 9f
    mov r8d, 6
8:  GATE 0x1005
    mov rax, -38
    cmp r8d, 6
    je 3b
9:  mov edi, ebx
    REPORT
    EXIT 1
g_every_end:

    # int 0x80 (getpid), vsyscall (time), x32.
g_other:
    mov eax, 20
    int 0x80
    mov rdi, rax
    REPORT
    mov eax, 0x40000027
    syscall
    mov rdi, rax
    REPORT
    lea rdi, [rip + 1f]
    xor esi, esi
    GATE 0x100a
    mov rax, 0xffffffffff600400
    xor edi, edi
    call rax
    mov rdi, rax
    REPORT
    EXIT 0
1:  mov edi, 0xe
    REPORT
    EXIT 0
g_other_end:

    # Jumps to the `syscall` instruction of the program's own text with getpid in rax: r12 is found
    # by looking for the bytes behind the gate's address.
g_own:
    mov r12, gs:[8]
1:  cmp word ptr [r12], 0x050f
    je 2f
    inc r12
    jmp 1b
2:  mov eax, 39
    jmp r12
g_own_end:

    # The child changes its copy of private memory and the shared page, and counts.
g_fork:
    mov qword ptr [0x500000], 1
    mov qword ptr [0x600000], 1
    mov edi, 0x123000
    GATE 0x1012
    GATE 0x1003
    test rax, rax
    jz 2f
    mov edi, 1
    GATE 0x1006
    mov rdi, [0x500000]
    REPORT
    mov rdi, [0x600000]
    REPORT
    EXIT 0
2:  rdfsbase rbx
    cmp rbx, 0x123000
    jne 9f
    mov qword ptr [0x500000], 2
    mov qword ptr [0x600000], 2
    GATE 0x1005
9:  EXIT 0
g_fork_end:

    # Ten threads, each counts and ends; again, so that blocks are used twice.
g_threads:
    mov r15d, 100
1:  lea rdi, [rip + 5f]
    mov esi, 0x520000
    mov edx, 0x456000
    GATE 0x1004
    dec r15d
    jnz 1b
    mov edi, 100
    GATE 0x1006
    EXIT 0
5:  rdfsbase rbx
    cmp rbx, 0x456000
    jne 6f
    GATE 0x1005
6:  EXIT 0
g_threads_end:

g_exceptions:
    lea rdi, [rip + 1f]
    xor esi, esi
    GATE 0x100a
    mov ebx, 0
    xor ecx, ecx
    xor edx, edx
    mov eax, 1
    div ecx
1:  # r8 vector, r9 address, r10 error code. ebx counts.
    mov rdi, r8
    REPORT
    mov rdi, r9
    REPORT
    mov rdi, r10
    REPORT
    inc ebx
    cmp ebx, 1
    je 2f
    cmp ebx, 2
    je 3f
    cmp ebx, 3
    je 4f
    cmp ebx, 4
    je 5f
    cmp ebx, 5
    je 6f
    cmp ebx, 6
    je 7f
    EXIT 0
2:  ud2
3:  int3
4:  mov rax, 0xdead000
    mov [rax], rax
5:  hlt
6:  GATE 0x100d
    mov rdi, rax
    REPORT
    mov rax, [0x501000]
7:  # Single step.
    pushfq
    or qword ptr [rsp], 0x100
    popfq
    nop
    nop
g_exceptions_end:

    # One thread spins, the other kicks it out of the loop.
g_kick:
    lea rdi, [rip + 5f]
    mov esi, 0x520000
    xor edx, edx
    GATE 0x1004
    mov rbx, rax
    mov edi, 1
    GATE 0x1006
    mov rdi, rbx
    GATE 0x1007
    mov edi, 2
    GATE 0x1006
    GATE 0x100b
    mov rdi, rax
    REPORT
    EXIT 0
5:  xor edi, edi
    lea rsi, [rip + 7f]
    GATE 0x100a
    GATE 0x1005
6:  jmp 6b
7:  GATE 0x1005
    EXIT 0
g_kick_end:

    # A timer, while calls through the gate go on: interrupts meet the gate in every place.
g_timer:
    mov ebx, 2000
1:  mov edi, 20000
    GATE 0x1009
2:  GATE 0x1001
    cmp rax, 0x1234
    jne 9f
    GATE 0x100b
    cmp rax, r12
    je 2b
    mov r12, rax
    dec ebx
    jnz 1b
    mov rdi, r12
    REPORT
    EXIT 0
9:  EXIT 1
g_timer_end:

    # One thread sleeps until a kick.
g_sleeper:
    mov r15d, 200
1:  lea rdi, [rip + 5f]
    mov esi, 0x520000
    xor edx, edx
    GATE 0x1004
    mov rbx, rax
    inc r14d
    mov rdi, r14
    GATE 0x1006
    mov rdi, rbx
    GATE 0x1007
    inc r14d
    mov rdi, r14
    GATE 0x1006
    dec r15d
    jnz 1b
    EXIT 0
5:  GATE 0x100e
    cmp rax, 2
    jne 6f
    GATE 0x1005
6:  EXIT 0
g_sleeper_end:

    # Four threads fork, call, trap and copy while timers and kicks of each other interrupt them, and
    # check a vector register and a general one all the while.
g_stress:
    mov r15d, 3
1:  lea rdi, [rip + 5f]
    mov rsi, r15
    shl rsi, 14
    add rsi, 0x520000
    xor edx, edx
    GATE 0x1004
    mov rbp, rax
    dec r15d
    jnz 1b
5:  mov r14d, 150
    mov rax, 0x1122334455667788
    movq xmm9, rax
    mov rbx, rax
6:  mov edi, 30000
    GATE 0x1009
    GATE 0x1003
    test rax, rax
    jz 8f
    mov r12d, 20
7:  mov rdi, rbp
    GATE 0x1007
    TRAP 0x1011
    mov edi, 0x53ff00
    mov esi, 0x200
    GATE 0x1008
    cmp rax, 0x100
    jne 9f
    movq rax, xmm9
    cmp rax, rbx
    jne 9f
    dec r12d
    jnz 7b
    dec r14d
    jnz 6b
    EXIT 0
8:  GATE 0x1005
    movq rax, xmm9
    cmp rax, rbx
    jne 9f
    EXIT 0
9:  GATE 0x1014
g_stress_end:

    # One thread waits for events of the broker until a kick.
g_input:
    lea rdi, [rip + 5f]
    mov esi, 0x520000
    xor edx, edx
    GATE 0x1004
    mov rbx, rax
    mov edi, 1
    GATE 0x1006
    mov rdi, rbx
    GATE 0x1007
    mov edi, 2
    GATE 0x1006
    EXIT 0
5:  GATE 0x1016
    mov rdi, rax
    REPORT
    GATE 0x1005
    EXIT 0
g_input_end:

    # All registers are loaded, rcx and r11 too.
g_full:
    mov edi, 0x500000
    mov ecx, 16
    xor eax, eax
1:  mov [rdi + 8*rax], rax
    inc eax
    cmp eax, ecx
    jb 1b
    mov qword ptr [rdi + 8*7], 0x530000
    lea rax, [rip + 2f]
    mov [rdi + 8*16], rax
    mov qword ptr [rdi + 8*17], 0x246
    GATE 0x100c
2:  lea rax, [rax + rbx]
    add rax, rcx
    add rax, rdx
    add rax, rsi
    add rax, rdi
    add rax, rbp
    add rax, r8
    add rax, r9
    add rax, r10
    add rax, r11
    add rax, r12
    add rax, r13
    add rax, r14
    add rax, r15
    mov rdi, rax
    REPORT
    mov rdi, rsp
    REPORT
    EXIT 0
g_full_end:

    # A return to an address that no processor can go to is the guest's fault.
g_bad:
    lea rdi, [rip + 1f]
    xor esi, esi
    GATE 0x100a
    mov rax, 0x8000000000000000
    mov [0x500000 + 8*16], rax
    mov qword ptr [0x500000 + 8*7], 0x530000
    mov edi, 0x500000
    GATE 0x100c
    ud2
1:  mov rdi, r8
    REPORT
    EXIT 0
g_bad_end:

    # 1000 forks, one after the other.
g_fork_speed:
    rdtsc
    shl rdx, 32
    lea r14, [rdx + rax]
    xor ebx, ebx
1:  GATE 0x1003
    test rax, rax
    jz 5f
    js 9f
    inc ebx
    mov edi, ebx
    GATE 0x1006
    cmp ebx, 1000
    jb 1b
    rdtsc
    shl rdx, 32
    lea rdi, [rdx + rax]
    sub rdi, r14
    REPORT
    EXIT 0
5:  GATE 0x1005
9:  EXIT 0
g_fork_speed_end:

    # Two threads count in turn.
g_ping:
    lea rdi, [rip + 5f]
    mov esi, 0x520000
    xor edx, edx
    GATE 0x1004
    mov ebx, 1
    rdtsc
    shl rdx, 32
    lea r14, [rdx + rax]
1:  GATE 0x1005
    inc ebx
    mov edi, ebx
    GATE 0x1006
    inc ebx
    cmp ebx, 100000
    jb 1b
    rdtsc
    shl rdx, 32
    lea rdi, [rdx + rax]
    sub rdi, r14
    REPORT
    EXIT 0
5:  mov ebx, 1
6:  mov edi, ebx
    GATE 0x1006
    GATE 0x1005
    add ebx, 2
    cmp ebx, 100000
    jb 6b
    EXIT 0
g_ping_end:

g_panic:
    GATE 0x1014
g_panic_end:
g_fault:
    GATE 0x1015
g_fault_end:

    # The library OS's memory is the domain's own: a guest that breaks it breaks its sandbox.
g_wild:
    mov rdi, gs:[0]
    sub rdi, 65536
    mov ecx, 65536 + 1024
    mov eax, 0x41
    rep stosb
    GATE 0x1001
    ud2
g_wild_end:
    .popsection
    "#
);
