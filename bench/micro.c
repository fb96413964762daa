// Microbenchmarks of the system-call interface: micro NAME prints "NAME NANOSECONDS" for one
// operation (the median of several batches), micro list prints the names.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 9, PAGE = 4096 };
static const double BATCH_NS = 30e6;

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}
#define OK(call) ({ __typeof__(call) r_ = (call); if ((long)r_ == -1) fail(#call); r_; })

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// Runs `operation(count)` in batches of about BATCH_NS, and returns the median time of one.
static double median_of(void (*operation)(long)) {
    long count = 1;
    for (;;) {
        double start = now_ns();
        operation(count);
        double spent = now_ns() - start;
        if (spent > BATCH_NS / 4 || count > (1L << 30)) {
            count = (long)(count * (BATCH_NS / (spent + 1))) + 1;
            break;
        }
        count *= 2;
    }
    double times[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        double start = now_ns();
        operation(count);
        times[i] = (now_ns() - start) / count;
    }
    qsort(times, BATCHES, sizeof *times, compare);
    return times[BATCHES / 2];
}

static char file_name[64];
static int fd;
static char buffer[PAGE];

static void make_file(size_t bytes) {
    snprintf(file_name, sizeof file_name, "/tmp/micro-%d", getpid());
    fd = OK(open(file_name, O_RDWR | O_CREAT | O_TRUNC, 0600));
    OK(ftruncate(fd, bytes));
    for (size_t at = 0; at < bytes; at += PAGE) OK(pwrite(fd, buffer, PAGE, at));
}

#define EACH for (long i_ = 0; i_ < count; i_++)
static void op_getppid(long count) { EACH syscall(SYS_getppid); }
static void op_clock(long count) { struct timespec t; EACH clock_gettime(CLOCK_MONOTONIC, &t); }
static void op_pread(long count) { EACH if (pread(fd, buffer, PAGE, 0) != PAGE) fail("pread"); }
static void op_pwrite(long count) { EACH if (pwrite(fd, buffer, PAGE, 0) != PAGE) fail("pwrite"); }
static void op_open(long count) { EACH OK(close(OK(open(file_name, O_RDONLY)))); }
static void op_stat(long count) { struct stat s; EACH OK(stat(file_name, &s)); }
static void op_create(long count) {
    char name[80];
    snprintf(name, sizeof name, "%s-new", file_name);
    EACH { OK(close(OK(open(name, O_WRONLY | O_CREAT | O_EXCL, 0600)))); OK(unlink(name)); }
}
static void op_readdir(long count) {
    EACH { DIR *d = opendir(file_name); int n = 0; while (readdir(d)) n++; closedir(d); if (n < 102) fail("readdir"); }
}
static void op_mmap(long count) {
    EACH { void *p = OK(mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); OK(munmap(p, PAGE)); }
}
static void op_touch(long count) {
    const size_t size = 1 << 20;
    EACH {
        char *p = OK(mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        for (size_t at = 0; at < size; at += PAGE) p[at] = 1;
        OK(munmap(p, size));
    }
}
static char *page;
static void op_mprotect(long count) {
    EACH { OK(mprotect(page, PAGE, PROT_READ)); OK(mprotect(page, PAGE, PROT_READ | PROT_WRITE)); }
}
static void op_file_map(long count) {
    EACH {
        volatile char *p = OK(mmap(0, 16 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0));
        for (int at = 0; at < 16 * PAGE; at += PAGE) (void)p[at];
        OK(munmap((void *)p, 16 * PAGE));
    }
}
static void wait_for(pid_t child) {
    int status;
    OK(waitpid(child, &status, 0));
    if (status) { errno = 0; fail("the child failed"); }
}
static void op_fork(long count) { EACH { pid_t p = OK(fork()); if (!p) _exit(0); wait_for(p); } }
static char *const true_args[] = {"true", 0};
static char *const no_env[] = {0};
static const char *true_program = "/bin/true";
static void op_fork_exec(long count) { EACH { pid_t p = OK(fork()); if (!p) { execve(true_program, true_args, no_env); _exit(9); } wait_for(p); } }
static void op_vfork_exec(long count) { EACH { pid_t p = OK(vfork()); if (!p) { execve(true_program, true_args, no_env); _exit(9); } wait_for(p); } }
static void op_spawn(long count) {
    EACH { pid_t p; errno = posix_spawn(&p, true_program, 0, 0, true_args, no_env); if (errno) fail("posix_spawn"); wait_for(p); }
}
static void *nothing(void *argument) { return argument; }
static void op_thread(long count) { EACH { pthread_t t; if (pthread_create(&t, 0, nothing, 0)) fail("pthread_create"); pthread_join(t, 0); } }
static int epoll;
static void op_epoll(long count) { struct epoll_event e; EACH if (epoll_wait(epoll, &e, 1, -1) != 1) fail("epoll_wait"); }
static volatile sig_atomic_t hits;
static void on_signal(int number) { (void)number; hits++; }
static void op_signal(long count) { EACH raise(SIGUSR1); }
static sigjmp_buf escape;
static void on_fault(int number) { (void)number; siglongjmp(escape, 1); }
static void op_fault(long count) { static volatile int *volatile bad = (int *)8; EACH if (!sigsetjmp(escape, 0)) *bad = 1; }
static int word;
static void op_wake_none(long count) { EACH syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0); }

// Ping-pong: one byte there and back through two descriptors.
static int there[2], back[2];
static void echo(void) { char c; while (read(there[0], &c, 1) == 1 && c == 'p') OK(write(back[1], &c, 1)); }
static void *echo_thread(void *argument) { echo(); return argument; }
static void op_ping(long count) { char c = 'p'; EACH { OK(write(there[1], &c, 1)); if (read(back[0], &c, 1) != 1) fail("read"); } }
static double ping_threads(void) {
    pthread_t t;
    if (pthread_create(&t, 0, echo_thread, 0)) fail("pthread_create");
    double result = median_of(op_ping);
    OK(write(there[1], "q", 1));
    pthread_join(t, 0);
    return result;
}
static double ping_processes(void) {
    pid_t p = OK(fork());
    if (!p) { echo(); _exit(0); }
    double result = median_of(op_ping);
    OK(write(there[1], "q", 1));
    wait_for(p);
    return result;
}
static void pipes(void) { OK(pipe(there)); OK(pipe(back)); }
static void sockets(void) {
    int pair[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    there[1] = back[0] = pair[0];
    there[0] = back[1] = pair[1];
}
static _Atomic int ball;
static void *futex_echo(void *argument) {
    for (;;) {
        int v;
        while ((v = ball) == 0) syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
        if (v == -1) return argument;
        ball = 0;
        syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    }
}
static void op_futex(long count) {
    EACH {
        ball = 1;
        syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
        while (ball == 1) syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, 1, 0, 0, 0);
    }
}
static double ping_futex(void) {
    pthread_t t;
    if (pthread_create(&t, 0, futex_echo, 0)) fail("pthread_create");
    double result = median_of(op_futex);
    ball = -1;
    syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    pthread_join(t, 0);
    return result;
}
// Throughput of a pipe, as the time of one 128 KiB write.
static char big[128 << 10];
static void *drain(void *argument) { static char sink[128 << 10]; while (read(there[0], sink, sizeof sink) > 0) {} return argument; }
static void op_stream(long count) { EACH for (size_t done = 0; done < sizeof big;) done += OK(write(there[1], big + done, sizeof big - done)); }
static double stream(void) {
    pthread_t t;
    OK(pipe(there));
    if (pthread_create(&t, 0, drain, 0)) fail("pthread_create");
    double result = median_of(op_stream);
    close(there[1]);
    pthread_join(t, 0);
    return result;
}
// First touches of fresh pages; mapping and unmapping are not counted.
static double page_fault(void) {
    const size_t size = 32 << 20;
    double times[BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        char *p = OK(mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        double start = now_ns();
        for (size_t at = 0; at < size; at += PAGE) p[at] = 1;
        times[i] = (now_ns() - start) / (size / PAGE);
        OK(munmap(p, size));
    }
    qsort(times, BATCHES, sizeof *times, compare);
    return times[BATCHES / 2];
}

static double plain(void (*operation)(long)) { return median_of(operation); }
static double with_file(void (*operation)(long)) {
    make_file(16 * PAGE);
    double result = median_of(operation);
    unlink(file_name);
    return result;
}
static double with_directory(void (*operation)(long)) {
    char name[96];
    snprintf(file_name, sizeof file_name, "/tmp/micro-%d", getpid());
    OK(mkdir(file_name, 0700));
    for (int i = 0; i < 100; i++) { snprintf(name, sizeof name, "%s/%d", file_name, i); OK(close(OK(creat(name, 0600)))); }
    double result = median_of(operation);
    for (int i = 0; i < 100; i++) { snprintf(name, sizeof name, "%s/%d", file_name, i); unlink(name); }
    rmdir(file_name);
    return result;
}
static double b_pipe_threads(void) { pipes(); return ping_threads(); }
static double b_pipe_processes(void) { pipes(); return ping_processes(); }
static double b_unix_threads(void) { sockets(); return ping_threads(); }
static double b_unix_processes(void) { sockets(); return ping_processes(); }
static double b_mprotect(void) { page = OK(mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); page[0] = 1; return median_of(op_mprotect); }
static double b_epoll(void) {
    struct epoll_event e = {.events = EPOLLIN};
    epoll = OK(epoll_create1(0));
    OK(epoll_ctl(epoll, EPOLL_CTL_ADD, OK(eventfd(1, 0)), &e));
    return median_of(op_epoll);
}
static double b_signal(void) {
    struct sigaction a = {.sa_handler = on_signal};
    OK(sigaction(SIGUSR1, &a, 0));
    double result = median_of(op_signal);
    if (!hits) { errno = 0; fail("the handler never ran"); }
    return result;
}
static double b_fault(void) {
    struct sigaction a = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    OK(sigaction(SIGSEGV, &a, 0));
    return median_of(op_fault);
}

static const struct { const char *name; double (*run)(void); double (*around)(void (*)(long)); void (*operation)(long); } BENCHMARKS[] = {
    {"getppid", 0, plain, op_getppid}, {"clock_gettime", 0, plain, op_clock},
    {"pread_4k", 0, with_file, op_pread}, {"pwrite_4k", 0, with_file, op_pwrite},
    {"open_close", 0, with_file, op_open}, {"stat", 0, with_file, op_stat},
    {"create_unlink", 0, with_file, op_create}, {"readdir_100", 0, with_directory, op_readdir},
    {"pipe_threads", b_pipe_threads, 0, 0}, {"pipe_processes", b_pipe_processes, 0, 0},
    {"unix_threads", b_unix_threads, 0, 0}, {"unix_processes", b_unix_processes, 0, 0},
    {"futex_threads", ping_futex, 0, 0}, {"futex_wake_none", 0, plain, op_wake_none},
    {"pipe_128k", stream, 0, 0}, {"epoll_1", b_epoll, 0, 0},
    {"mmap_munmap", 0, plain, op_mmap}, {"mmap_touch_1m", 0, plain, op_touch},
    {"page_fault", page_fault, 0, 0}, {"mprotect_pair", b_mprotect, 0, 0},
    {"mmap_file_64k", 0, with_file, op_file_map}, {"thread", 0, plain, op_thread},
    {"fork_wait", 0, plain, op_fork}, {"fork_exec", 0, plain, op_fork_exec},
    {"vfork_exec", 0, plain, op_vfork_exec}, {"posix_spawn", 0, plain, op_spawn},
    {"signal", b_signal, 0, 0}, {"segv_handler", b_fault, 0, 0},
};

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < sizeof BENCHMARKS / sizeof *BENCHMARKS; i++) {
        if (argc == 2 && !strcmp(argv[1], "list")) puts(BENCHMARKS[i].name);
        else if (argc == 2 && !strcmp(argv[1], BENCHMARKS[i].name)) {
            double ns = BENCHMARKS[i].run ? BENCHMARKS[i].run() : BENCHMARKS[i].around(BENCHMARKS[i].operation);
            printf("%s %.1f\n", BENCHMARKS[i].name, ns);
            return 0;
        }
    }
    return argc == 2 && !strcmp(argv[1], "list") ? 0 : (fprintf(stderr, "usage: micro NAME|list\n"), 2);
}
