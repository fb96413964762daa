// Threads that make processes in every way at the same time: what each child sees of the memory, and
// what its parent's keeps. posix_spawn(3), vfork(2), fork(2)
#include "check.h"
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { ROUNDS = 40, THREADS = 6, PAGES = 64, PAGE = 4096 };
extern char **environ;

static int status_of(pid_t p) {
    int status;
    return waitpid(p, &status, 0) == p ? (WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status)) : -1;
}

// A child of fork has all of the memory as it was, and its changes stay its own.
static int forked(volatile unsigned char *memory, int round) {
    for (int page = 0; page < PAGES; page++) memory[page * PAGE] = (unsigned char)(round + page);
    pid_t p = fork();
    if (!p) {
        for (int page = 0; page < PAGES; page++)
            if (memory[page * PAGE] != (unsigned char)(round + page)) _exit(1);
            else memory[page * PAGE] = 0;
        _exit(42);
    }
    if (status_of(p) != 42) return 0;
    for (int page = 0; page < PAGES; page++)
        if (memory[page * PAGE] != (unsigned char)(round + page)) return 0;
    return 1;
}

static int spawned(int round) {
    char script[32];
    snprintf(script, sizeof script, "exit %d", round % 100 + 1);
    char *arguments[] = {"sh", "-c", script, 0};
    pid_t p;
    return !posix_spawn(&p, "/bin/sh", 0, 0, arguments, environ) && status_of(p) == round % 100 + 1;
}

// A child of vfork shares the memory until it executes.
static int shared(volatile int *word, int round) {
    char *arguments[] = {"true", 0};
    pid_t p = vfork();
    if (!p) {
        *word = round;
        execv("/bin/true", arguments);
        _exit(127);
    }
    return status_of(p) == 0 && *word == round;
}

static void *work(void *argument) {
    intptr_t number = (intptr_t)argument, good = 0;
    volatile unsigned char *memory = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile int word = -1;
    for (int round = 0; round < ROUNDS; round++) {
        if (number % 3 == 0) good += forked(memory, round);
        else if (number % 3 == 1) good += spawned(round);
        else good += shared(&word, round);
    }
    munmap((void *)memory, PAGES * PAGE);
    return (void *)good;
}

int main(void) {
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, work, (void *)i);
    for (int i = 0; i < THREADS; i++) {
        void *good;
        pthread_join(threads[i], &good);
        CHECK((intptr_t)good == ROUNDS);
    }
    // Nobody is left over.
    int status;
    CHECK(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);
    return 0;
}
