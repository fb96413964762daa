// Files that several use: mmap(2) of a file that is cut, ETXTBSY of open(2) and execve(2), seals of memfd_create(2)
#include "check.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static sigjmp_buf back;
static volatile int code;
static void on(int s, siginfo_t *i, void *u) { (void)s; (void)u; code = i->si_code; siglongjmp(back, s); }
// The byte at an address, or the negated number of the signal that reading it gives.
static int peek(volatile char *at) { int s = sigsetjmp(back, 1); return s ? -s : *at; }
static void step(int fd) { char c; if (read(fd, &c, 1) != 1) _exit(3); }

// A child maps the file; the parent cuts it in each way that there is.
static void cut(const char *how, void (*shorten)(const char *), int sharing, int fresh) {
    char name[] = "/tmp/cutXXXXXX"; int f = mkstemp(name), to[2], from[2]; ftruncate(f, 12288); pwrite(f, "aXXXb", 5, 0); pwrite(f, "c", 1, 8192); pipe(to); pipe(from); fflush(stdout);
    pid_t c = fork();
    if (!c) {
        char *m = mmap(0, 12288, PROT_READ | PROT_WRITE, sharing, f, 0); close(f); if (!fresh) m[8193] = 'x', peek(m + 8192);
        write(from[1], "m", 1); step(to[0]); printf("%s %d: %d %d %d", how, fresh, peek(m), peek(m + 4095) , peek(m + 8192)); printf(" code %d", code); fflush(stdout);
        write(from[1], "c", 1); step(to[0]); printf(" then %d %d\n", peek(m + 8192), peek(m + 8193)); fflush(stdout); _exit(0);
    }
    step(from[0]); shorten(name); write(to[1], "x", 1); step(from[0]); truncate(name, 12288); write(to[1], "x", 1); int s; waitpid(c, &s, 0); SHOW(s); unlink(name); close(f); close(to[0]); close(to[1]); close(from[0]); close(from[1]);
}
static void by_truncate(const char *n) { truncate(n, 4096); }
static void by_ftruncate(const char *n) { int f = open(n, O_RDWR); ftruncate(f, 5); close(f); }
static void by_open(const char *n) { int f = open(n, O_RDWR | O_TRUNC); write(f, "new", 3); close(f); }
static void by_grandchild(const char *n) { pid_t c = fork(); if (!c) { truncate(n, 1); _exit(0); } waitpid(c, 0, 0); }

// A child that runs guest code all the time, and hears of the cut by its own looking.
static void spinning(void) {
    char name[] = "/tmp/cutXXXXXX"; int f = mkstemp(name); ftruncate(f, 8192); volatile char *flag = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t c = fork(); if (!c) { volatile char *m = mmap(0, 8192, PROT_READ, MAP_SHARED, f, 0); *flag = 1; signal(SIGBUS, SIG_DFL); for (;;) (void)m[4096]; }
    while (!*flag) usleep(1000); ftruncate(f, 0); int s; waitpid(c, &s, 0); SHOW(WTERMSIG(s)); unlink(name); close(f);
}

static void busy(void) {
    char name[] = "/tmp/busyXXXXXX", copy[128], line[64]; close(mkstemp(name)); snprintf(copy, sizeof copy, "cp /bin/sleep %s; chmod 755 %s", name, name); system(copy);
    int ready[2]; pipe2(ready, O_CLOEXEC); pid_t c = fork(); if (!c) { execl(name, "sleep", "30", NULL); _exit(9); } close(ready[1]); SHOW(read(ready[0], line, 1)); close(ready[0]);
    SHOW(open(name, O_WRONLY)); SHOW(open(name, O_RDWR)); SHOW(open(name, O_RDONLY | O_TRUNC)); SHOW(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755)); SHOW(truncate(name, 0)); int f = open(name, O_RDONLY); CHECK(f >= 0); SHOW(chmod(name, 0755)); SHOW(fchmod(f, 0700)); CHECK(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, f, 0) != MAP_FAILED);
    char other[64]; snprintf(other, sizeof other, "%s.link", name); SHOW(link(name, other)); SHOW(open(other, O_WRONLY)); close(f); kill(c, SIGKILL); waitpid(c, 0, 0); f = open(name, O_WRONLY); CHECK(f >= 0);
    c = fork(); if (!c) { execl(name, "sleep", "0", NULL); _exit(errno); } int s; waitpid(c, &s, 0); SHOW(WEXITSTATUS(s)); CHECK(WEXITSTATUS(s) == ETXTBSY); int g = dup(f); close(f); c = fork(); if (!c) { execl(other, "sleep", "0", NULL); _exit(errno); } waitpid(c, &s, 0); CHECK(WEXITSTATUS(s) == ETXTBSY); close(g); c = fork(); if (!c) { execl(name, "sleep", "0", NULL); _exit(errno); } waitpid(c, &s, 0); SHOW(WEXITSTATUS(s));
    // A mapping that can be written keeps it busy, until its process ends.
    c = fork(); if (!c) { f = open(name, O_RDWR); char *m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0); close(f); pid_t d = fork(); if (!d) { execl(name, "sleep", "0", NULL); _exit(errno); } waitpid(d, &s, 0); CHECK(WEXITSTATUS(s) == ETXTBSY); (void)m; _exit(0); } waitpid(c, 0, 0); c = fork(); if (!c) { execl(name, "sleep", "0", NULL); _exit(errno); } waitpid(c, &s, 0); SHOW(WEXITSTATUS(s));
    unlink(other); f = open(name, O_WRONLY | O_TRUNC); write(f, "#!/bin/true\n", 12); c = fork(); if (!c) { execl(name, name, NULL); _exit(errno); } waitpid(c, &s, 0); CHECK(WEXITSTATUS(s) == ETXTBSY); close(f); c = fork(); if (!c) { execl(name, name, NULL); _exit(errno); } waitpid(c, &s, 0); SHOW(WEXITSTATUS(s)); unlink(name);
    f = memfd_create("program", 0); int in = open("/bin/true", O_RDONLY); char buffer[65536]; for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;) write(f, buffer, n); c = fork(); if (!c) { fexecve(f, (char *[]){"true", NULL}, environ); _exit(errno); } waitpid(c, &s, 0); CHECK(WEXITSTATUS(s) == ETXTBSY); snprintf(line, sizeof line, "/proc/self/fd/%d", f); g = open(line, O_RDONLY | O_CLOEXEC); close(f); c = fork(); if (!c) { fexecve(g, (char *[]){"true", NULL}, environ); _exit(errno); } waitpid(c, &s, 0); SHOW(WEXITSTATUS(s)); close(g); close(in);
}

static void seals(void) {
    int f = memfd_create("sealed", MFD_ALLOW_SEALING), g; char name[64]; write(f, "hello", 5); snprintf(name, sizeof name, "/proc/self/fd/%d", f);
    char *m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0); SHOW(fcntl(f, F_ADD_SEALS, F_SEAL_WRITE)); munmap(m, 4096); SHOW(fcntl(f, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
    g = open(name, O_RDWR); CHECK(g >= 0); SHOW(write(g, "HELLO", 5)); SHOW(pwrite(g, "x", 1, 100)); SHOW(ftruncate(g, 1)); SHOW(ftruncate(g, 100)); SHOW(ftruncate(g, 5)); SHOW(fcntl(g, F_GET_SEALS)); CHECK(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, g, 0) == MAP_FAILED); SHOW(truncate(name, 0)); SHOW(open(name, O_RDWR | O_TRUNC)); SHOW(fallocate(g, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    SHOW(fcntl(g, F_ADD_SEALS, F_SEAL_SEAL)); SHOW(fcntl(f, F_ADD_SEALS, F_SEAL_SEAL)); close(g); g = open(name, O_RDONLY); SHOW(fcntl(g, F_ADD_SEALS, F_SEAL_SEAL)); SHOW(fcntl(g, F_GET_SEALS)); char b[8] = {0}; SHOW(pread(g, b, 8, 0)); puts(b); close(g); struct stat s, t; fstat(f, &s); stat(name, &t); CHECK(s.st_ino == t.st_ino && s.st_dev == t.st_dev); close(f);
    f = memfd_create("plain", 8 /* MFD_NOEXEC_SEAL */); SHOW(fcntl(f, F_GET_SEALS)); snprintf(name, sizeof name, "/proc/self/fd/%d", f); SHOW(fchmod(f, 0755)); SHOW(chmod(name, 0755)); SHOW(chmod(name, 0600)); close(f); f = memfd_create("none", 0); SHOW(fcntl(f, F_ADD_SEALS, F_SEAL_WRITE)); SHOW(fcntl(f, F_GET_SEALS)); close(f); SHOW(fcntl(0, F_GET_SEALS));
}

int main(void) {
    struct sigaction a = {.sa_sigaction = on, .sa_flags = SA_SIGINFO}; sigaction(SIGBUS, &a, 0); sigaction(SIGSEGV, &a, 0); alarm(60);
    cut("truncate", by_truncate, MAP_SHARED, 0); cut("ftruncate", by_ftruncate, MAP_SHARED, 0); cut("open", by_open, MAP_SHARED, 0); cut("truncate, private", by_truncate, MAP_PRIVATE, 0); cut("other", by_grandchild, MAP_SHARED, 0); cut("truncate", by_truncate, MAP_SHARED, 1); spinning();
    busy(); seals(); return 0;
}
