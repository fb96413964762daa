// Waiting for events: eventfd(2), epoll(7), poll(2), select(2), timerfd_create(2), signalfd(2)
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

static struct epoll_event got[16];
static int control(int e, int op, int fd, unsigned events, uint64_t data) { struct epoll_event v = {.events = events, .data.u64 = data}; return epoll_ctl(e, op, fd, &v); }
// The number of events, and each of them.
static int list(int e, int timeout) { int n = epoll_wait(e, got, 16, timeout); for (int i = 0; i < n; i++) printf(" %x:%llu", got[i].events, (unsigned long long)got[i].data.u64); if (n > 0) puts(""); return n; }
static int put(int fd, uint64_t v) { return write(fd, &v, 8); }
static long take(int fd) { uint64_t v = 0; return read(fd, &v, 8) == 8 ? (long)v : -1; }

static void counters(void) {
    SHOW(eventfd(0, 123456)); int e = eventfd(3, EFD_NONBLOCK); CHECK(e >= 0);
    SHOW(take(e)); SHOW(take(e)); SHOW(put(e, 5)); SHOW(put(e, 6)); SHOW(take(e)); SHOW(put(e, -1)); SHOW(put(e, -2)); SHOW(put(e, 1)); SHOW(write(e, "abc", 3)); SHOW(read(e, got, 4)); SHOW(take(e));
    int s = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK); SHOW(take(s)); SHOW(take(s)); SHOW(take(s)); close(e); close(s);
}

static void levels(void) {
    int e = epoll_create1(EPOLL_CLOEXEC), a = eventfd(0, 0), b = eventfd(0, 0), p[2]; pipe(p);
    SHOW(epoll_create1(1)); SHOW(epoll_create(0)); SHOW(control(e, EPOLL_CTL_ADD, a, EPOLLIN, 1)); SHOW(control(e, EPOLL_CTL_ADD, a, EPOLLIN, 1)); SHOW(control(e, EPOLL_CTL_MOD, b, EPOLLIN, 1)); SHOW(control(e, EPOLL_CTL_DEL, b, 0, 0)); SHOW(control(e, 77, a, 0, 0)); SHOW(control(e, EPOLL_CTL_ADD, e, EPOLLIN, 0)); SHOW(control(e, EPOLL_CTL_ADD, 999, EPOLLIN, 0)); SHOW(control(a, EPOLL_CTL_ADD, b, EPOLLIN, 0));
    int f = open("/proc/self/exe", O_RDONLY); SHOW(control(e, EPOLL_CTL_ADD, f, EPOLLIN, 0)); SHOW(epoll_wait(e, got, 0, 0)); SHOW(epoll_wait(a, got, 1, 0)); SHOW(epoll_wait(e, got, -1, 0));
    SHOW(list(e, 0)); SHOW(control(e, EPOLL_CTL_ADD, b, EPOLLIN | EPOLLET, 2)); put(a, 1); put(b, 1); SHOW(list(e, 0)); SHOW(list(e, 0)); put(b, 1); SHOW(list(e, 0)); take(a); SHOW(list(e, 0));
    SHOW(control(e, EPOLL_CTL_MOD, b, EPOLLIN | EPOLLONESHOT, 3)); SHOW(list(e, 0)); SHOW(list(e, 0)); SHOW(control(e, EPOLL_CTL_MOD, b, EPOLLIN | EPOLLOUT, 4)); SHOW(list(e, 0)); SHOW(control(e, EPOLL_CTL_MOD, b, 0, 4)); SHOW(list(e, 0)); SHOW(control(e, EPOLL_CTL_DEL, b, 0, 0));
    SHOW(control(e, EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLRDHUP, 5)); write(p[1], "x", 1); SHOW(list(e, 0)); close(p[1]); SHOW(list(e, 0)); int d = dup(p[0]); close(p[0]); SHOW(list(e, 0)); close(d); SHOW(list(e, 0));
    SHOW(control(e, EPOLL_CTL_ADD, b, EPOLLIN | EPOLLEXCLUSIVE, 6)); SHOW(control(e, EPOLL_CTL_MOD, b, EPOLLIN, 6)); SHOW(list(e, 0)); double t = seconds(); take(b); SHOW(list(e, 30)); t = seconds() - t; CHECK(t > 0.029 && t < 1);
    int o = epoll_create1(0); SHOW(control(o, EPOLL_CTL_ADD, e, EPOLLIN, 7)); SHOW(control(e, EPOLL_CTL_ADD, o, EPOLLIN, 8)); SHOW(list(o, 0)); put(a, 1); SHOW(list(o, 0)); take(a); SHOW(list(o, 0));
    struct pollfd v = {.fd = o, .events = POLLIN}; SHOW(poll(&v, 1, 0)); put(b, 1); SHOW(poll(&v, 1, 0)); SHOW(v.revents); close(e); close(o); close(a); close(b); close(f);
}

static void *later(void *fd) { usleep(20000); put(*(int *)fd, 1); return 0; }
static void waking(void) {
    int e = epoll_create1(0), a = eventfd(0, 0); pthread_t t; control(e, EPOLL_CTL_ADD, a, EPOLLIN, 1); pthread_create(&t, 0, later, &a); SHOW(list(e, -1)); pthread_join(t, 0); SHOW(take(a));
    pthread_create(&t, 0, later, &a); SHOW(take(a)); pthread_join(t, 0);
    pthread_create(&t, 0, later, &a); struct pollfd v = {.fd = a, .events = POLLIN}; SHOW(poll(&v, 1, 5000)); pthread_join(t, 0); take(a);
    pid_t c = fork(); if (!c) { later(&a); _exit(0); } SHOW(list(e, 5000)); waitpid(c, 0, 0); close(e); close(a);
}

static void polls(void) {
    int p[2]; pipe(p); struct pollfd v[4] = {{.fd = p[0], .events = POLLIN | POLLRDNORM}, {.fd = p[1], .events = POLLOUT | POLLIN}, {.fd = -5, .events = POLLIN, .revents = 9}, {.fd = 900, .events = POLLIN}};
    SHOW(poll(v, 4, 1000)); SHOW(v[0].revents); SHOW(v[1].revents); SHOW(v[2].revents); SHOW(v[3].revents); write(p[1], "x", 1); SHOW(poll(v, 1, -1)); SHOW(v[0].revents); SHOW(poll((void *)8, 1, 0)); SHOW(poll(0, 0, 1)); SHOW(poll(v, 1 << 30, 0));
    fd_set r, w, x; FD_ZERO(&r); FD_ZERO(&w); FD_ZERO(&x); FD_SET(p[0], &r); FD_SET(p[1], &w); FD_SET(p[0], &x); struct timeval t = {5, 0};
    SHOW(select(p[1] + 1, &r, &w, &x, &t)); CHECK(FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w) && !FD_ISSET(p[0], &x)); CHECK(t.tv_sec == 4); read(p[0], got, 1); FD_ZERO(&w); t = (struct timeval){0, 20000}; SHOW(select(p[1] + 1, &r, &w, 0, &t)); CHECK(!FD_ISSET(p[0], &r)); CHECK(t.tv_sec == 0 && t.tv_usec == 0);
    FD_SET(p[1] + 1, &r); SHOW(select(p[1] + 2, &r, 0, 0, &t)); SHOW(select(-1, 0, 0, 0, &t)); t = (struct timeval){-1, 0}; SHOW(select(0, 0, 0, 0, &t)); FD_ZERO(&r); FD_SET(p[0], &r); close(p[1]); SHOW(select(p[0] + 1, &r, 0, 0, 0)); struct timespec s = {0, 2000000000}; SHOW(ppoll(v, 1, &s, 0)); SHOW(pselect(0, 0, 0, 0, &s, 0)); close(p[0]);
}

static volatile int hits;
static void on(int s) { (void)s; hits++; }
static void interrupted(void) {
    struct sigaction a = {.sa_handler = on, .sa_flags = SA_RESTART}; sigaction(SIGUSR1, &a, 0); sigset_t set, none; sigemptyset(&none); sigemptyset(&set); sigaddset(&set, SIGUSR1);
    int e = epoll_create1(0), p[2]; pipe(p); pid_t me = getpid(), c = fork(); if (!c) { for (int i = 0; i < 5; i++) { usleep(30000); kill(me, SIGUSR1); } usleep(30000); write(p[1], "x", 1); _exit(0); }
    SHOW(epoll_wait(e, got, 1, -1)); SHOW(poll(0, 0, -1)); SHOW(select(0, 0, 0, 0, 0)); sigprocmask(SIG_BLOCK, &set, 0); SHOW(ppoll(0, 0, 0, &none)); SHOW(epoll_pwait(e, got, 1, -1, &none)); SHOW(hits); SHOW(read(p[0], got, 1)); waitpid(c, 0, 0);
    sigset_t now; sigprocmask(SIG_BLOCK, 0, &now); CHECK(sigismember(&now, SIGUSR1)); close(e); close(p[0]); close(p[1]);
}

static void timers(void) {
    int t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK); SHOW(timerfd_create(12345, 0)); SHOW(timerfd_create(CLOCK_MONOTONIC, 1)); SHOW(take(t)); struct itimerspec s = {.it_value = {0, 10000000}, .it_interval = {0, 10000000}}, o;
    SHOW(timerfd_settime(t, 0, &s, &o)); SHOW(o.it_value.tv_nsec); usleep(35000); long n = take(t); CHECK(n >= 3 && n < 20); SHOW(timerfd_gettime(t, &o)); CHECK(o.it_value.tv_nsec > 0 && o.it_value.tv_nsec <= 10000000); SHOW(o.it_interval.tv_nsec);
    int e = epoll_create1(0); control(e, EPOLL_CTL_ADD, t, EPOLLIN, 1); SHOW(list(e, 1000)); s = (struct itimerspec){.it_value = {0, 30000000}}; timerfd_settime(t, 0, &s, 0); double b = seconds(); SHOW(list(e, 1000)); b = seconds() - b; CHECK(b > 0.02 && b < 0.9); SHOW(take(t)); SHOW(list(e, 20)); fcntl(t, F_SETFL, 0); struct timespec c; clock_gettime(CLOCK_MONOTONIC, &c); s.it_value = c; s.it_value.tv_nsec += 20000000; if (s.it_value.tv_nsec >= 1000000000) s.it_value.tv_sec++, s.it_value.tv_nsec -= 1000000000;
    SHOW(timerfd_settime(t, TFD_TIMER_ABSTIME, &s, 0)); SHOW(take(t)); s.it_value.tv_nsec = -1; SHOW(timerfd_settime(t, 0, &s, 0)); SHOW(timerfd_settime(e, 0, &s, 0)); s.it_value = (struct timespec){1, 0}; timerfd_settime(t, TFD_TIMER_ABSTIME, &s, 0); struct pollfd v = {.fd = t, .events = POLLIN}; SHOW(poll(&v, 1, 0)); s.it_value = (struct timespec){0, 0}; timerfd_settime(t, 0, &s, 0); SHOW(poll(&v, 1, 10)); close(t); close(e);
}

static void signals(void) {
    sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR2); sigaddset(&set, SIGRTMIN); sigprocmask(SIG_BLOCK, &set, 0); int f = signalfd(-1, &set, SFD_NONBLOCK); struct signalfd_siginfo i[3]; SHOW(read(f, i, sizeof i)); SHOW(read(f, i, 5)); struct pollfd v = {.fd = f, .events = POLLIN}; SHOW(poll(&v, 1, 0));
    kill(getpid(), SIGUSR2); sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 42}); SHOW(poll(&v, 1, 0)); SHOW(read(f, i, sizeof i)); SHOW(i[0].ssi_signo); SHOW(i[0].ssi_code); CHECK(i[0].ssi_pid == getpid()); SHOW(i[1].ssi_signo == SIGRTMIN); SHOW(i[1].ssi_int); SHOW(i[1].ssi_code); SHOW(signalfd(0, &set, 0));
    pid_t me = getpid(), c = fork(); if (!c) { usleep(20000); kill(me, SIGUSR2); _exit(0); } SHOW(poll(&v, 1, 5000)); waitpid(c, 0, 0); SHOW(read(f, i, sizeof i)); close(f);
}

int main(void) {
    alarm(30); counters(); levels(); waking(); polls(); interrupted(); timers(); signals();
    return 0;
}
