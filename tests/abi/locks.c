// Locks: fcntl(2) record locks of processes and descriptions, flock(2)
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static int lock(int fd, int command, int type, long start, long length) { struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length}; return fcntl(fd, command, &l); }
// The lock in the way: type, start and length in one number.
static long test(int fd, int command, int type, long start, long length) { struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length}; if (fcntl(fd, command, &l)) return -1; return l.l_type * 1000000 + l.l_start * 1000 + l.l_len; }
#define CHILD(body) do { fflush(stdout); pid_t c_ = fork(); if (!c_) { body; _exit(0); } waitpid(c_, 0, 0); } while (0)

int main(void) {
    alarm(30); char name[] = "/tmp/locks-XXXXXX"; int f = mkstemp(name), g = open(name, O_RDWR); write(f, "0123456789", 10);
    SHOW(lock(f, F_SETLK, F_WRLCK, 10, 20)); SHOW(lock(f, F_SETLK, F_RDLCK, 15, 5)); SHOW(lock(f, F_SETLK, F_UNLCK, 25, 1)); SHOW(test(f, F_GETLK, F_WRLCK, 0, 0));
    CHILD(SHOW(test(f, F_GETLK, F_WRLCK, 0, 0)); SHOW(test(f, F_GETLK, F_RDLCK, 15, 5)); SHOW(test(f, F_GETLK, F_WRLCK, 15, 5)); SHOW(test(f, F_GETLK, F_RDLCK, 26, 0)); SHOW(lock(f, F_SETLK, F_RDLCK, 16, 2)); SHOW(lock(f, F_SETLK, F_WRLCK, 16, 2)); SHOW(lock(f, F_SETLK, F_WRLCK, 25, 1)));
    SHOW(lock(f, F_SETLK, F_WRLCK, 0, -5)); SHOW(lock(f, F_SETLK, F_WRLCK, 5, -5)); SHOW(lock(f, F_SETLK, 99, 0, 0)); SHOW(fcntl(f, F_SETLK, (void *)8)); int ro = open(name, O_RDONLY); SHOW(lock(ro, F_SETLK, F_WRLCK, 0, 1)); SHOW(lock(ro, F_SETLK, F_RDLCK, 0, 1));
    close(ro); CHILD(SHOW(test(f, F_GETLK, F_WRLCK, 0, 0)));
    SHOW(lock(f, F_OFD_SETLK, F_WRLCK, 0, 10)); SHOW(lock(g, F_OFD_SETLK, F_WRLCK, 5, 1)); SHOW(test(g, F_OFD_GETLK, F_WRLCK, 5, 1)); int d = dup(f); close(f); SHOW(lock(g, F_OFD_SETLK, F_RDLCK, 5, 1)); CHILD(SHOW(lock(d, F_OFD_SETLK, F_WRLCK, 0, 5)); SHOW(lock(g, F_SETLK, F_RDLCK, 0, 1))); close(d); SHOW(lock(g, F_OFD_SETLK, F_RDLCK, 5, 1)); struct flock l = {.l_type = F_RDLCK, .l_pid = 1}; SHOW(fcntl(g, F_OFD_SETLK, &l)); SHOW(lock(g, F_OFD_SETLK, F_UNLCK, 0, 0));
    f = open(name, O_RDWR); SHOW(flock(f, LOCK_SH)); SHOW(flock(g, LOCK_SH | LOCK_NB)); SHOW(flock(g, LOCK_EX | LOCK_NB)); SHOW(flock(f, LOCK_EX | LOCK_NB)); SHOW(flock(f, LOCK_UN)); SHOW(flock(g, LOCK_EX | LOCK_NB)); SHOW(flock(f, 77)); SHOW(flock(999, LOCK_SH)); CHILD(SHOW(flock(g, LOCK_EX | LOCK_NB)); SHOW(flock(f, LOCK_SH | LOCK_NB)));
    int p[2]; pipe(p); char c; fflush(stdout); pid_t k = fork(); if (!k) { lock(f, F_SETLK, F_WRLCK, 50, 1); write(p[1], "x", 1); usleep(30000); _exit(0); } read(p[0], &c, 1); SHOW(lock(f, F_SETLKW, F_WRLCK, 50, 1)); waitpid(k, 0, 0);
    SHOW(flock(g, LOCK_UN)); k = fork(); if (!k) { int h = open(name, O_RDWR); flock(h, LOCK_EX); write(p[1], "x", 1); usleep(30000); _exit(0); } read(p[0], &c, 1); SHOW(flock(f, LOCK_EX)); waitpid(k, 0, 0);
    int q[2]; pipe(q); fflush(stdout); lock(f, F_SETLK, F_UNLCK, 0, 0); lock(f, F_SETLK, F_WRLCK, 0, 1); k = fork(); if (!k) { lock(f, F_SETLK, F_WRLCK, 1, 1); write(p[1], "x", 1); int r = lock(f, F_SETLKW, F_WRLCK, 0, 1); _exit(r ? 1 : 0); } read(p[0], &c, 1); usleep(50000); SHOW(lock(f, F_SETLKW, F_WRLCK, 1, 1)); lock(f, F_SETLK, F_UNLCK, 0, 0); int status; waitpid(k, &status, 0); SHOW(status);
    SHOW(fcntl(f, F_GETLEASE)); SHOW(fcntl(f, 9999)); SHOW(fcntl(999, F_GETFD)); SHOW(fcntl(f, F_DUPFD, -1)); CHECK(fcntl(f, F_DUPFD_CLOEXEC, 100) == 100); SHOW(fcntl(100, F_GETFD)); SHOW(fcntl(f, F_SETOWN, getpid())); CHECK(fcntl(f, F_GETOWN) == getpid()); SHOW(fcntl(f, F_GETSIG)); unlink(name);
    return 0;
}
