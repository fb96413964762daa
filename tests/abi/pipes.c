// Pipes and moving bytes: pipe2(2), fifo(7), splice(2), tee(2), vmsplice(2), sendfile(2),
// copy_file_range(2), readv(2), preadv2(2)
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

static volatile int broken;
static void on_pipe(int s) { (void)s; broken++; }
static char big[300000], got[300000];
static int events(int fd, int asked) { struct pollfd p = {.fd = fd, .events = asked}; return poll(&p, 1, 0) < 0 ? -1 : p.revents; }

static void basics(void) {
    int p[2];
    SHOW(pipe2(p, O_DIRECT | 0x1000000)); SHOW(pipe((int *)8)); SHOW(pipe2(p, O_NONBLOCK | O_CLOEXEC));
    SHOW(fcntl(p[0], F_GETFD)); SHOW(fcntl(p[0], F_GETFL)); SHOW(fcntl(p[1], F_GETFL)); SHOW(lseek(p[0], 0, SEEK_SET));
    SHOW(pread(p[0], got, 1, 0)); SHOW(write(p[0], "x", 1)); SHOW(read(p[1], got, 1)); SHOW(read(p[0], got, 1)); SHOW(events(p[0], POLLIN)); SHOW(events(p[1], POLLOUT));
    SHOW(write(p[1], "hello", 5)); int n = -1; SHOW(ioctl(p[0], FIONREAD, &n)); SHOW(n); SHOW(events(p[0], POLLIN)); SHOW(read(p[0], got, 3)); SHOW(read(p[0], got, 30)); SHOW(write(p[1], got, 0)); SHOW(read(p[0], (void *)8, 1));
    SHOW(write(p[1], (void *)8, 1)); SHOW(fcntl(p[0], F_GETPIPE_SZ)); SHOW(write(p[1], big, 65536)); SHOW(write(p[1], big, 1)); SHOW(events(p[1], POLLOUT)); SHOW(fcntl(p[1], F_SETPIPE_SZ, 4096)); SHOW(fcntl(p[1], F_SETPIPE_SZ, 100000)); SHOW(write(p[1], big, 65536)); SHOW(read(p[0], got, 200000)); SHOW(fcntl(p[1], F_SETPIPE_SZ, 1));
    SHOW(write(p[1], big, 4096)); SHOW(write(p[1], big, 10)); SHOW(read(p[0], got, 4096));
    struct stat st; SHOW(fstat(p[0], &st)); CHECK(S_ISFIFO(st.st_mode)); SHOW(st.st_mode & 07777); SHOW(st.st_nlink); SHOW(st.st_size); SHOW(fsync(p[0])); SHOW(ftruncate(p[1], 0)); SHOW(fchmod(p[0], 0400));
    SHOW(close(p[0])); SHOW(events(p[1], POLLOUT)); SHOW(write(p[1], "x", 1)); SHOW(broken); SHOW(close(p[1])); SHOW(close(p[1]));
    pipe(p); write(p[1], "end", 3); close(p[1]); SHOW(events(p[0], POLLIN)); SHOW(read(p[0], got, 10)); SHOW(read(p[0], got, 10)); SHOW(events(p[0], POLLIN)); close(p[0]);
}

static void vectors(void) {
    int p[2]; pipe(p); char a[3], b[4];
    struct iovec out[3] = {{"one", 3}, {"", 0}, {"three", 5}}, in[2] = {{a, 3}, {b, 4}};
    SHOW(writev(p[1], out, 3)); SHOW(readv(p[0], in, 2)); CHECK(!memcmp(a, "one", 3) && !memcmp(b, "thre", 4));
    SHOW(writev(p[1], out, -1)); SHOW(writev(p[1], out, 1025)); out[0].iov_len = -1; SHOW(writev(p[1], out, 1)); SHOW(writev(p[1], (void *)8, 1)); SHOW(writev(p[1], out, 0));
    SHOW(preadv(p[0], in, 1, 0)); SHOW(preadv2(p[0], in, 1, -1, 0)); SHOW(preadv2(p[0], in, 1, -1, RWF_NOWAIT)); SHOW(preadv2(p[0], in, 1, -1, 1 << 20));
    close(p[0]); close(p[1]);
}

static void *reader(void *fd) { size_t n = 0; for (;;) { ssize_t r = read(*(int *)fd, got + n, 7777); if (r <= 0) return 0; n += r; } }

static void blocking(void) {
    int p[2]; pthread_t t; pipe(p); for (size_t i = 0; i < sizeof big; i++) big[i] = i * 7 + i / 251;
    pthread_create(&t, 0, reader, &p[0]); SHOW(write(p[1], big, sizeof big)); close(p[1]); pthread_join(t, 0); CHECK(!memcmp(big, got, sizeof big)); close(p[0]);
    pipe(p); pid_t c = fork(); if (!c) { close(p[0]); int bad = 0; for (int i = 0; i < 1000; i++) bad |= write(p[1], big + i * 7, 77) != 77; _exit(bad); }
    close(p[1]); size_t n = 0; ssize_t r; while ((r = read(p[0], got, 999)) > 0) n += r; SHOW(n); int status; waitpid(c, &status, 0); SHOW(status); close(p[0]);
}

static void fifos(void) {
    char name[] = "/tmp/fifo-XXXXXX"; mkdtemp(name); chdir(name);
    SHOW(mkfifo("f", 0640)); SHOW(mkfifo("f", 0640)); struct stat st; stat("f", &st); CHECK(S_ISFIFO(st.st_mode)); SHOW(open("f", O_WRONLY | O_NONBLOCK));
    int r = open("f", O_RDONLY | O_NONBLOCK); CHECK(r >= 0); SHOW(events(r, POLLIN)); SHOW(read(r, got, 1)); int w = open("f", O_WRONLY); CHECK(w >= 0); SHOW(read(r, got, 1)); write(w, "ab", 2); close(w); SHOW(events(r, POLLIN)); SHOW(read(r, got, 9)); SHOW(read(r, got, 9)); SHOW(events(r, POLLIN)); close(r);
    pid_t c = fork(); if (!c) { int f = open("f", O_RDONLY); char b[9] = {0}; read(f, b, 8); printf("child read %s\n", b); _exit(0); }
    w = open("f", O_WRONLY); write(w, "fifo", 4); close(w); waitpid(c, 0, 0); int rw = open("f", O_RDWR); write(rw, "self", 4); SHOW(read(rw, got, 9)); close(rw);
    alarm(0); unlink("f"); chdir("/"); rmdir(name);
}

static void moving(void) {
    char one[] = "/tmp/from-XXXXXX", two[] = "/tmp/to-XXXXXX"; int f = mkstemp(one), t = mkstemp(two), p[2], q[2]; pipe(p); pipe(q);
    write(f, "0123456789", 10); loff_t at = 2, to = 3;
    SHOW(splice(f, &at, p[1], 0, 5, 0)); SHOW(at); SHOW(splice(p[0], 0, q[1], 0, 3, 0)); SHOW(read(q[0], got, 9)); CHECK(!memcmp(got, "234", 3)); SHOW(tee(p[0], q[1], 9, 0)); SHOW(splice(p[0], 0, t, &to, 9, 0)); SHOW(to); SHOW(read(q[0], got, 9)); CHECK(!memcmp(got, "56", 2));
    SHOW(splice(p[0], 0, q[1], 0, 1, SPLICE_F_NONBLOCK)); SHOW(splice(f, 0, t, 0, 1, 0)); SHOW(splice(p[0], &at, t, 0, 1, 0)); SHOW(splice(p[0], 0, p[1], 0, 1, SPLICE_F_NONBLOCK)); SHOW(tee(f, q[1], 1, 0));
    char text[] = "spliced"; struct iovec v = {text, 7}; SHOW(vmsplice(p[1], &v, 1, 0)); SHOW(read(p[0], got, 9)); SHOW(lseek(t, 0, SEEK_END));
    off_t o = 1; SHOW(sendfile(p[1], f, &o, 4)); SHOW(o); SHOW(read(p[0], got, 9)); lseek(f, 8, SEEK_SET); SHOW(sendfile(p[1], f, 0, 100)); SHOW(lseek(f, 0, SEEK_CUR)); SHOW(read(p[0], got, 9)); SHOW(sendfile(p[1], p[0], &o, 4)); SHOW(sendfile(f, t, 0, 100));
    at = 0; to = 20; SHOW(copy_file_range(f, &at, t, &to, 6, 0)); SHOW(at); SHOW(to); SHOW(copy_file_range(f, &at, t, &to, 6, 1)); at = 0, to = 2; SHOW(copy_file_range(f, &at, f, &to, 6, 0)); SHOW(copy_file_range(p[0], 0, t, 0, 6, 0)); SHOW(pread(t, got, 6, 20)); CHECK(!memcmp(got, "012345", 6));
    fcntl(t, F_SETFL, O_APPEND); SHOW(copy_file_range(f, &at, t, &to, 6, 0)); SHOW(sendfile(t, f, 0, 1)); SHOW(pwrite(t, "end", 3, 0)); SHOW(lseek(t, 0, SEEK_END));
    unlink(one); unlink(two);
}

static void packets(void) {
    int p[2], q[2]; SHOW(pipe2(p, O_DIRECT | O_NONBLOCK)); SHOW(fcntl(p[0], F_GETFL)); SHOW(fcntl(p[1], F_GETFL));
    SHOW(write(p[1], "one", 3)); SHOW(write(p[1], "three", 5)); int n = -1; ioctl(p[0], FIONREAD, &n); SHOW(n); SHOW(read(p[0], got, 100)); SHOW(read(p[0], got, 2)); CHECK(!memcmp(got, "th", 2)); SHOW(read(p[0], got, 100)); SHOW(write(p[1], "", 0)); SHOW(read(p[0], got, 100));
    SHOW(write(p[1], big, 10000)); SHOW(read(p[0], got, 100000)); SHOW(read(p[0], got, 100000)); SHOW(read(p[0], got, 100000)); SHOW(read(p[0], got, 100000));
    int count = 0; while (write(p[1], "x", 1) == 1) count++; SHOW(count); SHOW(events(p[1], POLLOUT)); SHOW(write(p[1], big, 5000)); SHOW(fcntl(p[1], F_SETPIPE_SZ, 4096)); SHOW(read(p[0], got, 100)); SHOW(events(p[1], POLLOUT)); SHOW(write(p[1], big, 5000)); while (read(p[0], got, 5000) > 0);
    SHOW(write(p[1], "packet", 6)); SHOW(fcntl(p[1], F_SETFL, O_NONBLOCK)); SHOW(write(p[1], "ab", 2)); SHOW(write(p[1], "cd", 2)); SHOW(fcntl(p[1], F_SETFL, O_NONBLOCK | O_DIRECT)); SHOW(write(p[1], "last", 4)); SHOW(read(p[0], got, 100)); SHOW(read(p[0], got, 3)); SHOW(read(p[0], got, 3)); CHECK(!memcmp(got, "dla", 3)); SHOW(read(p[0], got, 3));
    pipe2(q, O_NONBLOCK); write(p[1], "first", 5); write(p[1], "second", 6); SHOW(tee(p[0], q[1], 100, 0)); SHOW(read(q[0], got, 100)); SHOW(splice(p[0], 0, q[1], 0, 3, 0)); SHOW(read(q[0], got, 100)); SHOW(read(p[0], got, 100)); CHECK(!memcmp(got, "st", 2)); SHOW(read(p[0], got, 100));
    struct iovec two[2] = {{"ab", 2}, {"cd", 2}}; SHOW(writev(p[1], two, 2)); SHOW(read(p[0], got, 100)); SHOW(fcntl(p[1], F_GETFL) & O_DIRECT); close(p[0]); close(p[1]); close(q[0]); close(q[1]);
    int e = open("/dev/null", O_RDWR); SHOW(fcntl(e, F_SETFL, O_DIRECT)); close(e);
}

int main(void) {
    signal(SIGPIPE, on_pipe); alarm(30);
    basics(); vectors(); packets(); blocking(); fifos(); moving();
    return 0;
}
