// Watching files: inotify(7)
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static int n;
static char *volatile nowhere = (char *)8;
static char buffer[65536] __attribute__((aligned(8)));

// Prints what the instance has; of a cookie, whether it is the last one again.
static void drain(const char *what) {
    uint32_t last = 0;
    printf("%s:\n", what);
    for (;;) {
        ssize_t got = read(n, buffer, sizeof buffer);
        if (got <= 0) break;
        for (char *at = buffer; at < buffer + got;) {
            struct inotify_event *e = (void *)at;
            printf("  wd %d mask %x cookie %s len %u %s\n", e->wd, e->mask, !e->cookie ? "-" : e->cookie == last ? "same" : "new", e->len, e->len ? e->name : "-");
            last = e->cookie;
            at += sizeof *e + e->len;
        }
    }
    fflush(stdout);
}
static void put(const char *path, const char *text) { int f = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644); write(f, text, strlen(text)); close(f); }

static void errors(void) {
    SHOW(inotify_init1(1)); SHOW(inotify_add_watch(n, "d", 0)); SHOW(inotify_add_watch(n, "d", 0x1000)); SHOW(inotify_add_watch(n, "missing", IN_OPEN)); SHOW(inotify_add_watch(n, "d/f", IN_OPEN | IN_ONLYDIR)); SHOW(inotify_add_watch(n, "d", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE)); SHOW(inotify_add_watch(0, "d", IN_OPEN)); SHOW(inotify_add_watch(99, "d", IN_OPEN)); SHOW(inotify_add_watch(n, nowhere, IN_OPEN)); SHOW(inotify_rm_watch(n, 77)); SHOW(inotify_rm_watch(99, 1)); SHOW(inotify_rm_watch(0, 1)); SHOW(write(n, "x", 1)); SHOW(lseek(n, 0, SEEK_SET)); SHOW(read(n, buffer, 64));
    char link[64] = {0}, name[64]; snprintf(name, sizeof name, "/proc/self/fd/%d", n); readlink(name, link, 63); puts(link);
    CHECK(fcntl(n, F_GETFL) == O_NONBLOCK); struct pollfd p = {n, POLLIN | POLLOUT}; SHOW(poll(&p, 1, 0));
}

static void files(void) {
    int w = inotify_add_watch(n, "d", IN_ALL_EVENTS), v = inotify_add_watch(n, "d/f", IN_ALL_EVENTS); SHOW(w); SHOW(v);
    int f = open("d/f", O_RDWR); drain("open"); write(f, "hello", 5); drain("write"); lseek(f, 0, 0); read(f, buffer, 3); drain("read"); read(f, buffer, 100); SHOW(read(f, buffer, 10)); drain("read to the end");
    ftruncate(f, 2); drain("ftruncate"); fchmod(f, 0600); drain("fchmod"); futimens(f, 0); drain("futimens"); struct timespec one[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 5}}; futimens(f, one); drain("mtime"); one[0] = (struct timespec){.tv_sec = 5}; one[1].tv_nsec = UTIME_OMIT; futimens(f, one); drain("atime");
    fchown(f, getuid(), -1); drain("fchown"); fchown(f, -1, -1); drain("fchown of nothing"); SHOW(fallocate(f, 0, 0, 10)); drain("fallocate"); SHOW(write(f, "", 0)); drain("empty write"); int g = dup(f); close(f); drain("close of a copy"); close(g); drain("last close");
    f = open("d/f", O_RDONLY); close(f); drain("read-only"); f = open("d/f", O_WRONLY | O_TRUNC); close(f); drain("truncating open"); f = open("d/f", O_PATH); close(f); drain("O_PATH"); stat("d/f", &(struct stat){0}); drain("stat"); truncate("d/f", 3); drain("truncate"); chmod("d/f", 0644); drain("chmod");
    SHOW(open("d/missing", O_RDONLY)); drain("no file"); SHOW(setxattr("d/f", "user.x", "1", 1, 0) == 0 || errno == EOPNOTSUPP); read(n, buffer, sizeof buffer); SHOW(inotify_rm_watch(n, w)); SHOW(inotify_rm_watch(n, v)); drain("removed"); SHOW(inotify_rm_watch(n, v));
}

static void names(void) {
    int w = inotify_add_watch(n, "d", IN_ALL_EVENTS & ~IN_ACCESS); SHOW(w);
    put("d/new", "x"); drain("new file"); mkdir("d/sub", 0755); drain("mkdir"); symlink("f", "d/link"); drain("symlink"); link("d/new", "d/hard"); drain("link"); mkfifo("d/fifo", 0644); drain("mkfifo");
    rename("d/new", "d/moved"); drain("rename"); rename("d/moved", "e/out"); drain("out"); rename("e/out", "d/back"); drain("in"); rename("d/back", "d/hard"); drain("same file");
    put("d/a", "a"); put("d/b", "b"); drain("two"); rename("d/a", "d/b"); drain("replace"); rename("d/sub", "d/dir"); drain("directory"); SHOW(renameat2(AT_FDCWD, "d/dir", AT_FDCWD, "d/b", RENAME_EXCHANGE)); drain("exchange");
    unlink("d/hard"); drain("unlink"); unlink("d/back"); drain("unlink again"); rmdir("d/b"); drain("rmdir"); unlink("d/dir"); unlink("d/link"); unlink("d/fifo"); drain("rest");
    int f = open("d/deep/inner", O_CREAT | O_RDWR, 0644); SHOW(f); mkdir("d/deep", 0755); put("d/deep/inner", "x"); drain("deeper"); unlink("d/deep/inner"); rmdir("d/deep"); drain("gone"); SHOW(inotify_rm_watch(n, w)); drain("removed");
}

static void selves(void) {
    put("d/s", "x"); int w = inotify_add_watch(n, "d/s", IN_ALL_EVENTS); SHOW(w > 0); rename("d/s", "d/t"); drain("moved itself"); link("d/t", "d/u"); drain("another name"); unlink("d/t"); drain("one name less"); unlink("d/u"); drain("gone"); SHOW(inotify_rm_watch(n, w));
    put("d/s", "x"); w = inotify_add_watch(n, "d/s", IN_ALL_EVENTS); int f = open("d/s", O_RDWR); unlink("d/s"); drain("unlinked while open"); write(f, "y", 1); drain("written after"); close(f); drain("closed");
    mkdir("d/sub", 0755); w = inotify_add_watch(n, "d/sub", IN_ALL_EVENTS); f = open("d/sub", O_RDONLY | O_DIRECTORY); syscall(217, f, buffer, 4096); drain("listed"); close(f); rename("d/sub", "d/sup"); drain("directory moved"); rmdir("d/sup"); drain("directory gone");
    put("d/a", "a"); put("d/b", "b"); w = inotify_add_watch(n, "d/b", IN_ALL_EVENTS); rename("d/a", "d/b"); drain("replaced"); unlink("d/b"); drain("nothing");
    mkdir("d/sub", 0755); w = inotify_add_watch(n, "d/sub", IN_DELETE_SELF); pid_t c = fork(); if (!c) { chdir("d/sub"); rmdir("../sub"); _exit(0); } waitpid(c, 0, 0); drain("working directory");
}

static void options(void) {
    int w = inotify_add_watch(n, "d", IN_CREATE | IN_ONESHOT); SHOW(w > 0); put("d/o", "1"); put("d/o2", "1"); drain("one shot"); SHOW(inotify_rm_watch(n, w));
    w = inotify_add_watch(n, "d", IN_CREATE); SHOW(inotify_add_watch(n, "d", IN_DELETE | IN_MASK_CREATE)); SHOW(inotify_add_watch(n, "d", IN_DELETE | IN_MASK_ADD) - w); put("d/p", "1"); unlink("d/p"); drain("added"); SHOW(inotify_add_watch(n, "d", IN_DELETE) - w); put("d/p", "1"); unlink("d/p"); drain("replaced"); inotify_rm_watch(n, w); drain("removed");
    symlink("f", "d/l"); w = inotify_add_watch(n, "d/l", IN_ALL_EVENTS | IN_DONT_FOLLOW); unlink("d/l"); drain("the link itself"); SHOW(inotify_add_watch(n, "d", IN_OPEN | IN_ONLYDIR | IN_DONT_FOLLOW) > w); inotify_rm_watch(n, w + 1); drain("removed");
    for (int i = 0; i < 2; i++) { put("d/x", "1"); w = inotify_add_watch(n, "d", IN_MODIFY | IN_CLOSE | (i ? IN_EXCL_UNLINK : 0)); int f = open("d/x", O_RDWR); unlink("d/x"); write(f, "1", 1); close(f); drain(i ? "without unlinked" : "with unlinked"); inotify_rm_watch(n, w); drain("removed"); }
    w = inotify_add_watch(n, "d", IN_OPEN); int other = inotify_init1(IN_NONBLOCK); SHOW(inotify_add_watch(other, "d", IN_OPEN)); close(open("d", O_RDONLY)); SHOW(read(other, buffer, 64)); close(other); drain("two instances"); inotify_rm_watch(n, w); drain("removed");
}

static void queue(void) {
    int w = inotify_add_watch(n, "d", IN_MODIFY | IN_OPEN), f = open("d/f", O_WRONLY); SHOW(w > 0); for (int i = 0; i < 5; i++) write(f, "x", 1); int bytes; SHOW(ioctl(n, FIONREAD, &bytes)); SHOW(bytes); struct pollfd p = {n, POLLIN}; SHOW(poll(&p, 1, 0)); SHOW(p.revents);
    SHOW(read(n, buffer, 15)); SHOW(read(n, buffer, 31)); SHOW(read(n, buffer, 0)); SHOW(read(n, nowhere, 100)); SHOW(read(n, buffer, 63)); SHOW(read(n, buffer, 63));
    int e = epoll_create1(0); struct epoll_event v = {.events = EPOLLIN}; SHOW(epoll_ctl(e, EPOLL_CTL_ADD, n, &v)); SHOW(epoll_wait(e, &v, 1, 0)); write(f, "x", 1); SHOW(epoll_wait(e, &v, 1, 0)); SHOW(read(n, buffer, 64)); SHOW(epoll_wait(e, &v, 1, 0)); close(e);
    char name[256]; memset(name, 'n', 255); name[0] = 'd', name[1] = '/', name[15] = 0; put(name, ""); drain("13 letters"); name[15] = 'n'; name[17] = 0; put(name, ""); drain("15 letters"); name[17] = 'n'; name[18] = 0; put(name, ""); drain("16 letters");
    for (int i = 0; i < 9000; i++) { write(f, "x", 1); close(open("d/f", O_RDONLY)); } int count = 0, lost = 0; for (ssize_t got; (got = read(n, buffer, sizeof buffer)) > 0;) for (char *at = buffer; at < buffer + got; at += sizeof(struct inotify_event) + ((struct inotify_event *)at)->len) { count++; if (((struct inotify_event *)at)->mask == IN_Q_OVERFLOW) { lost++; SHOW(((struct inotify_event *)at)->wd); } } SHOW(count); SHOW(lost);
    write(f, "x", 1); drain("after"); close(f); inotify_rm_watch(n, w); drain("removed");
}

static void others(void) {
    int w = inotify_add_watch(n, "d", IN_CLOSE_WRITE | IN_CREATE); SHOW(w > 0); fcntl(n, F_SETFL, 0); pid_t c = fork(); if (!c) { usleep(20000); put("d/child", "x"); _exit(0); } SHOW(read(n, buffer, 32)); waitpid(c, 0, 0); fcntl(n, F_SETFL, O_NONBLOCK); drain("from a child");
    inotify_add_watch(n, "d", IN_ACCESS | IN_MODIFY); int in = open("d/f", O_RDONLY), out = open("d/child", O_WRONLY); SHOW(sendfile(out, in, 0, 3)); drain("sendfile"); SHOW(copy_file_range(in, 0, out, 0, 3, 0)); drain("copy_file_range"); int p[2]; pipe(p); write(p[1], "abc", 3); SHOW(splice(p[0], 0, out, 0, 3, 0)); drain("splice"); close(in); close(out);
    inotify_add_watch(n, "d", IN_OPEN | IN_CLOSE); int h = open("d", O_TMPFILE | O_RDWR, 0600); SHOW(h >= 0); close(h); read(n, buffer, sizeof buffer);
    system("cp /bin/true d/program"); read(n, buffer, sizeof buffer); inotify_add_watch(n, "d/program", IN_ALL_EVENTS & ~IN_ACCESS); inotify_rm_watch(n, w); read(n, buffer, sizeof buffer); SHOW(system("d/program")); drain("executed"); unlink("d/program"); drain("gone");
    int d = n; int lots[200], made = 0; while (made < 200 && (lots[made] = inotify_init()) >= 0) made++; CHECK(made > 20 && errno == EMFILE); while (made) close(lots[--made]); n = d;
}

int main(void) {
    char name[] = "/tmp/inotifyXXXXXX"; mkdtemp(name); chdir(name); mkdir("d", 0755); mkdir("e", 0755); put("d/f", "x"); n = inotify_init1(IN_NONBLOCK | IN_CLOEXEC); CHECK(n >= 0);
    errors(); files(); names(); selves(); options(); queue(); others();
    close(n); chdir("/"); char command[64]; snprintf(command, sizeof command, "rm -r %s", name); system(command); return 0;
}
