// Calls in loops long enough to be patched, in every shape that decides how: what the program can
// observe (results, flags, the red zone, signal frames, restarts, cancellation) stays as it is.
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define ROUNDS 3000
_Static_assert(SYS_getppid == 110, "the number in the code below");

// Shapes of sites. Each returns the result of getppid, or another number if something was lost.
__asm__(
    ".text\n"
    "plain: mov $110, %eax\n syscall\n ret\n"
    "wide: mov $110, %rax\n syscall\n call nothing\n ret\n"
    "behind: push %rbx\n mov $11, %ebx\n lea 99(%rbx), %eax\n syscall\n mov %eax, %ebx\n test %eax, %eax\n js 1f\n mov %ebx, %eax\n"
    "1: pop %rbx\n ret\n"
    "relative: mov number(%rip), %eax\n nop\n mov number(%rip), %ecx\n syscall\n add zero(%rip), %eax\n ret\n"
    // The carry flag and the red zone over the call.
    "flags: mov $77, %ecx\n mov %ecx, -8(%rsp)\n mov $110, %eax\n stc\n syscall\n jnc 2f\n cmpl $77, -8(%rsp)\n jne 2f\n ret\n"
    "2: mov $-1, %eax\n ret\n"
    // A branch to the instruction behind the call, and one to the call itself.
    "joined: mov $110, %eax\n xor %edx, %edx\n 3: syscall\n 4: inc %edx\n cmp $1, %edx\n je 5f\n ret\n 5: mov $110, %eax\n jmp 3b\n"
    // Nothing near can move: a call in front and one behind.
    "pinned: mov $110, %r9d\n mov %r9, %rax\n call nothing\n syscall\n call nothing\n ret\n"
    ".p2align 4\n"
    "nothing: ret\n"
    ".p2align 4\n"
    // The shape of musl's cancellation points.
    ".globl waits, waits_start, waits_end\n"
    "waits:\n waits_start: mov %rdi, %r11\n mov %rsi, %rax\n mov %rdx, %rdi\n mov %rcx, %rsi\n mov %r8, %rdx\n mov %r11, 8(%rsp)\n syscall\n"
    "waits_end: ret\n"
    ".data\n number: .long 110\n zero: .long 0\n .text\n");
long plain(void), wide(void), behind(void), relative(void), flags(void), joined(void), pinned(void);
long waits(long, long number, long, long, long);
extern char waits_start[], waits_end[];

static const struct { const char *name; long (*call)(void); } SHAPES[] = {
    {"plain", plain}, {"wide", wide}, {"behind", behind}, {"relative", relative},
    {"flags", flags}, {"joined", joined}, {"pinned", pinned},
};
#define SHAPE_COUNT (int)(sizeof SHAPES / sizeof *SHAPES)

static void *call_all(void *parent) {
    long wrong = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < SHAPE_COUNT; i++) wrong += SHAPES[i].call() != *(pid_t *)parent;
    return (void *)wrong;
}

static atomic_long interrupted, strange;
static void on_signal(int signal, siginfo_t *info, void *context) {
    unsigned long at = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    // Only the thread that waits gets it: at the call, to be made again.
    if (at < (unsigned long)waits_start || at >= (unsigned long)waits_end) strange++;
    interrupted++;
    (void)signal, (void)info;
}

static int ends[2];
static atomic_int waiting;
static void *wait_for_bytes(void *unused) {
    char byte;
    for (int i = 0; i < 20; i++) {
        waiting = i + 1;
        if (waits(0, SYS_read, ends[0], (long)&byte, 1) != 1) return (void *)1;
    }
    return unused;
}

static atomic_int cleaned;
static void clean(void *unused) {
    cleaned++;
    (void)unused;
}

static void *read_for_ever(void *unused) {
    char byte;
    pthread_cleanup_push(clean, 0);
    for (;;)
        if (read(ends[0], &byte, 1) != 1) break;
    pthread_cleanup_pop(0);
    return unused;
}

int main(void) {
    pid_t parent = getppid();
    for (int i = 0; i < SHAPE_COUNT; i++) {
        long wrong = 0;
        for (int round = 0; round < ROUNDS; round++) wrong += SHAPES[i].call() != parent;
        printf("%s: %ld wrong\n", SHAPES[i].name, wrong);
    }
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, call_all, &parent);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        printf("thread: %ld wrong\n", (long)wrong);
    }

    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGUSR1, &action, 0);
    CHECK(pipe(ends) == 0);
    pthread_t waiter;
    pthread_create(&waiter, 0, wait_for_bytes, 0);
    for (int i = 0; i < 20; i++) {
        while (waiting <= i) usleep(1000);
        usleep(2000);
        pthread_kill(waiter, SIGUSR1);
        while (interrupted <= i) usleep(1000);
        if (write(ends[1], "x", 1) != 1) return 1;
    }
    void *result;
    pthread_join(waiter, &result);
    CHECK(result == 0);
    CHECK(interrupted == 20);
    CHECK(strange == 0);

    for (int i = 0; i < 10; i++) {
        pthread_create(&waiter, 0, read_for_ever, 0);
        for (int k = 0; k < 20; k++)
            if (write(ends[1], "x", 1) != 1) return 1;
        usleep(2000);
        pthread_cancel(waiter);
        pthread_join(waiter, &result);
        if (result != PTHREAD_CANCELED) puts("not cancelled");
        // What the thread left is read before the next begins.
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        char rest[64];
        while (read(ends[0], rest, sizeof rest) > 0) {}
        fcntl(ends[0], F_SETFL, 0);
    }
    CHECK(cleaned == 10);
    return 0;
}
