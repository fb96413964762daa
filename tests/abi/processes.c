// Processes: fork, vfork, clone, exec, wait, groups, sessions, limits. fork(2), wait(2), execve(2)
#include "check.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int global = 1;
static int in_clone(void *argument) { global = 42; return *(int *)argument; }
static void *sleeper(void *argument) { pause(); return argument; }
static void *forker(void *argument) { pid_t p = fork(); if (!p) _exit(11); int s; waitpid(p, &s, 0); *(int *)argument = WEXITSTATUS(s); return 0; }
static void *unsharer(void *argument) { SHOW(unshare(0)); SHOW(unshare(CLONE_FS | CLONE_FILES)); SHOW(unshare(CLONE_THREAD)); SHOW(unshare(CLONE_SETTLS)); SHOW(chdir("/usr")); SHOW(close(*(int *)argument)); return argument; }
static void *exec_in_thread(void *argument) { char *args[] = {"sh", "-c", "echo exec from a thread $((1 + 1))", 0}; execv("/bin/sh", args); return argument; }
static int run(char *const argv[]) { pid_t p = vfork(); if (!p) { execv(argv[0], argv); _exit(127); } int s; waitpid(p, &s, 0); return WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s); }

int main(int argc, char **argv) {
    if (argc > 1) { printf("exec'ed with %s, env %s, name %s\n", argv[1], getenv("X") ? getenv("X") : "none", program_invocation_short_name); return 5; }
    int status; pid_t p; siginfo_t i;
    p = fork(); if (!p) { global = 2; _exit(7); } SHOW(waitpid(p, &status, 0) == p); CHECK(WEXITSTATUS(status) == 7 && global == 1);
    p = vfork(); if (!p) { global = 3; _exit(8); } waitpid(p, &status, 0); CHECK(WEXITSTATUS(status) == 8 && global == 3);
    static char stack[65536]; int code = 9; p = clone(in_clone, stack + sizeof stack, CLONE_VM | SIGCHLD, &code); waitpid(p, &status, 0); CHECK(WEXITSTATUS(status) == 9 && global == 42);
    struct clone_args args = {.exit_signal = SIGCHLD}; p = syscall(SYS_clone3, &args, sizeof args); if (!p) _exit(10); waitpid(p, &status, 0); CHECK(WEXITSTATUS(status) == 10);
    int *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); p = fork(); if (!p) { *shared = 5; _exit(0); } waitpid(p, 0, 0); CHECK(*shared == 5);
    char *self[] = {argv[0], "argument", 0}, *env[] = {"X=y", 0}; fflush(stdout);
    p = fork(); if (!p) { execve(argv[0], self, env); _exit(1); } waitpid(p, &status, 0); CHECK(WEXITSTATUS(status) == 5);
    p = fork(); if (!p) { int fd = open(argv[0], O_RDONLY | O_CLOEXEC); fexecve(fd, self, env); _exit(1); } waitpid(p, &status, 0); CHECK(WEXITSTATUS(status) == 5);
    char *missing[] = {"/nonexistent", 0}; int e = posix_spawn(&p, missing[0], 0, 0, missing, env); printf("posix_spawn: %s\n", strerrorname_np(e));
    SHOW(execve("/tmp", self, env)); SHOW(execve(0, self, env)); SHOW(execve("/etc/passwd", self, env));
    char *no[] = {"/bin/sh", "-c", "exit 3", 0}; SHOW(run(no)); char *kill_it[] = {"/bin/sh", "-c", "kill -9 $$", 0}; SHOW(run(kill_it));
    p = fork(); if (!p) { pthread_t t; pthread_create(&t, 0, sleeper, 0); pthread_create(&t, 0, exec_in_thread, 0); pause(); } waitpid(p, &status, 0); CHECK(status == 0);
    p = fork(); if (!p) { pthread_t t; for (int k = 0; k < 4; k++) pthread_create(&t, 0, sleeper, 0); exit(12); } waitpid(p, &status, 0); CHECK(WEXITSTATUS(status) == 12);
    int got = 0; pthread_t t; pthread_create(&t, 0, forker, &got); pthread_join(t, 0); CHECK(got == 11);
    int kept = dup(0); char here[64]; chdir("/"); pthread_create(&t, 0, unsharer, &kept); pthread_join(t, 0); puts(getcwd(here, sizeof here)); SHOW(close(kept)); SHOW(unshare(1 << 20));
    p = fork(); if (!p) _exit(13); SHOW(waitid(P_PID, p, &i, WEXITED | WNOWAIT)); CHECK(i.si_status == 13 && i.si_code == CLD_EXITED); SHOW(waitid(P_PID, p, &i, WEXITED)); SHOW(waitpid(p, 0, 0)); SHOW(waitpid(-1, 0, WNOHANG));
    p = fork(); if (!p) { usleep(20000); _exit(0); } SHOW(waitpid(p, 0, WNOHANG)); SHOW(waitpid(p, 0, 0) == p);
    p = fork(); if (!p) { raise(SIGABRT); } waitpid(p, &status, 0); CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    SHOW(setpgid(0, 0) == 0 || errno == EPERM); CHECK(getpgid(0) == getpgrp()); p = fork(); if (!p) { pid_t s = setsid(); _exit(s == getpid() && getsid(0) == s && getpgrp() == s ? 0 : 1); } waitpid(p, &status, 0); CHECK(status == 0);
    SHOW(getpgid(999999)); SHOW(setpgid(1 << 22, 0));
    int fds[2]; pipe(fds); p = fork(); if (!p) { pid_t q = fork(); if (!q) { usleep(30000); char c = getppid() != 0; write(fds[1], &c, 1); _exit(0); } _exit(0); } waitpid(p, 0, 0); char c = 9; read(fds[0], &c, 1); printf("orphan adopted: %d\n", c);
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1)); p = fork(); if (!p) { if (!fork()) { usleep(10000); _exit(21); } _exit(0); } waitpid(p, 0, 0); SHOW(wait(&status) > 0); CHECK(WEXITSTATUS(status) == 21);
    char name[17] = {0}; prctl(PR_SET_NAME, "a-long-thread-name-here"); prctl(PR_GET_NAME, name); puts(name); SHOW(prctl(PR_GET_DUMPABLE)); SHOW(prctl(12345));
    struct rlimit r; getrlimit(RLIMIT_STACK, &r); CHECK(r.rlim_cur >= 1 << 20); r.rlim_cur = 64; getrlimit(RLIMIT_NOFILE, &r); r.rlim_cur = 20; SHOW(setrlimit(RLIMIT_NOFILE, &r)); while (dup(0) >= 0) {} printf("%s\n", strerrorname_np(errno));
    signal(SIGCHLD, SIG_IGN); p = fork(); if (!p) _exit(1); SHOW(waitpid(p, &status, 0));
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) > 0); cpu_set_t cpus; SHOW(sched_getaffinity(0, sizeof cpus, &cpus) >= 0); CHECK(CPU_COUNT(&cpus) > 0); SHOW(sched_yield());
    struct rusage u; SHOW(getrusage(RUSAGE_SELF, &u)); SHOW(getpriority(PRIO_PROCESS, 0)); SHOW(nice(1));
    SHOW(syscall(SYS_ptrace, 99, 0, 0, 0) == -1); SHOW(syscall(999)); 
    return 0;
}
