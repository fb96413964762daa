// Memory: mmap(2), mprotect(2), mremap(2), madvise(2), brk(2), memfd_create(2)
#include "check.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PAGE = 4096 };
static sigjmp_buf escape;
static void leave(int number) { siglongjmp(escape, number); }
static int touch(volatile char *p, int write) { int s = sigsetjmp(escape, 1); if (s) return s; if (write) *p = 1; else (void)*p; return 0; }
static char *anonymous(size_t n, int protection) { return mmap(0, n, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

int main(void) {
    signal(SIGSEGV, leave); signal(SIGBUS, leave);
    const int rw = PROT_READ | PROT_WRITE;
    char *p = anonymous(8 * PAGE, rw); memset(p, 7, 8 * PAGE);
    SHOW(munmap(p + 2 * PAGE, PAGE)); SHOW(touch(p + 2 * PAGE, 0)); SHOW(touch(p + 3 * PAGE, 0));
    SHOW(mprotect(p, PAGE, PROT_READ)); SHOW(touch(p, 1)); SHOW(touch(p, 0)); SHOW(mprotect(p, PAGE, PROT_NONE)); SHOW(touch(p, 0)); SHOW(mprotect(p, PAGE, rw)); CHECK(p[5] == 7);
    SHOW(mprotect(p, 8 * PAGE, rw)); SHOW(mprotect(p + 1, PAGE, rw)); SHOW(munmap(p + 1, PAGE)); SHOW(munmap(p, 0)); SHOW(mmap(0, 0, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); SHOW(mmap(0, PAGE, rw, MAP_PRIVATE, -1, 0)); SHOW(mmap(0, PAGE, rw, MAP_ANONYMOUS, -1, 0));
    CHECK(mmap(p, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p && p[0] == 0); SHOW(mmap(p, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    SHOW(madvise(p + 3 * PAGE, PAGE, MADV_DONTNEED)); CHECK(p[3 * PAGE] == 0); SHOW(madvise(p + 2 * PAGE, PAGE, MADV_DONTNEED)); SHOW(madvise(p, PAGE, 12345));
    char *q = anonymous(4 * PAGE, rw); memset(q, 1, 4 * PAGE); q = mremap(q, 4 * PAGE, 400 * PAGE, MREMAP_MAYMOVE); CHECK(q[3 * PAGE] == 1 && q[4 * PAGE] == 0); q[399 * PAGE] = 2;
    q = mremap(q, 400 * PAGE, 2 * PAGE, 0); SHOW(touch(q + 2 * PAGE, 0)); SHOW(mremap(q + 1, PAGE, PAGE, 0)); char *target = anonymous(2 * PAGE, PROT_NONE); CHECK(mremap(q, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target && target[0] == 1); SHOW(touch(q, 0));
    char name[] = "/tmp/memory-XXXXXX"; int fd = mkstemp(name); ftruncate(fd, 3 * PAGE + 10); pwrite(fd, "hello", 5, PAGE);
    char *s = mmap(0, 4 * PAGE, rw, MAP_SHARED, fd, 0), *v = mmap(0, 4 * PAGE, rw, MAP_PRIVATE, fd, 0);
    CHECK(!memcmp(s + PAGE, "hello", 5)); s[PAGE] = 'H'; CHECK(v[PAGE] == 'H'); v[PAGE] = 'x'; CHECK(s[PAGE] == 'H'); char b[6] = {0}; pread(fd, b, 5, PAGE); puts(b); pwrite(fd, "J", 1, PAGE); CHECK(s[PAGE] == 'J' && v[PAGE] == 'x');
    CHECK(s[3 * PAGE + 20] == 0); SHOW(touch(s + 3 * PAGE, 0)); SHOW(msync(s, 4 * PAGE, MS_SYNC)); ftruncate(fd, PAGE); SHOW(touch(s + PAGE, 0)); SHOW(touch(s, 0)); ftruncate(fd, 2 * PAGE); SHOW(touch(s + PAGE, 1)); CHECK(s[PAGE + 1] == 0);
    pid_t child = fork(); if (!child) { s[0] = 'c'; v[0] = 'c'; p[0] = 'c'; _exit(0); } waitpid(child, 0, 0); CHECK(s[0] == 'c' && v[0] != 'c' && p[0] == 0);
    int ro = open(name, O_RDONLY); SHOW(mmap(0, PAGE, rw, MAP_SHARED, ro, 0)); CHECK(mmap(0, PAGE, rw, MAP_PRIVATE, ro, 0) != MAP_FAILED); SHOW(mmap(0, PAGE, PROT_READ, MAP_SHARED, ro, 1)); char *m = mmap(0, PAGE, PROT_READ, MAP_SHARED, ro, 0); SHOW(mprotect(m, PAGE, rw)); int wo = open(name, O_WRONLY); SHOW(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, wo, 0));
    int dir = open("/tmp", O_RDONLY); SHOW(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, dir, 0));
    void *brk0 = sbrk(0); CHECK(sbrk(100000) == brk0); memset(brk0, 1, 100000); CHECK(sbrk(-100000) != (void *)-1); CHECK(sbrk(0) == brk0);
    int mfd = memfd_create("m", MFD_ALLOW_SEALING); SHOW(ftruncate(mfd, PAGE)); SHOW(fcntl(mfd, F_ADD_SEALS, F_SEAL_GROW)); SHOW(ftruncate(mfd, 2 * PAGE)); SHOW(fcntl(mfd, F_GET_SEALS)); SHOW(fcntl(mfd, F_ADD_SEALS, F_SEAL_WRITE)); SHOW(write(mfd, "x", 1));
    unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; char *x = anonymous(PAGE, rw | PROT_EXEC); memcpy(x, code, sizeof code); SHOW(((int (*)(void))x)()); mprotect(x, PAGE, rw); x[1] = 43; mprotect(x, PAGE, PROT_READ | PROT_EXEC); SHOW(((int (*)(void))x)());
    unsigned char call[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3}; mprotect(x, PAGE, rw); memcpy(x, call, sizeof call); mprotect(x, PAGE, PROT_READ | PROT_EXEC); CHECK(((int (*)(void))x)() == getpid());
    unsigned char vec[4]; SHOW(mincore(p, PAGE, vec)); CHECK(vec[0] & 1); SHOW(mlock(p, PAGE)); SHOW(munlock(p, PAGE));
    char *big = mmap(0, 1ul << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); CHECK(big != MAP_FAILED); SHOW(mprotect(big + (1ul << 39), PAGE, rw)); SHOW(touch(big + (1ul << 39), 1)); SHOW(munmap(big, 1ul << 40));
    char *low = mmap(0, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0); CHECK((unsigned long)low < 1ul << 31); CHECK(mmap((void *)-PAGE, PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
    for (int i = 0; i < 3000; i++) { char *k = anonymous(2 * PAGE, rw); k[0] = 1; munmap(k + PAGE, PAGE); } puts("many mappings");
    unlink(name); return 0;
}
