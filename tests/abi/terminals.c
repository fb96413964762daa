// Pseudo-terminals: the pair, the line discipline, packet mode, readiness and hang-up.
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

static int master, slave;

// Prints what is read, control characters as \ooo.
static void show_now(const char *label, int fd) {
    char buffer[256];
    errno = 0;
    ssize_t n = read(fd, buffer, sizeof buffer);
    printf("%s: ", label);
    if (n < 0) printf("%s", strerrorname_np(errno));
    else printf("%zd \"", n);
    for (ssize_t i = 0; i < n; i++) {
        unsigned char c = buffer[i];
        if (c < 32 || c > 126 || c == '\\') printf("\\%03o", c);
        else putchar(c);
    }
    if (n >= 0) putchar('"');
    putchar('\n');
    fflush(stdout);
}

// The same, once there is something.
static void show(const char *label, int fd) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    poll(&ready, 1, 10000);
    show_now(label, fd);
}

static void say(int fd, const char *text) {
    write(fd, text, strlen(text));
}

// The kernel moves typed bytes to the other side in the background.
static void wait_for(int fd, int count) {
    int n = 0;
    for (int i = 0; i < 20000 && ioctl(fd, FIONREAD, &n) == 0 && n < count; i++) usleep(500);
}

static void events(const char *label, int fd, short wanted) {
    struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI};
    for (int i = 0; i < 20000; i++) {
        poll(&ready, 1, 0);
        if ((ready.revents & wanted) == wanted) break;
        usleep(500);
    }
    printf("%s:%s%s%s%s%s\n", label, ready.revents & POLLIN ? " in" : "",
           ready.revents & POLLOUT ? " out" : "", ready.revents & POLLPRI ? " pri" : "",
           ready.revents & POLLHUP ? " hup" : "", ready.revents & POLLERR ? " err" : "");
}

static void modes(void (*change)(struct termios *)) {
    struct termios t;
    tcgetattr(slave, &t);
    change(&t);
    SHOW(tcsetattr(slave, TCSANOW, &t));
}

static void raw(struct termios *t) { cfmakeraw(t); }
static void cooked(struct termios *t) {
    t->c_iflag = ICRNL | IXON;
    t->c_oflag = OPOST | ONLCR;
    t->c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
}
static void poll_bytes(struct termios *t) { t->c_cc[VMIN] = 0, t->c_cc[VTIME] = 0; }
static void timed(struct termios *t) { t->c_cc[VMIN] = 0, t->c_cc[VTIME] = 1; }
static void three(struct termios *t) { t->c_cc[VMIN] = 3, t->c_cc[VTIME] = 0; }
static void between(struct termios *t) { t->c_cc[VMIN] = 9, t->c_cc[VTIME] = 1; }
static void silent(struct termios *t) { t->c_lflag &= ~(ECHO | ECHOE); }
static void extended(struct termios *t) {
    t->c_cc[VEOL] = ';', t->c_cc[VEOL2] = ':', t->c_oflag |= TABDLY;
}

static void opening(void) {
    master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(master >= 0);
    SHOW(grantpt(master));
    char name[64], again[64];
    int number = -1, locked = -1;
    ptsname_r(master, name, sizeof name);
    SHOW(ioctl(master, TIOCGPTN, &number));
    snprintf(again, sizeof again, "/dev/pts/%d", number);
    CHECK(strcmp(name, again) == 0);
    SHOW(ioctl(master, TIOCGPTLCK, &locked));
    SHOW(locked);
    SHOW(open(name, O_RDWR | O_NOCTTY));
    SHOW(unlockpt(master));
    slave = open(name, O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    struct stat st, by_name;
    SHOW(fstat(slave, &st));
    SHOW(stat(name, &by_name));
    CHECK(S_ISCHR(st.st_mode));
    CHECK(st.st_rdev == by_name.st_rdev && st.st_ino == by_name.st_ino);
    CHECK(st.st_uid == getuid());
    SHOW(isatty(slave));
    SHOW(isatty(master));
    CHECK(strcmp(ttyname(slave), name) == 0);
    int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(peer >= 0);
    CHECK(strcmp(ttyname(peer), name) == 0);
    SHOW(fcntl(peer, F_GETFD));
    close(peer);
    SHOW(lseek(slave, 0, SEEK_SET));
    SHOW(pread(slave, name, 1, 0));
    SHOW(ioctl(slave, TIOCGPTN, &number));
    struct winsize size = {24, 80, 640, 480}, got;
    SHOW(ioctl(master, TIOCSWINSZ, &size));
    SHOW(ioctl(slave, TIOCGWINSZ, &got));
    printf("%d %d %d %d\n", got.ws_row, got.ws_col, got.ws_xpixel, got.ws_ypixel);
    struct termios t;
    SHOW(tcgetattr(slave, &t));
    printf("%o %o %o %o\n", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
    for (int i = 0; i < 17; i++) printf("%d ", t.c_cc[i]);
    printf("\n");
    SHOW(cfgetospeed(&t) == B38400);
}

static void cooked_input(void) {
    say(master, "hello\r");
    show("line", slave);
    show("echo", master);
    say(master, "abc\177\177d\n");
    show("erased", slave);
    show("echo", master);
    say(master, "one two\027three\n");
    show("word", slave);
    show("echo", master);
    say(master, "gone\025kept\n");
    show("killed", slave);
    show("echo", master);
    say(master, "a\tb\t\177\177\177c\n");
    show("tabs", slave);
    show("echo", master);
    say(master, "\026\003\001\022x\n");
    show("literal", slave);
    show("echo", master);
    say(master, "end\004\004");
    wait_for(slave, 3);
    int n = -1;
    SHOW(ioctl(slave, FIONREAD, &n));
    SHOW(n);
    show("end", slave);
    show("of file", slave);
    show("echo", master);
    modes(extended);
    say(master, "x;y:\tz\n");
    show("first", slave);
    show("second", slave);
    show("third", slave);
    show("echo", master);
    modes(silent);
    say(master, "secret\n");
    show("secret", slave);
    fcntl(master, F_SETFL, O_NONBLOCK);
    show_now("nothing", master);
    fcntl(master, F_SETFL, 0);
    modes(cooked);
}

static void output(void) {
    say(slave, "a\nb\tc\r\n");
    show("processed", master);
    modes(raw);
    say(slave, "a\nb\t\r");
    show("raw", master);
    say(master, "\003\r\004\177");
    wait_for(slave, 4);
    show("raw input", slave);
    modes(poll_bytes);
    show_now("no minimum", slave);
    modes(timed);
    show_now("a time", slave);
    say(master, "xy");
    show("in time", slave);
    modes(three);
    say(master, "xy");
    wait_for(slave, 2);
    events("two of three", slave, POLLOUT);
    say(master, "z");
    wait_for(slave, 3);
    events("all three", slave, POLLIN);
    show("three", slave);
    modes(between);
    say(master, "few");
    show("few", slave);
    modes(cooked);
    say(master, "typed ahead\n");
    wait_for(slave, 12);
    SHOW(tcflush(slave, TCIFLUSH));
    fcntl(slave, F_SETFL, O_NONBLOCK);
    struct pollfd ready = {.fd = slave, .events = POLLIN};
    SHOW(poll(&ready, 1, 0));
    char byte;
    SHOW(read(slave, &byte, 1));
    fcntl(slave, F_SETFL, 0);
    show("echo", master);
    SHOW(tcdrain(slave));
    SHOW(tcsendbreak(slave, 0));
    SHOW(tcflow(slave, TCOOFF));
    fcntl(slave, F_SETFL, O_NONBLOCK);
    SHOW(write(slave, "x", 1));
    SHOW(tcflow(slave, TCOON));
    SHOW(write(slave, "x", 1));
    fcntl(slave, F_SETFL, 0);
    show("flows", master);
    SHOW(tcflow(slave, TCIOFF));
    show("stop key", master);
    SHOW(tcflow(slave, 9));
    SHOW(tcflush(slave, 9));
}

static void packets(void) {
    int on = 1, is = -1;
    SHOW(ioctl(master, TIOCPKT, &on));
    SHOW(ioctl(master, TIOCGPKT, &is));
    SHOW(is);
    say(slave, "data");
    show("packet", master);
    say(master, "\023");
    events("stopped", master, POLLPRI);
    show("packet", master);
    say(master, "\021");
    events("started", master, POLLPRI);
    show("packet", master);
    SHOW(tcflush(slave, TCIFLUSH));
    show("packet", master);
    modes(raw);
    show("packet", master);
    modes(cooked);
    show("packet", master);
    on = 0;
    SHOW(ioctl(master, TIOCPKT, &on));
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, master, &event));
    SHOW(epoll_wait(epoll, &event, 1, 0));
    say(slave, "x");
    SHOW(epoll_wait(epoll, &event, 1, 10000));
    show("epoll", master);
    close(epoll);
}

static void ends(void) {
    events("both", master, POLLOUT);
    say(slave, "last");
    close(slave);
    show("last words", master);
    events("slave gone", master, POLLHUP);
    show("slave gone", master);
    SHOW(write(master, "x", 1));
    char name[64];
    ptsname_r(master, name, sizeof name);
    slave = open(name, O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    events("slave back", master, POLLIN | POLLOUT);
    // A reader that waits is let go.
    int pipe_ends[2];
    pipe(pipe_ends);
    pid_t child = fork();
    if (child == 0) {
        close(master);
        write(pipe_ends[1], "r", 1);
        char c;
        while (read(slave, &c, 1) == 1) {}
        _exit(0);
    }
    char c;
    read(pipe_ends[0], &c, 1);
    close(master);
    events("master gone", slave, POLLHUP);
    show("master gone", slave);
    SHOW(write(slave, "x", 1));
    struct termios t;
    SHOW(tcgetattr(slave, &t));
    SHOW(tcsetpgrp(slave, getpgrp()));
    SHOW(open(name, O_RDWR | O_NOCTTY));
    SHOW(waitpid(child, NULL, 0) == child);
    close(slave);
    SHOW(access(name, F_OK));
}

int main(void) {
    alarm(50);
    opening();
    cooked_input();
    output();
    packets();
    ends();
    return 0;
}
