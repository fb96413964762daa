// Stopping the world from a task that shares the memory, as leak detectors do: ptrace(2).
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

static int ends[2];
static atomic_int ready, done, spins, may_trace;
static pid_t ids[3];
static void *stacks[3];
static int results[3], regsets[3];
static char read_byte;

static void begin(int index) {
    int here;
    ids[index] = syscall(SYS_gettid);
    stacks[index] = &here;
    atomic_fetch_add(&ready, 1);
}
static void *reader(void *argument) {
    begin(0);
    read(ends[0], &read_byte, 1);
    return argument;
}
static void *spinner(void *argument) {
    begin(1);
    while (!atomic_load(&done)) atomic_fetch_add(&spins, 1);
    return argument;
}

// Attaches, looks, and lets go; 0 if all was as it should be.
static int look(int index) {
    pid_t id = ids[index];
    int status;
    struct user_regs_struct registers, again;
    struct iovec vector = {&again, sizeof again};
    if (ptrace(PTRACE_ATTACH, id, 0, 0)) return 1;
    if (ptrace(PTRACE_ATTACH, id, 0, 0) != -1 || errno != EPERM) return 2;
    if (waitpid(id, &status, __WALL) != id || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP) return 3;
    if (ptrace(PTRACE_GETREGS, id, 0, &registers)) return 4;
    if (ptrace(PTRACE_GETREGSET, id, 1, &vector) || vector.iov_len != sizeof again) return 5;
    regsets[index] = !memcmp(&registers, &again, sizeof again);
    long distance = (char *)registers.rsp - (char *)stacks[index];
    if (distance < -65536 || distance > 65536) return 6;
    if (index == 1) {
        int before = spins;
        usleep(10000);
        if (spins != before) return 7;
    }
    if (ptrace(PTRACE_DETACH, id, 0, 0)) return 8;
    if (ptrace(PTRACE_DETACH, id, 0, 0) != -1 || errno != ESRCH) return 9;
    return 0;
}

static int tracer(void *argument) {
    (void)argument;
    while (!atomic_load(&may_trace)) sched_yield();
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < 3; i++)
            if (!results[i]) results[i] = look(i);
    // A thread that its holder does not let go goes on when the holder ends.
    int status;
    ptrace(PTRACE_ATTACH, ids[1], 0, 0);
    waitpid(ids[1], &status, __WALL);
    atomic_store(&done, 1);
    return 7;
}

int main(void) {
    static char stack[65536];
    pthread_t threads[2];
    pipe(ends);
    begin(2);
    pthread_create(&threads[0], 0, reader, 0);
    pthread_create(&threads[1], 0, spinner, 0);
    while (ready < 3) sched_yield();
    SHOW(ptrace(PTRACE_ATTACH, ids[1], 0, 0));
    SHOW(ptrace(PTRACE_DETACH, ids[1], 0, 0));
    SHOW(ptrace(PTRACE_ATTACH, 1 << 22, 0, 0));
    pid_t pid = clone(tracer, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES, 0);
    prctl(PR_SET_PTRACER, pid);
    atomic_store(&may_trace, 1);
    while (!atomic_load(&done)) sched_yield();
    int status = 0;
    SHOW(waitpid(pid, &status, __WALL) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    for (int i = 0; i < 3; i++) printf("thread %d: %d, sets %s\n", i, results[i], regsets[i] ? "agree" : "differ");
    write(ends[1], "x", 1);
    pthread_join(threads[0], 0);
    pthread_join(threads[1], 0);
    printf("read %c\n", read_byte);
    return 0;
}
