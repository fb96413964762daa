// Limits on CPU time: setrlimit(2), prlimit(2) RLIMIT_CPU
#include "check.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static volatile int hits;
static void on(int s) { hits += s == SIGXCPU; }
static int limit(rlim_t soft, rlim_t hard) { struct rlimit l = {soft, hard}; return setrlimit(RLIMIT_CPU, &l); }
static int burn(pid_t c) { int s; waitpid(c, &s, 0); return WIFSIGNALED(s) ? WTERMSIG(s) : -WEXITSTATUS(s); }

int main(void) {
    alarm(60); struct rlimit l; pid_t c;
    c = fork(); if (!c) { limit(1, 5); for (;;); } SHOW(burn(c));
    c = fork(); if (!c) { signal(SIGXCPU, on); limit(1, 2); while (!hits); getrlimit(RLIMIT_CPU, &l); SHOW(l.rlim_cur); SHOW(l.rlim_max); for (;;); } SHOW(burn(c));
    c = fork(); if (!c) { signal(SIGXCPU, on); limit(1, RLIM_INFINITY); pid_t g = fork(); if (!g) { signal(SIGXCPU, SIG_DFL); for (;;); } int s; waitpid(g, &s, 0); SHOW(WTERMSIG(s)); SHOW(hits); _exit(0); } SHOW(burn(c));
    c = fork(); if (!c) for (;;); l = (struct rlimit){1, 1}; SHOW(prlimit(c, RLIMIT_CPU, &l, 0)); SHOW(burn(c));
    c = fork(); if (!c) { limit(1, RLIM_INFINITY); execl("/bin/sh", "sh", "-c", "while :; do :; done", NULL); _exit(1); } SHOW(burn(c));
    c = fork(); if (!c) { limit(1, 1); limit(RLIM_INFINITY, 1); _exit(errno == EINVAL ? 3 : 4); } SHOW(burn(c));
    return 0;
}
