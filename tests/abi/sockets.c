// Unix sockets: unix(7), socketpair(2), sendmsg(2), recvmsg(2), getsockopt(2)
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static char buffer[1 << 18];
static volatile int broken;
static void on_pipe(int s) { (void)s; broken++; }
static int events(int fd) { struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP}; return poll(&p, 1, 0) < 0 ? -1 : p.revents; }
static int number(int fd, int option) { int v = -1; socklen_t l = sizeof v; return getsockopt(fd, SOL_SOCKET, option, &v, &l) ? -1 : v; }
static socklen_t name(struct sockaddr_un *a, const char *path, int abstract) { memset(a, 0, sizeof *a); a->sun_family = AF_UNIX; strcpy(a->sun_path + abstract, path); return offsetof(struct sockaddr_un, sun_path) + abstract + strlen(path) + !abstract; }
static void print_name(const char *what, int fd, int peer) { struct sockaddr_un a; memset(&a, 'x', sizeof a); socklen_t l = sizeof a; int r = peer ? getpeername(fd, (void *)&a, &l) : getsockname(fd, (void *)&a, &l); printf("%s: %d %s", what, r, r ? strerrorname_np(errno) : ""); if (!r) { printf(" length %u: ", l); for (unsigned i = 2; i < l; i++) putchar(a.sun_path[i - 2] ? a.sun_path[i - 2] : '@'); } puts(""); }

static void pairs(void) {
    int s[2]; SHOW(socket(AF_UNIX, 77, 0)); SHOW(socket(AF_UNIX, SOCK_STREAM, 5)); SHOW(socket(12345, SOCK_STREAM, 0)); SHOW(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s)); SHOW(fcntl(s[0], F_GETFD)); SHOW(fcntl(s[0], F_GETFL));
    SHOW(events(s[0])); SHOW(read(s[0], buffer, 1)); SHOW(send(s[1], "hello", 5, 0)); SHOW(events(s[0])); int n; ioctl(s[0], FIONREAD, &n); SHOW(n); SHOW(recv(s[0], buffer, 2, MSG_PEEK)); SHOW(recv(s[0], buffer, 99, 0)); SHOW(recv(s[0], buffer, 0, 0)); SHOW(lseek(s[0], 0, 0)); SHOW(pread(s[0], buffer, 1, 0)); SHOW(sendto(s[0], "x", 1, 0, (void *)buffer, 2));
    SHOW(number(s[0], SO_TYPE)); SHOW(number(s[0], SO_DOMAIN)); SHOW(number(s[0], SO_PROTOCOL)); SHOW(number(s[0], SO_ERROR)); SHOW(number(s[0], SO_ACCEPTCONN)); SHOW(number(s[0], SO_SNDBUF)); SHOW(number(s[0], SO_RCVBUF)); SHOW(number(s[0], 9999)); n = 5000; SHOW(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &n, 4)); SHOW(number(s[0], SO_SNDBUF)); SHOW(setsockopt(s[0], SOL_SOCKET, SO_TYPE, &n, 4)); SHOW(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &n, 1)); SHOW(setsockopt(s[0], 6, 1, &n, 4));
    struct ucred u; socklen_t l = sizeof u; SHOW(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &u, &l)); CHECK(u.pid == getpid() && u.uid == getuid() && l == sizeof u);
    print_name("pair", s[0], 0); print_name("pair's peer", s[0], 1); SHOW(listen(s[0], 1)); SHOW(accept(s[0], 0, 0)); struct stat st; fstat(s[0], &st); CHECK(S_ISSOCK(st.st_mode)); SHOW(shutdown(s[1], 9)); SHOW(shutdown(s[1], SHUT_WR)); SHOW(events(s[0])); SHOW(read(s[0], buffer, 1)); SHOW(write(s[1], "x", 1)); SHOW(broken); SHOW(send(s[1], "x", 1, MSG_NOSIGNAL)); SHOW(broken); SHOW(write(s[0], "yz", 2)); SHOW(read(s[1], buffer, 9));
    write(s[0], "left", 4); close(s[1]); SHOW(events(s[0])); SHOW(read(s[0], buffer, 1)); SHOW(read(s[0], buffer, 1)); SHOW(write(s[0], "x", 1)); close(s[0]);
}

static void messages(int type) {
    int s[2]; socketpair(AF_UNIX, type, 0, s); SHOW(send(s[0], "first", 5, 0)); SHOW(send(s[0], "", 0, 0)); SHOW(send(s[0], "third", 5, 0)); SHOW(recv(s[1], buffer, 2, MSG_PEEK | MSG_TRUNC)); struct iovec v = {buffer, 3}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1}; SHOW(recvmsg(s[1], &m, 0)); SHOW(m.msg_flags & MSG_TRUNC); SHOW(recv(s[1], buffer, 9, 0)); SHOW(recv(s[1], buffer, 9, 0)); SHOW(recv(s[1], buffer, 9, MSG_DONTWAIT)); SHOW(send(s[0], buffer, sizeof buffer, 0));
    struct mmsghdr mm[3]; memset(mm, 0, sizeof mm); struct iovec out[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}}; for (int i = 0; i < 3; i++) mm[i].msg_hdr.msg_iov = &out[i], mm[i].msg_hdr.msg_iovlen = 1; SHOW(sendmmsg(s[0], mm, 3, 0)); SHOW(mm[2].msg_len); struct iovec in[3] = {{buffer, 9}, {buffer + 9, 9}, {buffer + 18, 9}}; for (int i = 0; i < 3; i++) mm[i].msg_hdr.msg_iov = &in[i]; SHOW(recvmmsg(s[1], mm, 3, MSG_WAITFORONE, 0)); SHOW(mm[1].msg_len);
    close(s[1]); SHOW(send(s[0], "x", 1, MSG_NOSIGNAL)); SHOW(recv(s[0], buffer, 1, MSG_DONTWAIT)); close(s[0]);
}

static void connections(int abstract) {
    struct sockaddr_un a; char path[64]; strcpy(path, abstract ? "capsid-test" : "/tmp/capsid-test-socket"); socklen_t l = name(&a, path, abstract); int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), d = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (!abstract) unlink(path);
    SHOW(events(c)); SHOW(send(c, "x", 1, MSG_NOSIGNAL)); SHOW(recv(c, buffer, 1, 0)); SHOW(listen(s, 2)); SHOW(connect(c, (void *)&a, l)); SHOW(bind(s, (void *)&a, 1)); SHOW(bind(s, (void *)&a, l)); SHOW(bind(s, (void *)&a, l)); SHOW(bind(d, (void *)&a, l)); SHOW(connect(c, (void *)&a, l)); SHOW(connect(d, (void *)&a, l)); SHOW(listen(s, 0)); SHOW(number(s, SO_ACCEPTCONN)); SHOW(events(s)); SHOW(connect(c, (void *)&a, l)); SHOW(connect(c, (void *)&a, l)); SHOW(events(s)); int c2 = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0); SHOW(connect(c2, (void *)&a, l)); SHOW(write(c, "early", 5)); SHOW(getpeername(s, 0, 0));
    struct sockaddr_un peer; socklen_t pl = sizeof peer; int t = accept4(s, (void *)&peer, &pl, SOCK_CLOEXEC); CHECK(t >= 0); SHOW(pl); SHOW(read(t, buffer, 99)); SHOW(connect(c2, (void *)&a, l)); pid_t p = fork(); if (!p) { int k = socket(AF_UNIX, SOCK_STREAM, 0); close(s); _exit(connect(k, (void *)&a, l) ? 1 : write(k, "child", 5) != 5); } int c3 = accept(s, 0, 0); CHECK(c3 >= 0); int c4 = accept(s, 0, 0); SHOW(read(c4, buffer, 9)); int status; waitpid(p, &status, 0); SHOW(status);
    if (!abstract) { print_name("server", s, 0); struct stat st; SHOW(stat(path, &st)); CHECK(S_ISSOCK(st.st_mode)); SHOW(open(path, O_RDWR)); SHOW(chmod(path, 0600)); } else { struct sockaddr_un x; socklen_t xl = sizeof x; getsockname(s, (void *)&x, &xl); SHOW(xl); getpeername(c, (void *)&x, &xl); CHECK(!memcmp(x.sun_path + 1, path, strlen(path))); }
    close(s); SHOW(connect(d, (void *)&a, l)); if (!abstract) { SHOW(unlink(path)); SHOW(connect(d, (void *)&a, l)); } SHOW(write(c, "still", 5)); SHOW(read(t, buffer, 9)); close(c); close(c2); close(c3); close(c4); close(d); SHOW(read(t, buffer, 9)); close(t);
    int auto_ = socket(AF_UNIX, SOCK_DGRAM, 0); a.sun_family = AF_UNIX; SHOW(bind(auto_, (void *)&a, 2)); struct sockaddr_un x; socklen_t xl = sizeof x; getsockname(auto_, (void *)&x, &xl); SHOW(xl); SHOW(x.sun_path[0]); close(auto_);
    struct sockaddr_un no; l = name(&no, "/tmp/none/such", 0); s = socket(AF_UNIX, SOCK_STREAM, 0); SHOW(connect(s, (void *)&no, l)); SHOW(bind(s, (void *)&no, l)); close(open("/tmp/capsid-test-file", O_CREAT | O_RDWR, 0600)); l = name(&no, "/tmp/capsid-test-file", 0); SHOW(connect(s, (void *)&no, l)); SHOW(bind(s, (void *)&no, l)); unlink("/tmp/capsid-test-file"); close(s);
}

static int send_rights(int s, const int *fds, int n, const char *text) { char c[CMSG_SPACE(4 * sizeof(int))]; memset(c, 0, sizeof c); struct iovec v = {(char *)text, strlen(text)}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = CMSG_SPACE(n * sizeof(int))}; struct cmsghdr *h = CMSG_FIRSTHDR(&m); h->cmsg_level = SOL_SOCKET; h->cmsg_type = SCM_RIGHTS; h->cmsg_len = CMSG_LEN(n * sizeof(int)); memcpy(CMSG_DATA(h), fds, n * sizeof(int)); return sendmsg(s, &m, 0); }
static int take_rights(int s, int *fds, int room, int flags, int *out) { char c[256]; struct iovec v = {buffer, 99}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = room}; int n = 0, r = recvmsg(s, &m, flags); for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); r >= 0 && h; h = CMSG_NXTHDR(&m, h)) if (h->cmsg_type == SCM_RIGHTS) n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int), memcpy(fds, CMSG_DATA(h), n * sizeof(int)); *out = m.msg_flags; return r < 0 ? r : r * 100 + n; }

static void rights(void) {
    int s[2], p[2], fds[8], flags; socketpair(AF_UNIX, SOCK_STREAM, 0, s); pipe(p); SHOW(send_rights(s[0], p, 2, "two")); SHOW(take_rights(s[1], fds, 256, MSG_CMSG_CLOEXEC, &flags)); SHOW(flags & MSG_CTRUNC); SHOW(fcntl(fds[0], F_GETFD)); SHOW(write(fds[1], "via", 3)); SHOW(read(p[0], buffer, 9)); close(fds[0]); close(fds[1]);
    send(s[0], "plain", 5, 0); send_rights(s[0], p, 1, "one"); send(s[0], "rest", 4, 0); SHOW(take_rights(s[1], fds, 256, 0, &flags)); SHOW(take_rights(s[1], fds, 256, 0, &flags)); SHOW(recv(s[1], buffer, 99, MSG_DONTWAIT)); send_rights(s[0], p, 2, "x"); SHOW(take_rights(s[1], fds, CMSG_SPACE(sizeof(int)) - 4, 0, &flags)); CHECK(flags & MSG_CTRUNC); send_rights(s[0], p, 1, "y"); SHOW(take_rights(s[1], fds, 0, 0, &flags)); CHECK(flags & MSG_CTRUNC); int bad = 999; SHOW(send_rights(s[0], &bad, 1, "z")); SHOW(send_rights(s[0], s, 1, "self"));
    int on = 1; SHOW(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, 4)); SHOW(number(s[1], SO_PASSCRED)); SHOW(take_rights(s[1], fds, 256, 0, &flags)); send(s[0], "who", 3, 0); char c[256]; struct iovec v = {buffer, 99}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c}; SHOW(recvmsg(s[1], &m, 0)); struct cmsghdr *h = CMSG_FIRSTHDR(&m); CHECK(h && h->cmsg_type == SCM_CREDENTIALS); struct ucred u; memcpy(&u, CMSG_DATA(h), sizeof u); CHECK(u.pid == getpid() && u.uid == getuid()); SHOW(m.msg_controllen);
    pid_t k = fork(); if (!k) { int q[2]; pipe(q); write(q[1], "from child", 10); send_rights(s[0], q, 1, "c"); _exit(0); } take_rights(s[1], fds, 256, 0, &flags); waitpid(k, 0, 0); SHOW(read(fds[0], buffer, 99)); close(s[0]); close(s[1]); close(p[0]); close(p[1]);
}

static void timeouts(void) {
    int s[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, s); struct timeval t = {0, 30000}; SHOW(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)); double b = seconds(); SHOW(recv(s[0], buffer, 1, 0)); b = seconds() - b; CHECK(b > 0.02 && b < 1); socklen_t l = sizeof t; SHOW(getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, &l)); SHOW(t.tv_usec / 10000); pid_t p = fork(); if (!p) { for (int i = 0; i < 8; i++) { usleep(1000); write(s[1], "chunk", 5); } _exit(0); } t.tv_sec = 5; setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t); SHOW(recv(s[0], buffer, 40, MSG_WAITALL)); waitpid(p, 0, 0);
    p = fork(); if (!p) { close(s[0]); size_t n = 0; ssize_t r; while ((r = read(s[1], buffer, 5000)) > 0) n += r; _exit(n == 3 * sizeof buffer ? 0 : 1); } close(s[1]); for (int i = 0; i < 3; i++) SHOW(write(s[0], buffer, sizeof buffer)); close(s[0]); int status; waitpid(p, &status, 0); SHOW(status);
}

int main(void) {
    signal(SIGPIPE, on_pipe); alarm(30); setvbuf(stdout, 0, _IONBF, 0);
    pairs(); messages(SOCK_SEQPACKET); messages(SOCK_DGRAM); connections(0); connections(1); rights(); timeouts();
    return 0;
}
