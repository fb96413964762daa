// Fills every vector register the processor has, makes system calls in several ways, and looks
// whether all of them kept their values. System calls keep them on Linux.
#include "check.h"
#include <immintrin.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>

static const long NUMBERS[] = {SYS_getppid, SYS_sched_yield, SYS_getcwd, SYS_clock_gettime, SYS_uname};

__attribute__((target("avx2"))) static int avx(long number) {
    uint64_t in[16][4], out[16][4];
    for (int i = 0; i < 16; i++) for (int k = 0; k < 4; k++) in[i][k] = 0x0101010101010101ull * (i + 1) + k * 77;
    char buffer[512];
    register char *rsi __asm__("rsi") = buffer;
    __asm__ volatile(
        "vmovdqu 0(%[in]),%%ymm0; vmovdqu 32(%[in]),%%ymm1; vmovdqu 64(%[in]),%%ymm2; vmovdqu 96(%[in]),%%ymm3;"
        "vmovdqu 128(%[in]),%%ymm4; vmovdqu 160(%[in]),%%ymm5; vmovdqu 192(%[in]),%%ymm6; vmovdqu 224(%[in]),%%ymm7;"
        "vmovdqu 256(%[in]),%%ymm8; vmovdqu 288(%[in]),%%ymm9; vmovdqu 320(%[in]),%%ymm10; vmovdqu 352(%[in]),%%ymm11;"
        "vmovdqu 384(%[in]),%%ymm12; vmovdqu 416(%[in]),%%ymm13; vmovdqu 448(%[in]),%%ymm14; vmovdqu 480(%[in]),%%ymm15;"
        "syscall;"
        "vmovdqu %%ymm0,0(%[out]); vmovdqu %%ymm1,32(%[out]); vmovdqu %%ymm2,64(%[out]); vmovdqu %%ymm3,96(%[out]);"
        "vmovdqu %%ymm4,128(%[out]); vmovdqu %%ymm5,160(%[out]); vmovdqu %%ymm6,192(%[out]); vmovdqu %%ymm7,224(%[out]);"
        "vmovdqu %%ymm8,256(%[out]); vmovdqu %%ymm9,288(%[out]); vmovdqu %%ymm10,320(%[out]); vmovdqu %%ymm11,352(%[out]);"
        "vmovdqu %%ymm12,384(%[out]); vmovdqu %%ymm13,416(%[out]); vmovdqu %%ymm14,448(%[out]); vmovdqu %%ymm15,480(%[out]);"
        : "+a"(number), "+S"(rsi) : [in] "r"(in), [out] "r"(out), "D"(buffer + 256), "d"(200) : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    return !memcmp(in, out, sizeof in);
}

__attribute__((target("avx512f"))) static int avx512(long number) {
    __m512i high = _mm512_set1_epi64(0x1122334455667788), low = _mm512_set1_epi64(0x99aabbccddeeff00);
    uint64_t out[24];
    uint16_t mask = 0xa5c3, mask_after = 0;
    __asm__ volatile("vmovdqa64 %[h],%%zmm31; vmovdqa64 %[l],%%zmm15; vmovdqa64 %[h],%%zmm16; kmovw %k[m],%%k5; syscall; kmovw %%k5,%k[after];"
                     "vmovdqu64 %%zmm31,0(%[out]); vmovdqu64 %%zmm15,64(%[out]); vmovdqu64 %%zmm16,128(%[out])"
                     : "+a"(number), [after] "=&r"(mask_after) : [h] "v"(high), [l] "v"(low), [m] "r"((uint32_t)mask), [out] "r"(out), "D"(0), "S"(0), "d"(0) : "rcx", "r11", "memory", "xmm15", "xmm16", "xmm31", "k5");
    for (int i = 0; i < 8; i++) if (out[i] != 0x1122334455667788 || out[8 + i] != 0x99aabbccddeeff00 || out[16 + i] != 0x1122334455667788) return 0;
    return mask == mask_after;
}

static int x87_and_control(long number) {
    double d = 3.25, after = 0;
    uint32_t mxcsr = 0x7f80, mxcsr_after;
    uint16_t control = 0x0e7f, control_after;
    __asm__ volatile("fldcw %[c]; ldmxcsr %[m]; fldl %[d]; syscall; fstpl %[after]; fnstcw %[ca]; stmxcsr %[ma]"
                     : "+a"(number), [after] "=m"(after), [ca] "=m"(control_after), [ma] "=m"(mxcsr_after) : [c] "m"(control), [m] "m"(mxcsr), [d] "m"(d), "D"(0), "S"(0), "d"(0) : "rcx", "r11", "memory", "st");
    uint32_t normal = 0x1f80;
    __asm__ volatile("fninit; ldmxcsr %0" :: "m"(normal));
    return after == d && control == control_after && mxcsr == mxcsr_after;
}

static volatile sig_atomic_t hits;
static void on_signal(int number) {
    (void)number;
    double junk[8] = {9, 8, 7, 6, 5, 4, 3, 2};
    __asm__ volatile("movupd %0,%%xmm3; movupd %0,%%xmm9; fninit" :: "m"(junk) : "xmm3", "xmm9");
    hits++;
}
__attribute__((target("avx2"))) static int across_handlers(void) {
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &a, 0);
    return avx(SYS_getppid) && (raise(SIGUSR1), hits == 1);
}

int main(void) {
    for (unsigned i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++) {
        // The first call of a site traps, later ones may be patched.
        for (int k = 0; k < 3; k++) {
            if (__builtin_cpu_supports("avx2") && !avx(NUMBERS[i])) printf("avx lost by %ld\n", NUMBERS[i]);
            if (__builtin_cpu_supports("avx512f") && !avx512(NUMBERS[i])) printf("avx512 lost by %ld\n", NUMBERS[i]);
            if (!x87_and_control(NUMBERS[i])) printf("x87 or control words lost by %ld\n", NUMBERS[i]);
        }
    }
    if (__builtin_cpu_supports("avx2")) CHECK(across_handlers());
    puts("done");
    return 0;
}
