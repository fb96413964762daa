// Files and names: open(2), lseek(2), pread(2), rename(2), link(2), getdents64(2), stat(2), statx(2),
// chmod(2), chown(2), utimensat(2), truncate(2), fallocate(2), access(2), readlink(2), xattr(7), dup(2)
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static char buffer[9000];
static struct stat st;
static int touch(const char *name) { int f = open(name, O_CREAT | O_WRONLY, 0644); return f < 0 ? -1 : close(f); }
static int mode(const char *name) { return lstat(name, &st) ? -1 : (int)st.st_mode; }
static int compare(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
static void list(const char *name) { DIR *d = opendir(name); char *names[99]; int n = 0; struct dirent *e; while ((e = readdir(d))) asprintf(&names[n++], "%s/%d", e->d_name, e->d_type); closedir(d); qsort(names, n, sizeof *names, compare); for (int i = 0; i < n; i++) printf(" %s", names[i]); puts(""); }

static void opening(void) {
    SHOW(open("none", O_RDONLY)); SHOW(open("", O_RDONLY)); SHOW(open((char *)8, O_RDONLY)); memset(buffer, 'a', sizeof buffer); buffer[5000] = 0; SHOW(open(buffer, O_RDONLY)); buffer[300] = 0; SHOW(open(buffer, O_RDONLY | O_CREAT, 0644)); SHOW(open("none/x", O_CREAT | O_RDWR, 0600)); SHOW(open(".", O_RDWR)); SHOW(open(".", O_CREAT | O_RDONLY, 0600)); SHOW(open("d", O_CREAT | O_DIRECTORY, 0600));
    umask(027); int f = open("f", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0777); CHECK(f >= 0); SHOW(fcntl(f, F_GETFL)); SHOW(fcntl(f, F_GETFD)); SHOW(mode("f")); umask(022); SHOW(open("f", O_CREAT | O_EXCL | O_RDWR, 0600)); SHOW(open("f/", O_RDONLY)); SHOW(open("f/x", O_RDONLY)); SHOW(open("f", O_DIRECTORY)); SHOW(open("new/", O_CREAT | O_RDWR, 0600));
    SHOW(write(f, "0123456789", 10)); SHOW(pread(f, buffer, 4, 8)); SHOW(pread(f, buffer, 4, 20)); SHOW(pread(f, buffer, 4, -1)); SHOW(pwrite(f, "X", 1, 12)); SHOW(lseek(f, 0, SEEK_CUR)); SHOW(lseek(f, -3, SEEK_END)); SHOW(read(f, buffer, 99)); SHOW(lseek(f, -1, SEEK_SET)); SHOW(lseek(f, 0, 99)); SHOW(lseek(f, 1l << 40, SEEK_SET)); SHOW(read(f, buffer, 9)); SHOW(read(f, (void *)8, 0)); SHOW(pread(f, (void *)8, 5, 0)); SHOW(pwrite(f, (void *)8, 5, 0));
    int a = open("f", O_WRONLY | O_APPEND); SHOW(write(a, "end", 3)); SHOW(lseek(a, 0, SEEK_CUR)); SHOW(pwrite(a, "!", 1, 0)); SHOW(fcntl(a, F_GETFL)); SHOW(fcntl(a, F_SETFL, O_NONBLOCK)); SHOW(fcntl(a, F_GETFL)); SHOW(read(a, buffer, 1)); int n; SHOW(ioctl(f, FIONREAD, &n)); SHOW(ioctl(f, TCGETS, buffer)); SHOW(ioctl(f, 12345)); lseek(f, 2, SEEK_SET); ioctl(f, FIONREAD, &n); SHOW(n);
    int p = open("f", O_PATH); SHOW(read(p, buffer, 1)); SHOW(fcntl(p, F_GETFL)); SHOW(fstat(p, &st)); SHOW(fchmod(p, 0600)); SHOW(ioctl(p, FIONBIO, &n)); SHOW(close(p)); int t = open("f", O_RDONLY | O_TRUNC); SHOW(fstat(t, &st)); SHOW(st.st_size); SHOW(write(t, "x", 1)); close(t); close(a);
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH}; int d = open(".", O_RDONLY | O_DIRECTORY); SHOW(syscall(SYS_openat2, d, "../x", &how, sizeof how)); SHOW(syscall(SYS_openat2, d, "/etc", &how, sizeof how)); SHOW(syscall(SYS_openat2, d, "f", &how, 8)); how.flags = 1ull << 40; SHOW(syscall(SYS_openat2, d, "f", &how, sizeof how)); how.flags = O_RDONLY; how.mode = 0600; SHOW(syscall(SYS_openat2, d, "f", &how, sizeof how)); SHOW(openat(f, "x", O_RDONLY)); SHOW(openat(999, "x", O_RDONLY)); SHOW(faccessat(999, "/etc", R_OK, 0));
    int u = open(".", O_TMPFILE | O_RDWR, 0600); CHECK(u >= 0); write(u, "un", 2); char path[64]; sprintf(path, "/proc/self/fd/%d", u); SHOW(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW)); SHOW(mode("named")); SHOW(unlink("named")); close(u); close(d); close(f);
    int x = dup(1); CHECK(x > 2); SHOW(dup2(x, x) == x); SHOW(dup3(x, x, 0)); SHOW(dup2(999, 5)); SHOW(dup2(x, 1 << 30)); SHOW(dup2(x, 50)); SHOW(syscall(SYS_close_range, 40, 60, 0)); SHOW(close(50)); SHOW(syscall(SYS_close_range, 60, 40, 0)); SHOW(dup3(x, 50, O_CLOEXEC)); SHOW(fcntl(50, F_GETFD)); close(50); close(x); struct rlimit r = {20, 1024}; setrlimit(RLIMIT_NOFILE, &r); int last = 0, k; while ((k = open("f", O_RDONLY)) >= 0) last = k; SHOW(last); SHOW(open("f", O_RDONLY)); for (k = 3; k < 20; k++) close(k);
}

static void names(void) {
    SHOW(mkdir("d", 0777)); SHOW(mkdir("d", 0777)); SHOW(mkdir("d/e/f", 0777)); SHOW(mkdir("d/e/", 01777)); SHOW(mode("d/e")); SHOW(rmdir("d")); SHOW(rmdir("f")); SHOW(rmdir(".")); SHOW(rmdir("d/..")); SHOW(unlink("d")); SHOW(unlink("none")); SHOW(unlink("f/"));
    SHOW(link("f", "g")); SHOW(link("f", "g")); SHOW(link("d", "h")); stat("f", &st); SHOW(st.st_nlink); SHOW(symlink("f", "s")); SHOW(symlink("", "t")); SHOW(symlink("loop", "loop")); SHOW(open("loop", O_RDONLY)); SHOW(readlink("s", buffer, 99)); SHOW(readlink("f", buffer, 99)); SHOW(readlink("s", buffer, 0)); symlink("0123456789", "long"); SHOW(readlink("long", buffer, 4)); SHOW(open("s", O_NOFOLLOW)); SHOW(open("long", O_CREAT | O_WRONLY, 0600) >= 0); SHOW(mode("0123456789")); SHOW(mode("s")); SHOW(lstat("s/", &st)); symlink("d", "sd"); SHOW(mode("sd/")); SHOW(mode("sd"));
    SHOW(rename("f", "d/f")); SHOW(rename("none", "x")); SHOW(rename("d", "d/e/x")); SHOW(rename("d/f", "d/e")); SHOW(rename("d/e", "d/f")); touch("d/e/x"); mkdir("k", 0755); SHOW(rename("k", "d/e")); SHOW(rename("d/e", "k")); SHOW(rename("g", "d/f")); SHOW(renameat2(AT_FDCWD, "g", AT_FDCWD, "s", RENAME_NOREPLACE)); SHOW(renameat2(AT_FDCWD, "g", AT_FDCWD, "k", RENAME_EXCHANGE)); SHOW(mode("g")); SHOW(mode("k")); SHOW(renameat2(AT_FDCWD, "g", AT_FDCWD, "k", 77)); list("."); list("g");
    int d = open("g", O_RDONLY); SHOW(mkdirat(d, "inner", 0700)); SHOW(unlinkat(d, "inner", 0)); SHOW(unlinkat(d, "inner", AT_REMOVEDIR)); SHOW(unlinkat(d, "x", 7)); SHOW(mknodat(d, "fifo", S_IFIFO | 0600, 0)); SHOW(mknod("reg", S_IFREG | 0600, 0)); SHOW(mknod("dir", S_IFDIR, 0)); SHOW(read(d, buffer, 9)); SHOW(write(d, buffer, 9)); SHOW(getdents64(d, buffer, 10)); SHOW(fchdir(d)); SHOW(access("x", F_OK)); CHECK(getcwd(buffer, sizeof buffer) && strstr(buffer, "/g")); SHOW(syscall(SYS_getcwd, buffer, 2)); SHOW(chdir("..")); SHOW(chdir("f")); SHOW(chdir("none")); close(d);
    mkdir("gone", 0755); chdir("gone"); rmdir("../gone"); SHOW(syscall(SYS_getcwd, buffer, 99)); SHOW(open("x", O_CREAT | O_WRONLY, 0600)); SHOW(open(".", O_RDONLY) >= 0); chdir("..");
    mkdir("many", 0755); chdir("many"); for (int i = 0; i < 1500; i++) { sprintf(buffer, "a-file-with-number-%d", i); touch(buffer); } DIR *q = opendir("."); int n = 0, m = 0; struct dirent *e; while ((e = readdir(q))) { n++; if (e->d_name[0] == 'a') unlink(e->d_name), m++; } SHOW(n); SHOW(m); rewinddir(q); n = 0; while (readdir(q)) n++; SHOW(n); closedir(q); chdir("..");
}

static void attributes(void) {
    int f = open("attr", O_CREAT | O_RDWR, 0644); SHOW(chmod("attr", 04751)); SHOW(mode("attr")); SHOW(chown("attr", 12, 34)); SHOW(mode("attr")); SHOW(st.st_uid); SHOW(st.st_gid); SHOW(fchown(f, -1, 0)); fstat(f, &st); SHOW(st.st_uid); SHOW(st.st_gid); SHOW(fchmod(f, 0600)); SHOW(chmod("none", 0)); SHOW(syscall(452, AT_FDCWD, "s", 0600, AT_SYMLINK_NOFOLLOW)); SHOW(lchown("s", 5, 6)); lstat("s", &st); SHOW(st.st_uid);
    struct timespec t[2] = {{1000000000, 123456789}, {UTIME_OMIT, UTIME_OMIT}}; t[1].tv_nsec = UTIME_OMIT; SHOW(utimensat(AT_FDCWD, "attr", t, 0)); stat("attr", &st); SHOW(st.st_atim.tv_sec); SHOW(st.st_atim.tv_nsec); CHECK(st.st_mtim.tv_sec > 1600000000); t[1].tv_nsec = 2000000000; SHOW(utimensat(AT_FDCWD, "attr", t, 0)); SHOW(futimens(f, 0)); fstat(f, &st); CHECK(st.st_atim.tv_sec > 1600000000); SHOW(utimensat(AT_FDCWD, "none", 0, 0)); SHOW(utimensat(f, "", 0, AT_EMPTY_PATH));
    SHOW(ftruncate(f, 100000)); fstat(f, &st); SHOW(st.st_size); SHOW(st.st_blocks); SHOW(pwrite(f, "x", 1, 50000)); SHOW(lseek(f, 0, SEEK_DATA)); SHOW(lseek(f, 49152, SEEK_HOLE)); SHOW(lseek(f, 100000, SEEK_DATA)); SHOW(truncate("attr", 10)); SHOW(truncate("d", 10)); SHOW(truncate("attr", -1)); SHOW(ftruncate(f, -1)); SHOW(fallocate(f, 0, 0, 20000)); fstat(f, &st); SHOW(st.st_size); SHOW(fallocate(f, FALLOC_FL_KEEP_SIZE, 0, 40000)); SHOW(fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096)); SHOW(fallocate(f, FALLOC_FL_PUNCH_HOLE, 0, 1)); SHOW(fallocate(f, 0, 0, 0)); fstat(f, &st); SHOW(st.st_size); SHOW(fsync(f)); SHOW(fdatasync(f)); SHOW(syncfs(f)); SHOW(posix_fadvise(f, 0, 0, 99)); SHOW(readahead(f, 0, 10)); SHOW(sync_file_range(f, 0, 10, 99));
    struct statx x; SHOW(statx(AT_FDCWD, "attr", 0, STATX_ALL, &x)); CHECK((x.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS); SHOW(x.stx_size); SHOW(x.stx_mode); SHOW(statx(f, "", AT_EMPTY_PATH, STATX_SIZE, &x)); SHOW(statx(f, "", 0, STATX_SIZE, &x)); SHOW(statx(AT_FDCWD, "attr", 1 << 30, STATX_SIZE, &x)); SHOW(fstatat(f, "", &st, AT_EMPTY_PATH)); SHOW(stat("attr", (void *)8)); struct statfs v; SHOW(statfs(".", &v)); SHOW(v.f_namelen); SHOW(fstatfs(f, &v)); SHOW(statfs("none", &v));
    SHOW(setxattr("attr", "user.a", "value", 5, 0)); SHOW(setxattr("attr", "user.a", "v", 1, XATTR_CREATE)); SHOW(setxattr("attr", "user.b", "v", 1, XATTR_REPLACE)); SHOW(getxattr("attr", "user.a", buffer, 99)); SHOW(getxattr("attr", "user.a", buffer, 2)); SHOW(getxattr("attr", "user.a", 0, 0)); SHOW(getxattr("attr", "user.c", buffer, 9)); SHOW(listxattr("attr", buffer, 99)); SHOW(fgetxattr(f, "user.a", buffer, 99)); SHOW(removexattr("attr", "user.a")); SHOW(removexattr("attr", "user.a")); SHOW(getxattr("attr", "nonsense", buffer, 9)); SHOW(lsetxattr("s", "user.a", "v", 1, 0)); close(f);
}

static void permissions(void) {
    chmod(".", 0755); mkdir("sticky", 0777); chmod("sticky", 01777); touch("sticky/roots"); touch("secret"); chmod("secret", 0600); mkdir("closed", 0700); touch("closed/x"); mkdir("group", 0755); chown("group", 0, 77); chmod("group", 02777); fflush(stdout);
    pid_t c = fork(); if (!c) { setgid(1234); setuid(1234); SHOW(open("secret", O_RDONLY)); SHOW(access("secret", R_OK)); SHOW(access("secret", F_OK)); SHOW(open("closed/x", O_RDONLY)); SHOW(open("mine", O_CREAT | O_WRONLY, 0600)); SHOW(unlink("sticky/roots")); SHOW(rename("sticky/roots", "sticky/x")); SHOW(touch("sticky/own")); SHOW(unlink("sticky/own")); SHOW(chmod("secret", 0666)); SHOW(chown("secret", 1234, 1234)); SHOW(touch("group/file")); stat("group/file", &st); SHOW(st.st_gid); mkdir("group/sub", 0755); SHOW(mode("group/sub")); SHOW(st.st_gid); SHOW(mknod("sticky/null", S_IFCHR | 0666, 259)); SHOW(chroot(".")); SHOW(utimensat(AT_FDCWD, "secret", 0, 0)); SHOW(mkdir("x", 0700)); _exit(0); } waitpid(c, 0, 0);
    SHOW(access("secret", X_OK)); SHOW(access("closed", X_OK)); SHOW(access("secret", 99)); SHOW(faccessat(AT_FDCWD, "secret", R_OK, AT_EACCESS));
    c = fork(); if (!c) { signal(SIGXFSZ, SIG_IGN); struct rlimit r = {5000, 5000}; setrlimit(RLIMIT_FSIZE, &r); int f = open("limited", O_CREAT | O_RDWR, 0600); SHOW(write(f, buffer, 6000)); SHOW(write(f, buffer, 1)); SHOW(ftruncate(f, 6000)); SHOW(ftruncate(f, 100)); signal(SIGXFSZ, SIG_DFL); pwrite(f, "x", 1, 7000); _exit(0); } int s; waitpid(c, &s, 0); CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGXFSZ);
}

int main(void) {
    char name[] = "/tmp/files-XXXXXX"; if (!mkdtemp(name) || chdir(name)) return 1;
    alarm(60); opening(); names(); attributes(); permissions();
    chdir("/"); char command[64]; sprintf(command, "rm -rf %s", name); return system(command);
}
