// Signals: handlers, masks, queues, frames, faults. signal(7)
#include "check.h"
#include <fenv.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

static volatile sig_atomic_t count;
static siginfo_t last;
static void plain(int number) { (void)number; count++; }
static void info(int number, siginfo_t *i, void *context) { (void)number; (void)context; last = *i; count++; }
static sigjmp_buf escape;
static void leave(int number, siginfo_t *i, void *context) { (void)number; (void)context; last = *i; siglongjmp(escape, 1); }
static void install(int number, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
    sigaction(number, &a, 0);
}
static void fault(const char *name, void (*run)(void), int number) {
    install(number, leave, SA_NODEFER);
    if (!sigsetjmp(escape, 1)) { run(); printf("%s: no signal\n", name); }
    else printf("%s: signal %d code %d\n", name, last.si_signo, last.si_code);
    signal(number, SIG_DFL);
}
static void null_write(void) { *(volatile int *)8 = 1; }
static void read_only(void) { char *p = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); *(volatile char *)p = 1; }
static void no_execute(void) { char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); *p = 0xc3; ((void (*)(void))p)(); }
static void non_canonical(void) { *(volatile int *)0x8000000000000000ul = 1; }
static void divide(void) { int a = 1, d = 0; __asm__ volatile("idivl %2" : "+a"(a), "+d"(d) : "r"(0)); }
static void illegal(void) { __asm__ volatile("ud2"); }
static void breakpoint(void) { __asm__ volatile("int3"); }
static void privileged(void) { __asm__ volatile("hlt"); }
static void beyond(void) {
    FILE *f = tmpfile(); fputs("x", f); fflush(f);
    char *p = mmap(0, 8192, PROT_READ, MAP_SHARED, fileno(f), 0);
    (void)*(volatile char *)(p + 4096);
}
static void context_handler(int number, siginfo_t *i, void *context) {
    (void)number; (void)i;
    ucontext_t *u = context;
    u->uc_mcontext.gregs[REG_RAX] = 77;
    u->uc_mcontext.gregs[REG_RIP] += 2;
    count++;
}
static void *stack_seen;
static void on_stack(int number) { (void)number; int here; stack_seen = &here; count++; }
static volatile int spin = 1;
static void stop_spin(int number) { (void)number; spin = 0; }
static void *thread_body(void *argument) { (void)argument; while (spin) {} return 0; }
static void nest(int number) { (void)number; count++; if (count < 3) raise(SIGUSR2); printf("nest %d\n", (int)count); }

int main(void) {
    install(SIGUSR1, info, 0); raise(SIGUSR1);
    CHECK(count == 1 && last.si_signo == SIGUSR1 && last.si_code == SI_TKILL && last.si_pid == getpid());
    count = 0; kill(getpid(), SIGUSR1); CHECK(count == 1 && last.si_code == SI_USER);

    sigset_t set, old, pending; sigemptyset(&set); sigaddset(&set, SIGUSR1); sigaddset(&set, SIGRTMIN + 1); sigaddset(&set, SIGRTMIN);
    SHOW(sigprocmask(SIG_BLOCK, &set, &old)); count = 0; raise(SIGUSR1); raise(SIGUSR1);
    sigpending(&pending); CHECK(sigismember(&pending, SIGUSR1)); CHECK(count == 0);
    sigprocmask(SIG_SETMASK, &old, 0); CHECK(count == 1);

    sigprocmask(SIG_BLOCK, &set, 0);
    for (int i = 0; i < 3; i++) { union sigval v = {.sival_int = 10 + i}; SHOW(sigqueue(getpid(), SIGRTMIN + 1, v)); }
    union sigval v = {.sival_int = 5}; sigqueue(getpid(), SIGRTMIN, v);
    struct timespec none = {0}; siginfo_t got;
    for (int i = 0; i < 5; i++) { int n = sigtimedwait(&set, &got, &none); if (n < 0) SHOW(n); else printf("rt %d value %d code %d\n", n - SIGRTMIN, got.si_value.sival_int, got.si_code); }
    struct timespec brief = {0, 20000000}; double t = seconds(); SHOW(sigtimedwait(&set, &got, &brief)); CHECK(seconds() - t >= 0.02);
    sigprocmask(SIG_SETMASK, &old, 0);

    fault("null", null_write, SIGSEGV); CHECK(last.si_addr == (void *)8);
    fault("read only", read_only, SIGSEGV); fault("no execute", no_execute, SIGSEGV); fault("non canonical", non_canonical, SIGSEGV);
    fault("divide", divide, SIGFPE); fault("illegal", illegal, SIGILL); fault("breakpoint", breakpoint, SIGTRAP);
    fault("privileged", privileged, SIGSEGV); fault("beyond the end", beyond, SIGBUS);

    install(SIGILL, context_handler, 0); long rax = 1; count = 0; __asm__ volatile("ud2" : "+a"(rax)); printf("rax %ld\n", rax);
    double x = 1.5, y; install(SIGUSR1, info, 0); __asm__ volatile("" : "+x"(x)); raise(SIGUSR1); y = x * 2; printf("%.2f\n", y);

    static char alternate[65536]; stack_t st = {.ss_sp = alternate, .ss_size = sizeof alternate}, current;
    SHOW(sigaltstack(&st, 0)); struct sigaction a = {.sa_handler = on_stack, .sa_flags = SA_ONSTACK}; sigaction(SIGUSR1, &a, 0); raise(SIGUSR1);
    CHECK((char *)stack_seen >= alternate && (char *)stack_seen < alternate + sizeof alternate); sigaltstack(0, &current); CHECK(current.ss_flags == 0);

    struct sigaction n = {.sa_handler = nest, .sa_flags = SA_NODEFER}; sigaction(SIGUSR2, &n, 0); count = 0; raise(SIGUSR2);
    struct sigaction r = {.sa_handler = plain, .sa_flags = SA_RESETHAND}; sigaction(SIGUSR2, &r, 0); raise(SIGUSR2); sigaction(SIGUSR2, 0, &r); CHECK(r.sa_handler == SIG_DFL);

    int p[2]; pipe(p); char c; signal(SIGALRM, plain); siginterrupt(SIGALRM, 1); struct itimerval it = {.it_value.tv_usec = 20000}; setitimer(ITIMER_REAL, &it, 0); SHOW(read(p[0], &c, 1));
    siginterrupt(SIGALRM, 0); setitimer(ITIMER_REAL, &it, 0);
    if (!fork()) { usleep(60000); write(p[1], "z", 1); _exit(0); }
    SHOW(read(p[0], &c, 1)); wait(0);
    setitimer(ITIMER_REAL, &it, 0); struct pollfd pf = {.fd = p[0], .events = POLLIN}; SHOW(poll(&pf, 1, 1000));
    setitimer(ITIMER_REAL, &it, 0); SHOW(pause());
    setitimer(ITIMER_REAL, &it, 0); struct timespec long_sleep = {5, 0}, rest; SHOW(nanosleep(&long_sleep, &rest)); CHECK(rest.tv_sec == 4);
    it.it_interval.tv_usec = 5000; count = 0; setitimer(ITIMER_REAL, &it, 0); while (count < 5) {} it = (struct itimerval){0}; setitimer(ITIMER_REAL, &it, 0); CHECK(count >= 5);
    struct itimerval virtual = {.it_value.tv_usec = 20000}; signal(SIGVTALRM, stop_spin); setitimer(ITIMER_VIRTUAL, &virtual, 0); while (spin) {} puts("virtual timer");

    spin = 1; signal(SIGUSR1, stop_spin); pthread_t thread; pthread_create(&thread, 0, thread_body, 0); usleep(20000); pthread_kill(thread, SIGUSR1); pthread_join(thread, 0); puts("a spinning thread was interrupted");
    sigfillset(&set); sigprocmask(SIG_SETMASK, &set, 0); int status; pid_t child = fork(); if (!child) { raise(SIGTERM); sigprocmask(SIG_SETMASK, &old, 0); _exit(1); }
    waitpid(child, &status, 0); printf("blocked then unblocked: %d\n", WTERMSIG(status)); sigprocmask(SIG_SETMASK, &old, 0);
    child = fork(); if (!child) { for (;;) {} } kill(child, SIGSTOP); waitpid(child, &status, WUNTRACED); CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    kill(child, SIGCONT); waitpid(child, &status, WCONTINUED); CHECK(WIFCONTINUED(status)); kill(child, SIGKILL); waitpid(child, &status, 0); printf("killed by %d\n", WTERMSIG(status));
    SHOW(kill(999999, 0)); SHOW(kill(getpid(), 65)); SHOW(sigaction(SIGKILL, &a, 0)); SHOW(raise(0));
    return 0;
}
