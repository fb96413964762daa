// System V IPC: shmget(2), shmat(2), shmctl(2), semget(2), semop(2), semctl(2), msgget(2), msgsnd(2), msgrcv(2), msgctl(2)
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>

static int key;
static volatile int hits;
static void on(int s) { (void)s; hits++; }
static int status(pid_t c) { int s = -1; waitpid(c, &s, 0); return s; }
// Lines about an object in /proc/sysvipc, with what varies left out.
static void listed(const char *kind, int id) {
    char name[64], line[512]; snprintf(name, sizeof name, "/proc/sysvipc/%s", kind); FILE *f = fopen(name, "r"); fgets(line, sizeof line, f); printf("%s", line);
    while (fgets(line, sizeof line, f)) { int k, i, mode; if (sscanf(line, "%d %d %o", &k, &i, &mode) == 3 && i == id) printf("key %s mode %o length %zu\n", k == key ? "ours" : k ? "other" : "private", mode, strlen(line)); }
    fclose(f); fflush(stdout);
}

static void segments(void) {
    struct shmid_ds d; SHOW(shmget(key, 100, 0600)); SHOW(shmget(key, 0, IPC_CREAT | 0600)); int id = shmget(key, 5000, IPC_CREAT | 0640); CHECK(id >= 0); CHECK(shmget(key, 100, 0) == id); CHECK(shmget(key, 5000, IPC_CREAT | 0600) == id); SHOW(shmget(key, 5001, 0)); SHOW(shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0600));
    SHOW(shmctl(id, IPC_STAT, &d)); SHOW(d.shm_segsz); SHOW(d.shm_nattch); SHOW(d.shm_perm.mode); CHECK(d.shm_cpid == getpid() && d.shm_lpid == 0 && d.shm_atime == 0 && d.shm_dtime == 0 && time(0) - d.shm_ctime < 5); CHECK(d.shm_perm.__key == key && d.shm_perm.uid == geteuid() && d.shm_perm.cgid == getegid());
    char *m = shmat(id, 0, 0), *r = shmat(id, 0, SHM_RDONLY); CHECK(m != (void *)-1 && r != (void *)-1 && r != m); strcpy(m, "shared"); puts(r); SHOW(shmctl(id, IPC_STAT, &d)); SHOW(d.shm_nattch); CHECK(d.shm_lpid == getpid() && time(0) - d.shm_atime < 5); CHECK(m[4999] == 0 && m[8191] == 0); listed("shm", id);
    SHOW(mprotect(r, 4096, PROT_READ | PROT_WRITE)); SHOW(shmat(id, m, 0)); SHOW(shmat(id, m + 1, 0)); SHOW(shmat(id, m + 8192 * 4 + 5, SHM_REMAP)); SHOW(shmat(id, 0, SHM_REMAP)); SHOW(shmat(-1, 0, 0)); SHOW(shmat(id + 12345, 0, 0)); SHOW(shmdt(m + 4096)); SHOW(shmdt(m + 1)); SHOW(shmdt(&hits));
    char *there = mmap(0, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); CHECK(shmat(id, there + 100, SHM_RND | SHM_REMAP) == there); puts(there); munmap(there + 8192, 57344); CHECK(shmat(id, there + 8192 + 7, SHM_RND) == there + 8192); SHOW(shmctl(id, IPC_STAT, &d)); SHOW(d.shm_nattch); SHOW(shmdt(there)); SHOW(shmdt(there)); SHOW(shmdt(there + 8192));
    pid_t c = fork(); if (!c) { shmctl(id, IPC_STAT, &d); SHOW(d.shm_nattch); strcpy(m, "child"); SHOW(shmdt(r)); shmctl(id, IPC_STAT, &d); SHOW(d.shm_nattch); _exit(0); } SHOW(status(c)); puts(r); shmctl(id, IPC_STAT, &d); SHOW(d.shm_nattch); CHECK(d.shm_lpid == c);
    c = fork(); if (!c) { execl("/bin/true", "true", NULL); _exit(1); } SHOW(status(c)); shmctl(id, IPC_STAT, &d); SHOW(d.shm_nattch); CHECK(time(0) - d.shm_dtime < 5);
    d.shm_perm.mode = 0600; d.shm_perm.uid = geteuid(); SHOW(shmctl(id, IPC_SET, &d)); shmctl(id, IPC_STAT, &d); SHOW(d.shm_perm.mode); SHOW(shmctl(id, SHM_LOCK, 0)); shmctl(id, IPC_STAT, &d); SHOW(d.shm_perm.mode); SHOW(shmctl(id, SHM_UNLOCK, 0)); SHOW(shmctl(id, 99, &d)); SHOW(shmctl(id, IPC_STAT, (void *)8));
    SHOW(shmctl(id, IPC_RMID, 0)); SHOW(shmget(key, 0, 0)); SHOW(shmctl(id, IPC_STAT, &d)); SHOW(d.shm_perm.mode); CHECK(d.shm_perm.__key == IPC_PRIVATE); listed("shm", id); char *again = shmat(id, 0, 0); CHECK(again != (void *)-1); puts(again); shmdt(again); SHOW(shmdt(m)); SHOW(shmctl(id, IPC_STAT, &d)); SHOW(shmdt(r)); SHOW(shmctl(id, IPC_STAT, &d)); SHOW(shmat(id, 0, 0));
    id = shmget(IPC_PRIVATE, 4096, 0600); CHECK(shmget(IPC_PRIVATE, 4096, 0600) != id); struct shminfo info; CHECK(shmctl(0, IPC_INFO, (void *)&info) >= 0); SHOW(info.shmmin); SHOW(info.shmmni); struct shm_info use; int top = shmctl(0, SHM_INFO, (void *)&use); CHECK(top >= 0 && use.used_ids >= 2); int seen = 0; for (int i = 0; i <= top; i++) { int other = shmctl(i, SHM_STAT, &d); if (other >= 0 && d.shm_perm.cuid == geteuid() && d.shm_cpid == getpid()) { seen++; shmctl(other, IPC_RMID, 0); } } SHOW(seen); SHOW(shmctl(id, IPC_STAT, &d));
    // Removed while only a child has it.
    id = shmget(IPC_PRIVATE, 4096, 0600); m = shmat(id, 0, 0); c = fork(); if (!c) { pause(); _exit(0); } shmdt(m); shmctl(id, IPC_RMID, 0); SHOW(shmctl(id, IPC_STAT, &d)); kill(c, SIGKILL); status(c); SHOW(shmctl(id, IPC_STAT, &d));
    if (!geteuid()) { id = shmget(key, 4096, IPC_CREAT | 0640); c = fork(); if (!c) { setgid(12345); setuid(12345); CHECK(shmget(key, 0, 0) == id); SHOW(shmget(key, 0, 0400)); SHOW(shmat(id, 0, SHM_RDONLY)); SHOW(shmctl(id, IPC_STAT, &d)); SHOW(shmctl(id, IPC_RMID, 0)); SHOW(shmctl(id, IPC_SET, &d)); SHOW(shmctl(id, SHM_LOCK, 0)); _exit(0); } status(c); shmctl(id, IPC_RMID, 0); }
}

union semun { int val; struct semid_ds *buf; unsigned short *array; struct seminfo *info; };
static int op(int id, int number, int change, int flags) { struct sembuf o = {number, change, flags}; return semop(id, &o, 1); }
static int value(int id, int number) { return semctl(id, number, GETVAL); }
static void waits(int id, int number, int command, int count) { for (int i = 0; i < 5000 && semctl(id, number, command) < count; i++) usleep(1000); }
static int sems;
static void *down(void *n) { return (void *)(long)(op(sems, (long)n, -1, 0) ? errno : 0); }

static void semaphores(void) {
    struct semid_ds d; union semun u = {.buf = &d}; SHOW(semget(key, 0, IPC_CREAT | 0600)); SHOW(semget(key, 40000, IPC_CREAT | 0600)); SHOW(semget(key, 1, 0)); int id = sems = semget(key, 3, IPC_CREAT | 0600); CHECK(id >= 0); CHECK(semget(key, 2, 0) == id); SHOW(semget(key, 4, 0)); SHOW(semget(key, 3, IPC_CREAT | IPC_EXCL));
    SHOW(semctl(id, 0, IPC_STAT, u)); SHOW(d.sem_nsems); SHOW(d.sem_otime); listed("sem", id); SHOW(value(id, 0)); SHOW(value(id, 3)); SHOW(value(id, -1)); u.val = 5; SHOW(semctl(id, 1, SETVAL, u)); u.val = 40000; SHOW(semctl(id, 1, SETVAL, u)); u.val = -1; SHOW(semctl(id, 1, SETVAL, u)); CHECK(semctl(id, 1, GETPID) == getpid()); SHOW(semctl(id, 0, GETPID)); unsigned short all[3]; u.array = all; SHOW(semctl(id, 0, GETALL, u)); SHOW(all[1]); all[0] = 1, all[2] = 3; SHOW(semctl(id, 0, SETALL, u)); all[0] = 40000; SHOW(semctl(id, 0, SETALL, u)); SHOW(value(id, 2)); SHOW(semctl(id, 0, 99, u));
    SHOW(op(id, 0, -1, 0)); SHOW(op(id, 0, -1, IPC_NOWAIT)); SHOW(op(id, 1, 0, IPC_NOWAIT)); SHOW(op(id, 0, 0, 0)); SHOW(op(id, 3, 1, 0)); SHOW(op(id, 2, 32767, 0)); SHOW(op(id, 2, 32764, 0)); SHOW(op(id, 2, 1, 0)); SHOW(semop(id, 0, 0)); SHOW(semop(id, (void *)8, 1)); struct sembuf many[501] = {{0}}; SHOW(semop(id, many, 501)); SHOW(semop(-1, many, 1)); SHOW(semop(id + 4567, many, 1)); semctl(id, 0, IPC_STAT, (union semun){.buf = &d}); CHECK(time(0) - d.sem_otime < 5);
    struct sembuf three[3] = {{0, 1, 0}, {1, -2, 0}, {2, -40, 0}}; SHOW(semop(id, three, 3)); SHOW(value(id, 0)); SHOW(value(id, 1)); SHOW(value(id, 2)); three[2].sem_op = 30000; SHOW(semop(id, three, 3)); SHOW(value(id, 0)); SHOW(value(id, 1)); three[1].sem_op = -100; three[1].sem_flg = IPC_NOWAIT; three[2].sem_op = 0; SHOW(semop(id, three, 3)); SHOW(value(id, 0));
    struct timespec t = {0, 20000000}; struct sembuf down2 = {1, -100, 0}; double start = seconds(); SHOW(semtimedop(id, &down2, 1, &t)); start = seconds() - start; CHECK(start > 0.019 && start < 2); t.tv_nsec = 2000000000; SHOW(semtimedop(id, &down2, 1, &t)); SHOW(semtimedop(id, &down2, 1, (void *)8));
    u.val = 0; semctl(id, 0, SETVAL, u); pthread_t a, b; pthread_create(&a, 0, down, (void *)0); waits(id, 0, GETNCNT, 1); pthread_create(&b, 0, down, (void *)0); waits(id, 0, GETNCNT, 2); SHOW(semctl(id, 0, GETNCNT)); SHOW(semctl(id, 0, GETZCNT)); void *result; op(id, 0, 1, 0); pthread_join(a, &result); SHOW(result); SHOW(semctl(id, 0, GETNCNT)); SHOW(value(id, 0)); u.val = 1; semctl(id, 0, SETVAL, u); pthread_join(b, &result); SHOW(result); SHOW(value(id, 0));
    u.val = 2; semctl(id, 0, SETVAL, u); pid_t c = fork(); if (!c) { _exit(op(id, 0, 0, 0) ? errno : 0); } waits(id, 0, GETZCNT, 1); SHOW(semctl(id, 0, GETZCNT)); op(id, 0, -1, 0); SHOW(semctl(id, 0, GETZCNT)); op(id, 0, -1, 0); SHOW(status(c));
    struct sigaction on_alarm = {.sa_handler = on, .sa_flags = SA_RESTART}; sigaction(SIGUSR1, &on_alarm, 0); c = fork(); if (!c) { int e = op(id, 0, -1, 0) ? errno : 0; _exit(e == EINTR && hits); } waits(id, 0, GETNCNT, 1); kill(c, SIGUSR1); SHOW(status(c)); SHOW(semctl(id, 0, GETNCNT));
    // What ends with a process is taken back.
    u.val = 5; semctl(id, 0, SETVAL, u); c = fork(); if (!c) { op(id, 0, -2, SEM_UNDO); op(id, 0, 10, SEM_UNDO); op(id, 1, 1, SEM_UNDO); pid_t g = fork(); if (!g) _exit(0); status(g); execl("/bin/true", "true", NULL); } SHOW(status(c)); SHOW(value(id, 0)); SHOW(value(id, 1)); CHECK(semctl(id, 0, GETPID) == c);
    c = fork(); if (!c) { op(id, 0, -5, SEM_UNDO); pause(); } waits(id, 0, GETNCNT, 0); while (value(id, 0)) usleep(1000); pid_t w = fork(); if (!w) _exit(op(id, 0, -3, 0) ? errno : 0); waits(id, 0, GETNCNT, 1); kill(c, SIGKILL); status(c); SHOW(status(w)); SHOW(value(id, 0));
    c = fork(); if (!c) { op(id, 0, 7, SEM_UNDO); u.val = 1; semctl(id, 0, SETVAL, u); _exit(0); } status(c); SHOW(value(id, 0)); c = fork(); if (!c) { op(id, 0, 3, SEM_UNDO); struct sembuf big[2] = {{0, 32000, SEM_UNDO}, {0, -32000, 0}}; SHOW(semop(id, big, 2)); SHOW(op(id, 0, 32000, SEM_UNDO)); _exit(0); } status(c); SHOW(value(id, 0));
    struct seminfo info; u.info = &info; CHECK(semctl(0, 0, IPC_INFO, u) >= 0); SHOW(info.semmsl); SHOW(info.semopm); SHOW(info.semvmx); SHOW(info.semaem); SHOW(info.semmni); SHOW(info.semusz); CHECK(semctl(0, 0, SEM_INFO, u) >= 0); CHECK(info.semusz >= 1 && info.semaem >= 3);
    c = fork(); if (!c) { _exit(op(id, 0, -300, 0) ? errno : 0); } waits(id, 0, GETNCNT, 1); SHOW(semctl(id, 0, IPC_RMID)); SHOW(WEXITSTATUS(status(c)) == EIDRM); SHOW(op(id, 0, 1, 0)); SHOW(semctl(id, 0, IPC_RMID)); SHOW(semget(key, 1, 0));
}

struct message { long type; char text[9000]; };
static int put(int id, long type, const char *text, int flags) { struct message m = {.type = type}; strcpy(m.text, text); return msgsnd(id, &m, strlen(text), flags); }
static int take(int id, size_t room, long type, int flags) { struct message m = {0}; int n = msgrcv(id, &m, room, type, flags); if (n >= 0) printf("[%ld %.*s] ", m.type, n > 20 ? 20 : n, m.text); return n; }

static void messages(void) {
    struct msqid_ds d; SHOW(msgget(key, 0)); int id = msgget(key, IPC_CREAT | 0600); CHECK(id >= 0); CHECK(msgget(key, 0600) == id); SHOW(msgget(key, IPC_CREAT | IPC_EXCL)); SHOW(msgctl(id, IPC_STAT, &d)); SHOW(d.msg_qbytes); SHOW(d.msg_qnum); CHECK(!d.msg_lspid && !d.msg_stime);
    SHOW(put(id, 0, "x", 0)); SHOW(put(id, -1, "x", 0)); SHOW(put(id, 1, "", 0)); static struct message big; big.type = 1; SHOW(msgsnd(id, &big, 8193, 0)); SHOW(msgsnd(id, &big, -1, 0)); SHOW(msgsnd(id, (void *)8, 1, 0)); SHOW(msgsnd(-1, &big, 1, 0)); SHOW(take(id, 10, 0, 0)); SHOW(take(id, 10, 0, IPC_NOWAIT)); SHOW(msgrcv(id, &big, -1, 0, 0));
    put(id, 3, "three", 0); put(id, 1, "one", 0); put(id, 2, "two", 0); put(id, 1, "more", 0); msgctl(id, IPC_STAT, &d); SHOW(d.msg_qnum); SHOW(d.__msg_cbytes); CHECK(d.msg_lspid == getpid() && time(0) - d.msg_stime < 5); listed("msg", id); SHOW(take(id, 100, 2, 0)); SHOW(take(id, 100, -2, 0)); SHOW(take(id, 100, 3, MSG_EXCEPT)); SHOW(take(id, 100, 7, IPC_NOWAIT)); SHOW(take(id, 2, 0, 0)); SHOW(take(id, 100, 0, MSG_COPY | IPC_NOWAIT)); SHOW(take(id, 100, 1, MSG_COPY | IPC_NOWAIT)); SHOW(take(id, 100, 0, MSG_COPY)); SHOW(take(id, 2, 0, MSG_NOERROR)); SHOW(take(id, 100, 0, IPC_NOWAIT));
    int count = 0; while (msgsnd(id, &big, 4096, IPC_NOWAIT) == 0) count++; SHOW(count); SHOW(errno == EAGAIN); pid_t c = fork(); if (!c) { usleep(20000); struct message m; _exit(msgrcv(id, &m, 5000, 0, 0) != 4096); } SHOW(msgsnd(id, &big, 4096, 0)); SHOW(status(c)); while (msgrcv(id, &big, 5000, 0, IPC_NOWAIT) >= 0);
    count = 0; big.type = 9; while (count < 20000 && msgsnd(id, &big, 0, IPC_NOWAIT) == 0) count++; SHOW(count); while (msgrcv(id, &big, 5000, 0, IPC_NOWAIT) >= 0); c = fork(); if (!c) { usleep(20000); put(id, 5, "late", 0); put(id, 6, "later", 0); _exit(0); } SHOW(take(id, 100, 6, 0)); SHOW(status(c)); SHOW(take(id, 100, 0, 0));
    struct sigaction on_alarm = {.sa_handler = on, .sa_flags = SA_RESTART}; sigaction(SIGUSR1, &on_alarm, 0); pid_t me = getpid(); c = fork(); if (!c) { for (int i = 0; i < 200; i++) { usleep(10000); kill(me, SIGUSR1); } _exit(0); } SHOW(take(id, 100, 0, 0)); kill(c, SIGKILL); status(c);
    d.msg_qbytes = 100; SHOW(msgctl(id, IPC_SET, &d)); SHOW(msgsnd(id, &big, 101, IPC_NOWAIT)); SHOW(msgsnd(id, &big, 100, IPC_NOWAIT)); struct msginfo info; CHECK(msgctl(0, IPC_INFO, (void *)&info) >= 0); SHOW(info.msgmax); SHOW(info.msgmnb); SHOW(info.msgssz); SHOW(info.msgmni); CHECK(msgctl(0, MSG_INFO, (void *)&info) >= 0); CHECK(info.msgpool >= 1 && info.msgmap >= 1); SHOW(msgctl(id, 99, &d));
    c = fork(); if (!c) _exit(msgrcv(id, &big, 10, 77, 0) < 0 && (errno == EIDRM || errno == EINVAL) ? 0 : 1); usleep(30000); SHOW(msgctl(id, IPC_RMID, 0)); SHOW(status(c)); SHOW(put(id, 1, "x", 0)); SHOW(msgctl(id, IPC_STAT, &d));
}

int main(void) {
    alarm(60); key = 0x43000000 + getpid(); segments(); semaphores(); messages(); return 0;
}
