//! memcpy(3), memmove(3), memset(3), memcmp(3) and bcmp(3), which compiled code calls.
//!
//! In assembly, so that the compiler cannot turn their loops into calls of themselves. Short lengths
//! take overlapping moves; long ones the string instructions, which processors with ERMS and FSRM
//! run at full width.

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .text.capsid_memory,"ax",@progbits
    .globl memcpy, memmove, memset, memcmp, bcmp

    .balign 32
memmove:
memcpy:
    mov rax, rdi
    cmp rdx, 16
    ja 3f
    cmp edx, 8
    jae 2f
    cmp edx, 4
    jae 1f
    test edx, edx
    jz 9f
    movzx ecx, byte ptr [rsi]
    movzx r8d, byte ptr [rsi + rdx - 1]
    mov r9, rdx
    shr r9, 1
    movzx r10d, byte ptr [rsi + r9]
    mov [rdi + r9], r10b
    mov [rdi], cl
    mov [rdi + rdx - 1], r8b
9:  ret
1:  mov ecx, [rsi]
    mov r8d, [rsi + rdx - 4]
    mov [rdi], ecx
    mov [rdi + rdx - 4], r8d
    ret
2:  mov rcx, [rsi]
    mov r8, [rsi + rdx - 8]
    mov [rdi], rcx
    mov [rdi + rdx - 8], r8
    ret
3:  cmp rdx, 32
    ja 4f
    movups xmm0, [rsi]
    movups xmm1, [rsi + rdx - 16]
    movups [rdi], xmm0
    movups [rdi + rdx - 16], xmm1
    ret
4:  cmp rdx, 64
    ja 5f
    movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups xmm2, [rsi + rdx - 32]
    movups xmm3, [rsi + rdx - 16]
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
    movups [rdi + rdx - 32], xmm2
    movups [rdi + rdx - 16], xmm3
    ret
    # Backwards if the destination starts inside the source.
5:  mov rcx, rdi
    sub rcx, rsi
    cmp rcx, rdx
    jb 7f
    cmp rdx, 512
    ja 8f
    movups xmm4, [rsi + rdx - 32]
    movups xmm5, [rsi + rdx - 16]
    lea r8, [rdi + rdx - 32]
6:  movups xmm0, [rsi]
    movups xmm1, [rsi + 16]
    movups [rdi], xmm0
    movups [rdi + 16], xmm1
    add rsi, 32
    add rdi, 32
    cmp rdi, r8
    jb 6b
    movups [r8], xmm4
    movups [r8 + 16], xmm5
    ret
8:  mov rcx, rdx
    rep movsb
    ret
7:  movups xmm4, [rsi]
    movups xmm5, [rsi + 16]
6:  movups xmm0, [rsi + rdx - 16]
    movups xmm1, [rsi + rdx - 32]
    movups [rdi + rdx - 16], xmm0
    movups [rdi + rdx - 32], xmm1
    sub rdx, 32
    cmp rdx, 32
    ja 6b
    movups [rdi], xmm4
    movups [rdi + 16], xmm5
    ret

    .balign 32
memset:
    mov rax, rdi
    movzx ecx, sil
    mov r8, 0x0101010101010101
    imul r8, rcx
    cmp rdx, 16
    jae 3f
    cmp edx, 8
    jae 2f
    cmp edx, 4
    jae 1f
    test edx, edx
    jz 9f
    mov [rdi], cl
    mov [rdi + rdx - 1], cl
    shr rdx, 1
    mov [rdi + rdx], cl
9:  ret
1:  mov [rdi], r8d
    mov [rdi + rdx - 4], r8d
    ret
2:  mov [rdi], r8
    mov [rdi + rdx - 8], r8
    ret
3:  cmp rdx, 256
    ja 8f
    movq xmm0, r8
    punpcklqdq xmm0, xmm0
    lea r9, [rdi + rdx - 16]
4:  movups [rdi], xmm0
    add rdi, 16
    cmp rdi, r9
    jb 4b
    movups [r9], xmm0
    ret
8:  mov r9, rax
    mov eax, ecx
    mov rcx, rdx
    rep stosb
    mov rax, r9
    ret

    .balign 32
bcmp:
memcmp:
    cmp rdx, 8
    jb 2f
1:  mov rax, [rdi]
    mov rcx, [rsi]
    cmp rax, rcx
    jne 5f
    add rdi, 8
    add rsi, 8
    sub rdx, 8
    cmp rdx, 8
    jae 1b
2:  test edx, edx
    jz 4f
3:  movzx eax, byte ptr [rdi]
    movzx ecx, byte ptr [rsi]
    sub eax, ecx
    jne 6f
    inc rdi
    inc rsi
    dec edx
    jnz 3b
4:  xor eax, eax
6:  ret
    # The first byte that differs decides: compare as big-endian numbers.
5:  bswap rax
    bswap rcx
    xor edx, edx
    cmp rax, rcx
    seta dl
    sbb eax, eax
    add eax, edx
    ret
    .popsection
    "#
);
