// POSIX message queues: mq_overview(7)
#include "check.h"
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char name[32], b[9000];
static sigset_t all;
static mqd_t make(int flags, long messages, long bytes) { struct mq_attr a = {.mq_maxmsg = messages, .mq_msgsize = bytes}; return mq_open(name, flags, 0640, &a); }
static void arrived(const char *what) { siginfo_t i; struct timespec none = {0, 0}; printf("%s:", what); for (int s; (s = sigtimedwait(&all, &i, &none)) > 0;) printf(" %d code %d value %d ours %d", s == SIGUSR1, i.si_code, i.si_value.sival_int, i.si_pid == getpid()); puts(""); fflush(stdout); }
static int take(mqd_t q) { unsigned p = 77; int n = mq_receive(q, b, sizeof b, &p); if (n >= 0) printf("[%u %.*s] ", p, n, b); return n; }
static void *later(void *q) { usleep(20000); mq_send(*(mqd_t *)q, "late", 4, 3); return 0; }

int main(void) {
    alarm(30); umask(022); sigemptyset(&all); sigaddset(&all, SIGUSR1); sigprocmask(SIG_BLOCK, &all, 0); snprintf(name, sizeof name, "/queue%d", getpid()); struct mq_attr a;
    SHOW(mq_open(name, O_RDWR)); SHOW(mq_open("/", O_RDWR | O_CREAT, 0600, 0)); SHOW(mq_open("/a/b", O_RDWR | O_CREAT, 0600, 0)); SHOW(mq_open("noslash", O_RDWR)); SHOW(make(O_RDWR | O_CREAT, 0, 10)); SHOW(make(O_RDWR | O_CREAT, 10, 0)); SHOW(make(O_RDWR | O_CREAT, -1, 10)); SHOW(make(O_RDWR | O_CREAT, 70000, 10)); SHOW(mq_unlink(name));
    mqd_t q = make(O_RDWR | O_CREAT | O_EXCL, 3, 20), r; CHECK(q >= 0); SHOW(make(O_RDWR | O_CREAT | O_EXCL, 3, 20)); r = make(O_RDONLY | O_CREAT | O_NONBLOCK, 0, 0); CHECK(r >= 0); SHOW(fcntl(q, F_GETFD)); SHOW(fcntl(r, F_GETFL) & (O_ACCMODE | O_NONBLOCK)); SHOW(mq_getattr(q, &a)); SHOW(a.mq_flags); SHOW(a.mq_maxmsg); SHOW(a.mq_msgsize); SHOW(a.mq_curmsgs); struct stat st; SHOW(fstat(q, &st)); SHOW(st.st_mode & 0777); SHOW(st.st_uid == geteuid());
    SHOW(mq_send(q, "low", 3, 1)); SHOW(mq_send(q, "high", 4, 9)); SHOW(mq_send(q, "", 0, 9)); SHOW(mq_send(q, "x", 1, 32768)); SHOW(mq_send(q, b, 21, 0)); SHOW(mq_send(r, "x", 1, 0)); SHOW(mq_send(0, "x", 1, 0)); SHOW(mq_send(99, "x", 1, 0)); struct pollfd p = {q, POLLIN | POLLOUT}; SHOW(poll(&p, 1, 0)); SHOW(p.revents); mq_getattr(q, &a); SHOW(a.mq_curmsgs); struct timespec past = {1, 0}, bad = {1, 2000000000}; SHOW(mq_timedsend(q, "x", 1, 0, &past)); SHOW(mq_timedsend(q, "x", 1, 0, &bad)); char text[128] = {0}; SHOW(read(q, text, 127)); printf("%s", text);
    SHOW(mq_receive(r, b, 19, 0)); SHOW(take(r)); SHOW(take(q)); SHOW(take(q)); SHOW(take(r)); SHOW(mq_timedreceive(q, b, 100, 0, &past)); p.revents = 0; SHOW(poll(&p, 1, 0)); SHOW(p.revents); a.mq_flags = O_NONBLOCK; struct mq_attr old; SHOW(mq_setattr(q, &a, &old)); SHOW(old.mq_flags); SHOW(take(q)); for (int i = 0; i < 3; i++) mq_send(q, "x", 1, 0); SHOW(mq_send(q, "x", 1, 0)); a.mq_flags = 0; mq_setattr(q, &a, 0); while (mq_receive(r, b, 20, 0) >= 0);
    pthread_t t; pthread_create(&t, 0, later, &q); SHOW(take(q)); pthread_join(t, 0); int e = epoll_create1(0); struct epoll_event v = {.events = EPOLLIN}; SHOW(epoll_ctl(e, EPOLL_CTL_ADD, q, &v)); pthread_create(&t, 0, later, &q); SHOW(epoll_wait(e, &v, 1, 5000)); pthread_join(t, 0); SHOW(take(q)); close(e);
    struct sigevent s = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42}; SHOW(mq_notify(q, &s)); SHOW(mq_notify(q, &s)); read(q, text, 127); pid_t c = fork(); if (!c) { SHOW(mq_notify(q, &s)); SHOW(mq_notify(q, 0)); _exit(0); } waitpid(c, 0, 0); mq_send(q, "x", 1, 0); arrived("first"); mq_send(q, "x", 1, 0); arrived("second"); take(q); take(q); puts(""); SHOW(mq_notify(q, &s)); pthread_create(&t, 0, later, &q); SHOW(take(q)); pthread_join(t, 0); arrived("with a receiver"); SHOW(mq_notify(q, 0)); mq_send(q, "x", 1, 0); arrived("taken back"); take(q); puts(""); s.sigev_signo = 99; SHOW(mq_notify(q, &s)); s.sigev_notify = SIGEV_NONE; s.sigev_signo = 0; SHOW(mq_notify(q, &s)); SHOW(mq_notify(q, 0)); s.sigev_notify = 77; SHOW(mq_notify(q, &s)); SHOW(mq_notify(0, 0));
    c = fork(); if (!c) { s.sigev_notify = SIGEV_NONE; SHOW(mq_notify(q, &s)); _exit(0); } waitpid(c, 0, 0); SHOW(mq_notify(q, &s) == -1 && errno == EINVAL); s.sigev_notify = SIGEV_NONE; SHOW(mq_notify(q, &s)); if (!geteuid()) { c = fork(); if (!c) { setgid(12345); setuid(12345); SHOW(mq_open(name, O_RDONLY)); SHOW(mq_unlink(name)); SHOW(make(O_CREAT | O_RDWR, 11, 10)); strcat(name, "x"); SHOW(make(O_CREAT | O_RDWR, 11, 10)); SHOW(make(O_CREAT | O_RDWR, 10, 8193)); _exit(0); } waitpid(c, 0, 0); }
    SHOW(mq_unlink(name)); SHOW(mq_unlink(name)); SHOW(mq_send(q, "still", 5, 0)); SHOW(take(r)); SHOW(mq_close(q)); SHOW(mq_close(r)); SHOW(mq_close(q));
    return 0;
}
