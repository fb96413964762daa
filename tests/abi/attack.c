// A hostile program. Its verdict is not what it prints: the test looks at the host.
//
//   attack raw NR ARG…             the system call from its own text
//   attack own START END NR ARG…   the same, by jumping to each `syscall` instruction between START
//                                  and END (the sandbox's own text)
//   attack int80 NR ARG…           through the 32-bit gate
//   attack sysenter | vsyscall     the other ways in
//   attack scribble START END SEED writes random words over a range
//   attack sigreturn SEED          returns from forged signal frames
//   attack escape PATH…            opens paths in every way that might leave the sandbox
//
// ARG is a number, s:TEXT for a string's address, or b: for a buffer's.
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static long argument(const char *text) {
    static char buffers[8][65536];
    static int used;
    if (!strncmp(text, "s:", 2)) return (long)(text + 2);
    if (!strncmp(text, "b:", 2)) return (long)buffers[used++ % 8];
    return (long)strtoull(text, 0, 0);
}

static long raw(const long a[7]) {
    long result;
    register long r10 __asm__("r10") = a[4], r8 __asm__("r8") = a[5], r9 __asm__("r9") = a[6];
    __asm__ volatile("syscall" : "=a"(result) : "0"(a[0]), "D"(a[1]), "S"(a[2]), "d"(a[3]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}

// Jumps to a `syscall` instruction elsewhere. What follows it is not ours: whatever happens next
// must stay inside.
static void jump(unsigned char *target, const long a[7]) {
    register long r10 __asm__("r10") = a[4], r8 __asm__("r8") = a[5], r9 __asm__("r9") = a[6];
    __asm__ volatile("jmp *%%rbx" : : "a"(a[0]), "D"(a[1]), "S"(a[2]), "d"(a[3]), "r"(r10), "r"(r8), "r"(r9), "b"(target) : "memory");
}

static uint64_t state;
static uint64_t next(void) { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state; }
static void ignore(int number) { (void)number; _exit(50); }

static void try_open(const char *path) {
    static const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY | O_CREAT | O_TRUNC, O_PATH, O_RDONLY | O_DIRECTORY};
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        int fd = open(path, flags[i], 0666);
        char bytes[64];
        long n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
        if (n > 0) printf("LEAK %s: %.*s\n", path, (int)n, bytes);
        if (fd >= 0 && write(fd, "overwritten", 11) > 0) printf("WROTE %s\n", path);
        if (fd >= 0) close(fd);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const char *mode = argv[1];
    long a[7] = {0};
    int first = !strcmp(mode, "own") ? 4 : 2;
    for (int i = 0; i < 7 && first + i < argc; i++) a[i] = argument(argv[first + i]);
    if (!strcmp(mode, "raw")) {
        printf("%ld\n", raw(a));
    } else if (!strcmp(mode, "own")) {
        unsigned char *at = (unsigned char *)argument(argv[2]), *end = (unsigned char *)argument(argv[3]);
        for (; at + 1 < end; at++)
            if (at[0] == 0x0f && at[1] == 0x05) {
                // Each try in a process of its own, as long as there are any.
                pid_t p = fork();
                if (p <= 0) jump(at, a);
                waitpid(p, 0, 0);
            }
    } else if (!strcmp(mode, "int80")) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "0"(a[0]), "b"(a[1]), "c"(a[2]), "d"(a[3]) : "memory");
        printf("%ld\n", result);
    } else if (!strcmp(mode, "sysenter")) {
        __asm__ volatile("mov %%rsp, %%rbp; mov $20, %%eax; sysenter" ::: "rax", "memory");
    } else if (!strcmp(mode, "vsyscall")) {
        long (*time_)(long *) = (void *)0xffffffffff600400ul;
        printf("%d\n", time_(0) > 1600000000);
    } else if (!strcmp(mode, "scribble")) {
        unsigned long start = argument(argv[2]), end = argument(argv[3]);
        state = strtoull(argv[4], 0, 0) * 2654435761u + 1;
        signal(SIGSEGV, ignore); signal(SIGBUS, ignore);
        for (int i = 0; i < 100000; i++) {
            *(volatile uint64_t *)((start + next() % (end - start - 8)) & ~7ul) = next();
            if (i % 1000 == 0) { getppid(); close(open("/etc/passwd", O_RDONLY)); }
        }
    } else if (!strcmp(mode, "sigreturn")) {
        state = strtoull(argv[2], 0, 0) * 2654435761u + 1;
        static unsigned char frame[8192] __attribute__((aligned(64)));
        for (unsigned i = 0; i < sizeof frame; i++) frame[i] = next();
        __asm__ volatile("lea 2048(%0), %%rsp; mov $15, %%eax; syscall" :: "r"(frame) : "rax", "memory");
    } else if (!strcmp(mode, "escape")) {
        char path[4096];
        for (int i = 2; i < argc; i++) {
            static const char *const before[] = {"", "/proc/self/root", "/proc/1/root", "/proc/self/cwd/../../../../..", "/../../../..", "/usr/../../..", "/proc/self/fd/3/../../../..", "/tmp/link", "/dev/fd/0/../../.."};
            symlink("/", "/tmp/link");
            for (unsigned k = 0; k < sizeof before / sizeof *before; k++) { snprintf(path, sizeof path, "%s%s", before[k], argv[i]); try_open(path); }
            for (int fd = 0; fd < 64; fd++) { snprintf(path, sizeof path, "/proc/self/fd/%d%s", fd, argv[i]); try_open(path); int d = openat(fd, argv[i] + 1, O_RDONLY); if (d >= 0) { puts("openat"); close(d); } }
        }
        puts("done");
    } else return 2;
    return 0;
}
