// Locks with an owner: futex(2) FUTEX_LOCK_PI and its kin, pthread_mutexattr_setprotocol(3)
#include "check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif
#define PRIVATE FUTEX_PRIVATE_FLAG
static long futex(void *a, int op, unsigned v, const void *t, void *b, unsigned w) { return syscall(SYS_futex, a, op, v, t, b, w); }
static int me(void) { return syscall(SYS_gettid); }
static uint32_t word, other, lock;
// The word, with thread ids told apart: 1 for the caller, 2 for anybody else.
static unsigned state(uint32_t w) { unsigned t = w & FUTEX_TID_MASK; return (w & ~FUTEX_TID_MASK) | (!t ? 0 : (int)t == me() ? 1 : 2); }
static void until(uint32_t *w, uint32_t bits) { for (int i = 0; i < 5000 && !(__atomic_load_n(w, __ATOMIC_SEQ_CST) & bits); i++) usleep(1000); }
static volatile int hits;
static void on(int s) { (void)s; hits++; }

static unsigned taken;
static void *take(void *op) { long r = futex(&word, (int)(long)op, 0, 0, 0, 0); taken = state(word) | r; r = futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0); return (void *)r; }
static void *hold(void *p) { futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0); *(volatile int *)p = 1; until(&word, FUTEX_WAITERS); usleep(5000); if (p != (void *)&hits) futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0); return 0; }
static void *try(void *p) { (void)p; long r = futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, 0, 0, 0); return (void *)(long)(r ? errno : 0); }

static void basics(void) {
    SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, 0, 0, 0)); SHOW(futex(&word, FUTEX_LOCK_PI, 0, 0, 0, 0)); SHOW(state(word)); SHOW(futex(&word, FUTEX_LOCK_PI, 0, 0, 0, 0)); SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, 0, 0, 0)); SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, 0, 0, 0)); SHOW(word); SHOW(futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, 0, 0, 0)); SHOW(state(word)); SHOW(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0));
    word = FUTEX_OWNER_DIED; SHOW(futex(&word, FUTEX_LOCK_PI, 0, 0, 0, 0)); SHOW(state(word)); SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, 0, 0, 0)); SHOW(word); word = 0x3ffffff0; SHOW(futex(&word, FUTEX_LOCK_PI, 0, 0, 0, 0)); SHOW(word); word = 0x3ffffff0; SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, 0, 0, 0)); SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, 0, 0, 0)); word = 0;
    SHOW(futex((void *)8, FUTEX_LOCK_PI, 0, 0, 0, 0)); SHOW(futex((char *)&word + 1, FUTEX_LOCK_PI, 0, 0, 0, 0)); struct timespec bad = {0, 2000000000}; SHOW(futex(&word, FUTEX_LOCK_PI, 0, &bad, 0, 0)); SHOW(futex(&word, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME, 0, 0, 0, 0)); SHOW(futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0)); SHOW(futex(&word, FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME, 0, 0, 0, 0)); SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, 0, 0, 0));
}

static void contended(void) {
    pthread_t t; void *r; for (int i = 0; i < 3; i++) { int op = i == 0 ? FUTEX_LOCK_PI : i == 1 ? FUTEX_LOCK_PI | PRIVATE : FUTEX_LOCK_PI2 | PRIVATE; int un = i == 0 ? FUTEX_UNLOCK_PI : FUTEX_UNLOCK_PI | PRIVATE; if (!i) continue; futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0); pthread_create(&t, 0, take, (void *)(long)op); until(&word, FUTEX_WAITERS); SHOW(state(word)); usleep(5000); long let = futex(&word, un, 0, 0, 0, 0); pthread_join(t, &r); SHOW(let); SHOW(taken); SHOW(r); SHOW(word); }
    futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0); pthread_create(&t, 0, try, 0); pthread_join(t, &r); CHECK((long)r == EAGAIN); SHOW(state(word)); SHOW(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0)); SHOW(word);
    // Timeouts and signals.
    volatile int held = 0; pthread_create(&t, 0, hold, (void *)&held); while (!held) usleep(1000); struct timespec past = {1, 0}; SHOW(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, &past, 0, 0)); pthread_join(t, 0); SHOW(word & FUTEX_TID_MASK);
    word = 0; held = 0; pthread_create(&t, 0, hold, (void *)&held); while (!held) usleep(1000); struct timespec soon; clock_gettime(CLOCK_MONOTONIC, &soon); soon.tv_sec += 30; SHOW(futex(&word, FUTEX_LOCK_PI2 | PRIVATE, 0, &soon, 0, 0)); SHOW(state(word)); SHOW(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0)); pthread_join(t, 0); SHOW(word);
    // An owner that ends without a word.
    held = 0; pthread_create(&t, 0, hold, (void *)&hits); while (!hits) usleep(1000); SHOW(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0)); SHOW(state(word)); SHOW(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0)); SHOW(word & FUTEX_TID_MASK); pthread_join(t, 0); word = 0; hits = 0;
}

static void *waiter(void *p) { long r = futex(&word, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 1, 0, &lock, 0); long e = r ? errno : 0; printf("waiter %ld: %d\n", e, (lock & FUTEX_TID_MASK) == me()); fflush(stdout); if (!r) futex(&lock, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0); __atomic_fetch_add((int *)p, 1, __ATOMIC_SEQ_CST); return 0; }
static void requeue(void) {
    word = 1; SHOW(futex(&word, FUTEX_WAIT_REQUEUE_PI, 2, 0, &lock, 0)); SHOW(futex(&word, FUTEX_WAIT_REQUEUE_PI, 1, 0, &word, 0)); struct timespec past = {1, 0}; SHOW(futex(&word, FUTEX_WAIT_REQUEUE_PI, 1, &past, &lock, 0)); SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 2, (void *)1, &lock, 1)); SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &word, 1)); SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &lock, 2)); SHOW(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &lock, 1));
    pthread_t t[3]; int done = 0; for (int i = 0; i < 3; i++) pthread_create(&t[i], 0, waiter, &done); long moved = 0; SHOW(futex(&lock, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0)); for (int i = 0; i < 5000 && moved < 3; i++) { long n = futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, (void *)5, &lock, 1); if (n > 0) moved += n; usleep(1000); } SHOW(moved); SHOW(__atomic_load_n(&done, __ATOMIC_SEQ_CST)); SHOW(state(lock)); long let = futex(&lock, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0); for (int i = 0; i < 3; i++) pthread_join(t[i], 0); SHOW(let); SHOW(done); SHOW(lock);
    done = 0; pthread_create(&t[0], 0, waiter, &done); moved = 0; for (int i = 0; i < 5000 && !moved; i++) { long n = futex(&word, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, 0, &lock, 1); if (n > 0) moved += n; usleep(1000); } pthread_join(t[0], 0); SHOW(moved); SHOW(lock); word = 0;
}

// The C library's mutexes, in one process and between two.
static pthread_mutex_t *mutex;
static int counter;
static void *add(void *p) { (void)p; for (int i = 0; i < 2000; i++) { pthread_mutex_lock(mutex); counter++; pthread_mutex_unlock(mutex); } return 0; }
static void *die(void *p) { (void)p; pthread_mutex_lock(mutex); return 0; }
static void mutexes(void) {
    mutex = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); pthread_mutexattr_t a; pthread_mutexattr_init(&a); SHOW(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT)); SHOW(pthread_mutex_init(mutex, &a)); pthread_t t[4]; for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, add, 0); for (int i = 0; i < 4; i++) pthread_join(t[i], 0); SHOW(counter); SHOW(pthread_mutex_destroy(mutex));
    for (int shared = 0; shared < 2; shared++) {
        pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST); if (shared) pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED); SHOW(pthread_mutex_init(mutex, &a)); pthread_create(&t[0], 0, die, 0); pthread_join(t[0], 0); CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD); SHOW(pthread_mutex_consistent(mutex)); SHOW(pthread_mutex_unlock(mutex)); SHOW(pthread_mutex_lock(mutex)); CHECK(pthread_mutex_trylock(mutex) == EBUSY); SHOW(pthread_mutex_unlock(mutex));
        if (shared) { int p[2]; pipe(p); char c; pid_t k = fork(); if (!k) { pthread_mutex_lock(mutex); write(p[1], "x", 1); until((uint32_t *)mutex, FUTEX_WAITERS); usleep(5000); kill(getpid(), SIGKILL); } read(p[0], &c, 1); CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD); waitpid(k, 0, 0); SHOW(pthread_mutex_consistent(mutex)); k = fork(); if (!k) _exit(pthread_mutex_trylock(mutex) == EBUSY ? pthread_mutex_lock(mutex) : 99); until((uint32_t *)mutex, FUTEX_WAITERS); SHOW(pthread_mutex_unlock(mutex)); int s; waitpid(k, &s, 0); SHOW(s); CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD); SHOW(pthread_mutex_unlock(mutex)); CHECK(pthread_mutex_lock(mutex) == ENOTRECOVERABLE); }
        pthread_mutex_destroy(mutex);
    }
    pthread_cond_t c = PTHREAD_COND_INITIALIZER; pthread_mutexattr_init(&a); pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT); pthread_mutex_init(mutex, &a); struct timespec t0; clock_gettime(CLOCK_REALTIME, &t0); t0.tv_nsec = (t0.tv_nsec + 10000000) % 1000000000; pthread_mutex_lock(mutex); int r = pthread_cond_timedwait(&c, mutex, &t0); CHECK(r == ETIMEDOUT); SHOW(pthread_mutex_unlock(mutex));
}

int main(void) {
    struct sigaction a = {.sa_handler = on}; sigaction(SIGUSR1, &a, 0); alarm(60); basics(); contended(); requeue(); mutexes(); return 0;
}
