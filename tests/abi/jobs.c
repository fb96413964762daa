// Controlling terminals, sessions and job control on a pseudo-terminal.
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static int master;

// Runs a function as the leader of a session whose terminal is a new one; what it prints comes
// out here. Returns its status.
static int on_terminal(const char *label, void (*leader)(void), const char *typed) {
    printf("--- %s\n", label);
    fflush(stdout);
    pid_t child = forkpty(&master, NULL, NULL, NULL);
    if (child == 0) {
        leader();
        fflush(stdout);
        _exit(7);
    }
    // What is typed is typed once the leader says so.
    char line[4096];
    size_t length = 0;
    for (;;) {
        struct pollfd ready = {.fd = master, .events = POLLIN};
        if (poll(&ready, 1, 20000) != 1) break;
        ssize_t n = read(master, line + length, sizeof line - 1 - length);
        if (n <= 0) break;
        length += n;
        line[length] = 0;
        if (typed && strstr(line, "ready")) {
            write(master, typed, strlen(typed));
            typed = NULL;
        }
    }
    fwrite(line, 1, length, stdout);
    int status = -1;
    waitpid(child, &status, 0);
    printf("status %x\n", status);
    fflush(stdout);
    close(master);
    return status;
}

static void show_status(const char *label, int status) {
    if (WIFSTOPPED(status)) printf("%s: stopped by %s\n", label, sigabbrev_np(WSTOPSIG(status)));
    else if (WIFCONTINUED(status)) printf("%s: continued\n", label);
    else if (WIFSIGNALED(status)) printf("%s: killed by %s\n", label, sigabbrev_np(WTERMSIG(status)));
    else printf("%s: exited %d\n", label, WEXITSTATUS(status));
    fflush(stdout);
}

static void identity(void) {
    CHECK(getsid(0) == getpid());
    CHECK(tcgetsid(0) == getpid());
    CHECK(tcgetpgrp(0) == getpid());
    int tty = open("/dev/tty", O_RDWR);
    CHECK(tty >= 0);
    CHECK(tcgetpgrp(tty) == getpid());
    CHECK(strcmp(ttyname(tty), "/dev/tty") == 0);
    write(tty, "by name\n", 8);
    SHOW(tcsetpgrp(0, 999999));
    SHOW(tcsetpgrp(0, -5));
    SHOW(setsid());
    pid_t other = fork();
    if (other == 0) {
        CHECK(setsid() == getpid());
        SHOW(open("/dev/tty", O_RDWR));
        SHOW(tcgetpgrp(0));
        SHOW(tcgetsid(0));
        SHOW(tcsetpgrp(0, getpid()));
        SHOW(ioctl(0, TIOCSCTTY, 0));
        SHOW(ioctl(0, TIOCNOTTY));
        int second, second_slave;
        openpty(&second, &second_slave, NULL, NULL, NULL);
        char name[64];
        ptsname_r(second, name, sizeof name);
        int opened = open(name, O_RDWR);
        CHECK(opened >= 0);
        CHECK(tcgetsid(opened) == getpid());
        CHECK(open("/dev/tty", O_RDWR) >= 0);
        signal(SIGHUP, SIG_IGN);
        signal(SIGCONT, SIG_IGN);
        SHOW(ioctl(opened, TIOCNOTTY));
        SHOW(tcgetsid(opened));
        SHOW(ioctl(opened, TIOCSCTTY, 0));
        CHECK(tcgetpgrp(opened) == getpgrp());
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(other, &status, 0);
    show_status("other session", status);
}

static void keys(void) {
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGTSTP, SIG_IGN);
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(0, getpid());
        signal(SIGTTOU, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        signal(SIGTSTP, SIG_DFL);
        write(1, "ready\n", 6);
        for (;;) pause();
    }
    int status;
    waitpid(child, &status, WUNTRACED);
    show_status("suspended", status);
    siginfo_t info = {0};
    kill(-child, SIGCONT);
    SHOW(waitid(P_PID, child, &info, WCONTINUED));
    CHECK(info.si_code == CLD_CONTINUED && info.si_status == SIGCONT);
    kill(-child, SIGINT);
    waitpid(child, &status, 0);
    show_status("interrupted", status);
    signal(SIGTTOU, SIG_IGN);
    SHOW(tcsetpgrp(0, getpgrp()));
}

static void interrupt(void) {
    signal(SIGINT, SIG_IGN);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        write(1, "ready\n", 6);
        for (;;) pause();
    }
    int status;
    waitpid(child, &status, 0);
    show_status("member of the group", status);
}

static pid_t background(void (*job)(void)) {
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        job();
        fflush(stdout);
        _exit(0);
    }
    setpgid(child, child);
    return child;
}

static void reads(void) {
    char line[64];
    ssize_t n = read(0, line, sizeof line);
    printf("read %zd\n", n);
}
static void reads_ignoring(void) {
    signal(SIGTTIN, SIG_IGN);
    char c;
    SHOW(read(0, &c, 1));
}
static void sets(void) {
    struct termios t;
    SHOW(tcgetattr(0, &t));
    SHOW(tcsetattr(0, TCSANOW, &t));
}
static void sets_ignoring(void) {
    signal(SIGTTOU, SIG_IGN);
    sets();
}
static void takes(void) { SHOW(tcsetpgrp(0, getpgrp())); }
static void writes(void) { printf("written in the background\n"); }

static void one_job(const char *label, void (*job)(void)) {
    int status;
    pid_t child = background(job);
    waitpid(child, &status, WUNTRACED);
    show_status(label, status);
    if (!WIFSTOPPED(status)) return;
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(0, child);
    kill(-child, SIGCONT);
    waitpid(child, &status, WUNTRACED);
    show_status("in the foreground", status);
    tcsetpgrp(0, getpgrp());
    signal(SIGTTOU, SIG_DFL);
}

static void jobs(void) {
    printf("ready\n");
    fflush(stdout);
    // The line must be there, or the job would wait for it.
    struct pollfd ready = {.fd = 0, .events = POLLIN};
    poll(&ready, 1, 10000);
    one_job("reader", reads);
    one_job("reader that ignores", reads_ignoring);
    one_job("setter", sets);
    one_job("setter that ignores", sets_ignoring);
    one_job("taker", takes);
    one_job("writer", writes);
    struct termios t;
    tcgetattr(0, &t);
    t.c_lflag |= TOSTOP;
    tcsetattr(0, TCSANOW, &t);
    one_job("writer with tostop", writes);
}

static void orphan(void) {
    int status;
    int done[2];
    pipe(done);
    pid_t child = fork();
    if (child == 0) {
        pid_t parent = getpid();
        if (fork() > 0) _exit(0);
        // Until this group has lost its last tie.
        while (getppid() == parent) usleep(500);
        setpgid(0, 0);
        char c;
        SHOW(read(0, &c, 1));
        struct termios t;
        tcgetattr(0, &t);
        SHOW(tcsetattr(0, TCSANOW, &t));
        SHOW(raise(SIGTSTP));
        fflush(stdout);
        write(done[1], "x", 1);
        _exit(0);
    }
    waitpid(child, &status, 0);
    char c;
    read(done[0], &c, 1);
}

static int hangups;
static void on_hangup(int signal) {
    (void)signal;
    hangups++;
}

// A leader that loses its terminal is told; a stopped one, too.
static void hang_up(void) {
    printf("--- hang-up\n");
    fflush(stdout);
    int told[2];
    pipe(told);
    pid_t child = forkpty(&master, NULL, NULL, NULL);
    if (child == 0) {
        close(told[0]);
        signal(SIGHUP, on_hangup);
        sigset_t set, old;
        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_BLOCK, &set, &old);
        write(told[1], "r", 1);
        while (!hangups) sigsuspend(&old);
        char c, text[200];
        int n = sprintf(text, "read %zd", read(0, &c, 1));
        n += sprintf(text + n, " write %zd", write(1, "x", 1));
        n += sprintf(text + n, " tty %d\n", open("/dev/tty", O_RDWR));
        write(told[1], text, n);
        _exit(0);
    }
    close(told[1]);
    char text[300];
    read(told[0], text, 1);
    close(master);
    size_t length = 0;
    ssize_t n;
    while ((n = read(told[0], text + length, sizeof text - length)) > 0) length += n;
    fwrite(text, 1, length, stdout);
    int status;
    waitpid(child, &status, 0);
    show_status("leader", status);
}

static void sleeps(void) {
    for (;;) pause();
}

static void leaves(void) {
    pid_t child = background(sleeps);
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(0, child);
    // Its end is the leader's affair no more: the foreground job is hung up on.
}

static void sizes(void) {
    signal(SIGWINCH, on_hangup);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, &old);
    struct winsize size = {10, 20, 0, 0};
    SHOW(ioctl(0, TIOCSWINSZ, &size));
    sigset_t pending;
    sigpending(&pending);
    SHOW(sigismember(&pending, SIGWINCH));
    sigsuspend(&old);
    SHOW(hangups);
    SHOW(ioctl(0, TIOCSWINSZ, &size));
    sigpending(&pending);
    SHOW(sigismember(&pending, SIGWINCH));
}

int main(void) {
    alarm(100);
    on_terminal("identity", identity, NULL);
    on_terminal("keys", keys, "\032");
    on_terminal("interrupt", interrupt, "\003");
    on_terminal("jobs", jobs, "a line\n");
    on_terminal("orphan", orphan, NULL);
    on_terminal("leaves", leaves, NULL);
    on_terminal("sizes", sizes, NULL);
    hang_up();
    return 0;
}
