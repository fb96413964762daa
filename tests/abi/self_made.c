// Writes its own `syscall` instructions at run time, in memory that is writable and executable at
// once and in memory that changes between the two.
#include "check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

typedef long (*call6)(long, long, long, long, long, long, long);
// mov rax, rdi; mov rdi, rsi; mov rsi, rdx; mov rdx, rcx; mov r10, r8; mov r8, r9; mov r9, [rsp + 8]; syscall; ret
static const unsigned char CODE[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca, 0x4d, 0x89, 0xc2, 0x4d, 0x89, 0xc8, 0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05, 0xc3};

static void try_it(const char *what, call6 call) {
    printf("%s\n", what);
    CHECK(call(SYS_getpid, 0, 0, 0, 0, 0, 0) == getpid());
    char path[] = "/proc/self/comm", text[64] = {0};
    long fd = call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY, 0, 0, 0);
    CHECK(fd >= 0);
    CHECK(call(SYS_read, fd, (long)text, 63, 0, 0, 0) > 0);
    call(SYS_close, fd, 0, 0, 0, 0, 0);
    SHOW(call(SYS_write, -1, 0, 0, 0, 0, 0) == -EBADF);
    for (int i = 0; i < 1000; i++) if (call(SYS_getppid, 0, 0, 0, 0, 0, 0) != getppid()) puts("wrong");
}

int main(void) {
    const int rw = PROT_READ | PROT_WRITE;
    char *p = mmap(0, 4096, rw | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(p, CODE, sizeof CODE);
    try_it("rwx", (call6)p);
    char *q = mmap(0, 4096, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(q, CODE, sizeof CODE);
    mprotect(q, 4096, PROT_READ | PROT_EXEC);
    try_it("w^x", (call6)q);
    mprotect(q, 4096, rw);
    memset(q, 0x90, 16);
    memcpy(q + 16, CODE, sizeof CODE);
    mprotect(q, 4096, PROT_READ | PROT_EXEC);
    try_it("again", (call6)q);
    int fd = memfd_create("code", 0);
    ftruncate(fd, 4096);
    char *w = mmap(0, 4096, rw, MAP_SHARED, fd, 0), *x = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    memcpy(w, CODE, sizeof CODE);
    try_it("two views", (call6)x);
    // A 5-byte mov before the instruction, as compilers make it: also in memory of our own.
    static const unsigned char MOV[] = {0xb8, 0x6e, 0, 0, 0, 0x0f, 0x05, 0xc3};
    memcpy(p, MOV, sizeof MOV);
    for (int i = 0; i < 100; i++) if (((long (*)(void))p)() != getppid()) puts("wrong");
    // The same bytes changed after use: nothing may remember the old ones.
    p[1] = 0x27;
    CHECK(((long (*)(void))p)() == getpid());
    return 0;
}
