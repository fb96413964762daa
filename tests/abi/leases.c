// Leases: fcntl(2) F_SETLEASE, F_GETLEASE
#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static sigset_t all;
static char name[] = "/tmp/leaseXXXXXX";
static void arrived(const char *what) { siginfo_t i; struct timespec none = {0, 0}; printf("%s:", what); for (int s; (s = sigtimedwait(&all, &i, &none)) > 0;) { printf(" %d code %d", s == SIGIO ? 1 : s == SIGRTMIN + 3 ? 2 : s, i.si_code); if (i.si_code == POLL_MSG) printf(" band %lx fd %d", i.si_band, i.si_fd); } puts(""); fflush(stdout); }
static int lease(int fd, int kind) { return fcntl(fd, F_SETLEASE, kind); }
static int await(void) { siginfo_t i; struct timespec t = {10, 0}; return sigtimedwait(&all, &i, &t); }
static int quit(pid_t c) { int s; waitpid(c, &s, 0); return s; }

int main(void) {
    alarm(60); sigemptyset(&all); sigaddset(&all, SIGIO); sigaddset(&all, SIGRTMIN + 3); sigprocmask(SIG_BLOCK, &all, 0); int w = mkstemp(name), r = open(name, O_RDONLY), p[2]; pipe(p); write(w, "lease", 5);
    SHOW(fcntl(r, F_GETLEASE)); SHOW(lease(r, F_RDLCK)); SHOW(lease(w, F_RDLCK)); SHOW(lease(w, F_WRLCK)); SHOW(lease(r, F_UNLCK)); SHOW(lease(r, 77)); SHOW(lease(p[0], F_RDLCK)); int d = open("/tmp", O_RDONLY); SHOW(lease(d, F_WRLCK)); SHOW(lease(99, F_RDLCK)); close(w); SHOW(lease(r, F_RDLCK)); SHOW(fcntl(r, F_GETLEASE)); SHOW(lease(r, F_RDLCK)); SHOW(lease(r, F_UNLCK)); SHOW(fcntl(r, F_GETLEASE)); SHOW(lease(r, F_WRLCK)); SHOW(fcntl(r, F_GETLEASE)); int r2; SHOW((r2 = open(name, O_RDONLY | O_NONBLOCK))); arrived("opened against"); SHOW(fcntl(r, F_GETLEASE)); SHOW(lease(r, F_WRLCK)); SHOW(lease(r, F_RDLCK)); SHOW(fcntl(r, F_GETLEASE)); r2 = open(name, O_RDONLY); CHECK(r2 >= 0); SHOW(lease(r, F_WRLCK)); SHOW(lease(r2, F_RDLCK)); arrived("shared");
    SHOW(open(name, O_WRONLY | O_NONBLOCK)); arrived("written against"); SHOW(fcntl(r, F_GETLEASE)); SHOW(fcntl(r2, F_GETLEASE)); SHOW(open(name, O_WRONLY | O_NONBLOCK)); arrived("again"); close(r2); SHOW(open(name, O_RDWR | O_NONBLOCK)); SHOW(lease(r, F_UNLCK)); w = open(name, O_RDWR | O_NONBLOCK); CHECK(w >= 0); close(w); close(r);
    r = open(name, O_RDONLY); SHOW(fcntl(r, F_SETSIG, SIGRTMIN + 3)); SHOW(lease(r, F_RDLCK)); pid_t c = fork(); if (!c) { close(r); w = open(name, O_WRONLY); _exit(w < 0 ? errno : write(w, "child", 5) != 5); } CHECK(await() == SIGRTMIN + 3); SHOW(lease(r, F_UNLCK)); SHOW(quit(c));
    SHOW(lease(r, F_RDLCK)); c = fork(); if (!c) { close(r); _exit(truncate(name, 3) ? errno : 0); } CHECK(await() == SIGIO); close(r); SHOW(quit(c));
    r = open(name, O_RDONLY); SHOW(lease(r, F_WRLCK)); SHOW(open(name, O_PATH) >= 0); c = fork(); if (!c) _exit(0); quit(c); SHOW(fcntl(r, F_GETLEASE)); SHOW(chmod(name, 0644)); SHOW(link(name, "/tmp/lease-link")); SHOW(unlink("/tmp/lease-link")); arrived("names and modes"); if (!geteuid()) { c = fork(); if (!c) { setuid(12345); r2 = open(name, O_RDONLY | O_NONBLOCK); SHOW(r2); SHOW(lease(r, F_RDLCK)); _exit(0); } quit(c); }
    unlink(name); return 0;
}
