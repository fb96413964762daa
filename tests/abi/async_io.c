// Signals about descriptors: fcntl(2) F_SETOWN, F_SETOWN_EX, F_SETSIG, O_ASYNC
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

// What arrived, and the one before.
static sigset_t all;
static void arrived(const char *what) {
    siginfo_t i; struct timespec none = {0, 0}; printf("%s:", what);
    for (int s; (s = sigtimedwait(&all, &i, &none)) > 0;) { printf(" %d code %d", s == SIGIO ? 1 : s == SIGRTMIN + 3 ? 2 : s == SIGUSR1 ? 3 : s, i.si_code); if (i.si_code > 0 && i.si_code < 0x80) printf(" band %lx fd %d", i.si_band, i.si_fd); }
    puts(""); fflush(stdout);
}
static int is_async(int fd, int on) { int f = fcntl(fd, F_GETFL); return fcntl(fd, F_SETFL, on ? f | O_ASYNC : f & ~O_ASYNC); }
static void *own_thread(void *fd) { struct f_owner_ex o = {F_OWNER_TID, syscall(SYS_gettid)}; SHOW(fcntl(*(int *)fd, F_SETOWN_EX, &o)); struct f_owner_ex g = {9, 9}; SHOW(fcntl(*(int *)fd, F_GETOWN_EX, &g)); CHECK(g.type == F_OWNER_TID && g.pid == o.pid && fcntl(*(int *)fd, F_GETOWN) == o.pid); return 0; }

int main(void) {
    setpgid(0, 0); alarm(30); sigemptyset(&all); sigaddset(&all, SIGIO); sigaddset(&all, SIGRTMIN + 3); sigaddset(&all, SIGUSR1); sigprocmask(SIG_BLOCK, &all, 0); char b[100]; int p[2]; pipe(p);
    SHOW(fcntl(p[0], F_GETOWN)); SHOW(fcntl(p[0], F_GETSIG)); SHOW(fcntl(p[0], F_SETSIG, 65)); SHOW(fcntl(p[0], F_SETSIG, -1)); SHOW(fcntl(p[0], F_SETOWN, 99999999)); SHOW(fcntl(p[0], F_SETOWN, -99999999)); SHOW(fcntl(p[0], F_SETOWN, 1 << 31)); struct f_owner_ex o = {7, getpid()}; SHOW(fcntl(p[0], F_SETOWN_EX, &o)); o.type = F_OWNER_PID; o.pid = 99999999; SHOW(fcntl(p[0], F_SETOWN_EX, &o)); SHOW(fcntl(p[0], F_SETOWN_EX, 8)); SHOW(fcntl(p[0], F_GETOWN_EX, 8)); SHOW(fcntl(p[0], F_GETOWN_EX, &o)); SHOW(o.type); SHOW(o.pid);
    SHOW(fcntl(p[0], F_SETOWN, getpid())); CHECK(fcntl(p[0], F_GETOWN) == getpid()); SHOW(fcntl(p[0], F_GETOWN_EX, &o)); SHOW(o.type); write(p[1], "x", 1); arrived("not asked"); SHOW(is_async(p[0], 1)); SHOW(fcntl(p[0], F_GETFL) & O_ASYNC); arrived("asked"); write(p[1], "x", 1); arrived("written"); write(p[1], "x", 1); write(p[1], "x", 1); arrived("twice"); read(p[0], b, 100); arrived("read");
    SHOW(fcntl(p[0], F_SETSIG, SIGRTMIN + 3)); CHECK(fcntl(p[0], F_GETSIG) == SIGRTMIN + 3); write(p[1], "x", 1); write(p[1], "x", 1); arrived("queued"); SHOW(fcntl(p[0], F_SETSIG, SIGUSR1)); write(p[1], "x", 1); arrived("a plain one"); SHOW(fcntl(p[0], F_SETSIG, SIGIO)); write(p[1], "x", 1); arrived("SIGIO by name"); int d = dup(p[0]); SHOW(is_async(d, 0)); write(p[1], "x", 1); arrived("off"); SHOW(is_async(d, 1)); close(p[0]); write(p[1], "x", 1); arrived("by a copy"); close(d); arrived("closed");
    pipe(p); fcntl(p[0], F_SETOWN, -getpgrp()); CHECK(fcntl(p[0], F_GETOWN) == -getpgrp()); SHOW(fcntl(p[0], F_GETOWN_EX, &o)); SHOW(o.type); is_async(p[0], 1); pid_t c = fork(); if (!c) { write(p[1], "x", 1); arrived("child"); _exit(0); } waitpid(c, 0, 0); arrived("parent"); close(p[1]); arrived("end"); SHOW(fcntl(p[0], F_SETOWN, 0)); SHOW(fcntl(p[0], F_GETOWN)); close(p[0]);
    pipe(p); c = fork(); if (!c) { pause(); _exit(0); } fcntl(p[0], F_SETOWN, c); is_async(p[0], 1); kill(c, SIGKILL); waitpid(c, 0, 0); write(p[1], "x", 1); arrived("owner gone"); SHOW(fcntl(p[0], F_GETOWN)); pthread_t t; pthread_create(&t, 0, own_thread, &p[0]); pthread_join(t, 0); close(p[0]); close(p[1]);
    pipe(p); fcntl(p[0], F_SETOWN, getpid()); int on = 1; SHOW(ioctl(p[0], FIOASYNC, &on)); SHOW(fcntl(p[0], F_GETFL) & O_ASYNC); write(p[1], "x", 1); arrived("by ioctl"); on = 0; SHOW(ioctl(p[0], FIOASYNC, &on)); write(p[1], "x", 1); arrived("off by ioctl"); close(p[0]); close(p[1]); int n = open("/dev/null", O_RDWR); on = 1; SHOW(ioctl(n, FIOASYNC, &on)); SHOW(is_async(n, 1)); SHOW(fcntl(n, F_GETFL) & O_ASYNC); close(n);
    int s[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, s); fcntl(s[0], F_SETOWN, getpid()); fcntl(s[0], F_SETSIG, SIGRTMIN + 3); is_async(s[0], 1); s[1] = fcntl(s[1], F_DUPFD, 50); write(s[1], "x", 1); siginfo_t i; SHOW(sigwaitinfo(&all, &i) == SIGRTMIN + 3); SHOW(i.si_code); CHECK(i.si_fd == s[0]); SHOW(i.si_band); arrived("socket"); read(s[0], b, 10); close(s[1] - 50 + 50); close(s[0]); arrived("socket closed");
    struct sockaddr_un a = {AF_UNIX, ""}; int l = socket(AF_UNIX, SOCK_STREAM, 0); bind(l, (void *)&a, 2); listen(l, 5); socklen_t z = sizeof a; getsockname(l, (void *)&a, &z); fcntl(l, F_SETOWN, getpid()); is_async(l, 1); int k = socket(AF_UNIX, SOCK_STREAM, 0); SHOW(connect(k, (void *)&a, z)); arrived("connection"); close(l); close(k);
    if (!geteuid()) { pipe(p); c = fork(); if (!c) { setuid(12345); SHOW(fcntl(p[0], F_SETOWN, getppid())); is_async(p[0], 1); _exit(0); } waitpid(c, 0, 0); write(p[1], "x", 1); arrived("not allowed"); }
    return 0;
}
