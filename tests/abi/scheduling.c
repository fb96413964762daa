// What threads are told of processors and time: sched(7), sysfs, timer_create(2), lseek(2) of devices,
// pidfd_send_signal(2), MAP_32BIT.
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static volatile sig_atomic_t ticks, signals;
static void tick(int number) {
    (void)number;
    ticks++;
}
static void count(int number) {
    (void)number;
    signals++;
}

static cpu_set_t one;
static void *in_thread(void *argument) {
    cpu_set_t now;
    CPU_ZERO(&now);
    *(int *)argument = sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &one);
    return 0;
}

static void affinity(void) {
    cpu_set_t all, now;
    CPU_ZERO(&all);
    SHOW(sched_getaffinity(0, sizeof all, &all));
    int last = 0;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all)) last = i;
    CPU_ZERO(&one);
    SHOW(sched_setaffinity(0, sizeof one, &one));
    CPU_SET(last, &one);
    SHOW(sched_setaffinity(0, sizeof one, &one));
    CPU_ZERO(&now);
    sched_getaffinity(0, sizeof now, &now);
    CHECK(CPU_EQUAL(&now, &one));
    int inherited = 0;
    pthread_t thread;
    pthread_create(&thread, 0, in_thread, &inherited);
    pthread_join(thread, 0);
    CHECK(inherited);
    pid_t child = fork();
    if (!child) {
        inherited = 0;
        in_thread(&inherited);
        _exit(inherited ? 7 : 8);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 7);
    char line[256], wanted[64];
    snprintf(wanted, sizeof wanted, "Cpus_allowed_list:\t%d\n", last);
    int found = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) found |= !strcmp(line, wanted);
    CHECK(found);
    SHOW(sched_setaffinity(0, sizeof all, &all));
    SHOW(syscall(SYS_sched_getaffinity, 0, 4, &now));
    SHOW(syscall(SYS_sched_getaffinity, -1, sizeof now, &now));
    SHOW(syscall(SYS_sched_getaffinity, 0, sizeof now + 1, &now));
    struct stat stat_;
    SHOW(stat("/sys/devices/system/cpu/cpu0/topology", &stat_));
    SHOW(stat("/sys/devices/system/cpu/cpu99999", &stat_));
}

static void policy(void) {
    struct sched_param none = {0}, high = {.sched_priority = 1};
    SHOW(sched_getscheduler(0));
    SHOW(sched_setscheduler(0, SCHED_BATCH, &none));
    SHOW(sched_getscheduler(0));
    SHOW(sched_setscheduler(0, SCHED_IDLE | SCHED_RESET_ON_FORK, &none));
    SHOW(sched_getscheduler(0));
    SHOW(sched_setscheduler(0, SCHED_OTHER, &high));
    SHOW(sched_setscheduler(0, 77, &none));
    SHOW(sched_setscheduler(0, -1, &none));
    SHOW(sched_setscheduler(-1, SCHED_OTHER, &none));
    SHOW(sched_setscheduler(0, SCHED_OTHER, 0));
    SHOW(sched_setscheduler(0, SCHED_OTHER, &none));
    SHOW(sched_setparam(0, &none));
    SHOW(sched_setparam(0, &high));
    SHOW(sched_getscheduler(0));
}

// An interval about as long as an interruption takes: the program must still get on.
static void fast_timer(void) {
    signal(SIGUSR1, tick);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t timer;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec fast = {{0, 10000}, {0, 10000}}, stop = {0};
    SHOW(timer_settime(timer, 0, &fast, 0));
    double end = seconds() + 0.05;
    while (seconds() < end || ticks < 10) {}
    SHOW(timer_settime(timer, 0, &stop, 0));
    CHECK(timer_getoverrun(timer) >= 0);
    SHOW(timer_delete(timer));
}

static void devices(void) {
    const char *names[] = {"/dev/null", "/dev/zero", "/dev/full"};
    for (int i = 0; i < 3; i++) {
        int fd = open(names[i], O_RDWR);
        SHOW(lseek(fd, 100, SEEK_SET));
        SHOW(lseek(fd, -100, SEEK_CUR));
        SHOW(lseek(fd, -100, SEEK_END));
        close(fd);
    }
}

int main(void) {
    affinity();
    policy();
    fast_timer();
    devices();
    signal(SIGUSR2, count);
    int directory = open("/proc/self", O_RDONLY | O_DIRECTORY);
    SHOW(syscall(SYS_pidfd_send_signal, directory, SIGUSR2, 0, 0));
    CHECK(signals == 1);
    int other = open("/", O_RDONLY | O_DIRECTORY);
    SHOW(syscall(SYS_pidfd_send_signal, other, SIGUSR2, 0, 0));
    void *low = (void *)0x50000000;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT;
    CHECK(mmap(low, 4096, PROT_READ, flags, -1, 0) == low);
    char *elsewhere = mmap(low, 4096, PROT_READ, flags, -1, 0);
    CHECK(elsewhere != low && elsewhere < (char *)0x80000000);
    return 0;
}
