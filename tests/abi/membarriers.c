// Barriers in other threads: membarrier(2)
#include "check.h"
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int barrier(int command, int flags) { return syscall(SYS_membarrier, command, flags, 0); }
static int pipes[2];
static volatile int stop, spinning;
static void *spin(void *p) { spinning++; while (!stop); return p; }
static void *block(void *p) { char c; read(pipes[0], &c, 1); return p; }
static void *nap(void *p) { while (!stop) usleep(500); return p; }

// Who stores and then looks, without a barrier of its own, against who has one made.
static volatile int x, y, first, second, turn;
static void *light(void *p) { for (int i = 1; i <= *(int *)p; i++) { while (turn != i); x = i; __asm__ volatile("" ::: "memory"); first = y; __atomic_fetch_add(&second, 1, __ATOMIC_SEQ_CST); while (turn == i); } return 0; }
static void heavy(int rounds) {
    pthread_t t; int bad = 0; pthread_create(&t, 0, light, &rounds); second = 0;
    for (int i = 1; i <= rounds; i++) { turn = i; y = i; barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0); int seen = x; while (second != i); bad += seen != i && first != i; }
    turn = -1; pthread_join(t, 0); SHOW(bad);
}

int main(void) {
    alarm(60); int known = barrier(MEMBARRIER_CMD_QUERY, 0); CHECK(known > 0); CHECK((known & 31) == 31); SHOW(barrier(MEMBARRIER_CMD_QUERY, 1)); SHOW(barrier(MEMBARRIER_CMD_GLOBAL, 1)); SHOW(barrier(3, 0)); SHOW(barrier(1 << 20, 0)); SHOW(barrier(-1, 0));
    SHOW(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0)); SHOW(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0)); SHOW(barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0)); SHOW(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0)); SHOW(barrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0)); SHOW(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0));
    pid_t c = fork(); if (!c) _exit(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) ? 1 : 0); int s; waitpid(c, &s, 0); SHOW(s); pipe(pipes); c = fork(); if (!c) { barrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0); for (;;); }
    pthread_t t[3]; pthread_create(&t[0], 0, spin, 0); pthread_create(&t[1], 0, block, 0); pthread_create(&t[2], 0, nap, 0); while (!spinning); usleep(2000);
    for (int i = 0; i < 20; i++) { if (barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0) || barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0) || barrier(MEMBARRIER_CMD_GLOBAL, 0)) puts("failed"); }
    kill(c, SIGSTOP); waitpid(c, &s, WUNTRACED); SHOW(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0)); kill(c, SIGKILL); waitpid(c, &s, 0); SHOW(s); SHOW(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0)); stop = 1; write(pipes[1], "x", 1); for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
    heavy(300); return 0;
}
