// Asynchronous transfers as the kernel has them: io_setup(2), io_submit(2), io_getevents(2).
#include "check.h"
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

static aio_context_t context;
static long setup(unsigned count, aio_context_t *where) { return syscall(SYS_io_setup, count, where); }
static long submit(long count, struct iocb **list) { return syscall(SYS_io_submit, context, count, list); }
static long events(long least, long most, struct io_event *into, struct timespec *timeout) {
    return syscall(SYS_io_getevents, context, least, most, into, timeout);
}
static struct iocb request(int operation, int fd, void *buffer, long length, long offset) {
    struct iocb block = {.aio_lio_opcode = operation, .aio_fildes = fd, .aio_buf = (long)buffer, .aio_nbytes = length, .aio_offset = offset};
    return block;
}
static void *later(void *block) {
    usleep(20000);
    submit(1, (struct iocb *[]){block});
    return 0;
}

int main(void) {
    char name[] = "/tmp/aio.XXXXXX", read_back[16] = {0};
    int fd = mkstemp(name), counter = eventfd(0, 0);
    unlink(name);
    SHOW(setup(0, &context));
    SHOW(setup(1 << 30, &context));
    SHOW(setup(4, 0));
    SHOW(setup(4, &context));
    SHOW(setup(4, &context));
    struct io_event done[8];
    struct timespec none = {0, 0}, some = {0, 30000000};
    struct iovec vector[] = {{"hel", 3}, {"lo", 2}};
    struct iocb first = request(IOCB_CMD_PWRITEV, fd, vector, 2, 0);
    struct iocb second = request(IOCB_CMD_PREAD, fd, read_back, 10, 1);
    first.aio_data = 7;
    second.aio_flags = IOCB_FLAG_RESFD;
    second.aio_resfd = counter;
    SHOW(submit(1, (struct iocb *[]){&first}));
    SHOW(events(1, 8, done, 0));
    printf("data %lld, same %d, result %lld\n", (long long)done[0].data, done[0].obj == (unsigned long)&first, (long long)done[0].res);
    SHOW(submit(1, (struct iocb *[]){&second}));
    long long told = 0;
    SHOW(read(counter, &told, 8));
    SHOW(events(1, 1, done, &some));
    printf("result %lld: %s, told %lld\n", (long long)done[0].res, read_back, told);
    SHOW(events(0, 8, done, 0));
    SHOW(events(1, 8, done, &none));
    SHOW(events(1, 8, done, &some));
    SHOW(events(2, 1, done, &none));
    SHOW(events(-1, 1, done, &none));
    struct iocb bad = request(IOCB_CMD_PREAD, 99, read_back, 1, 0), strange = request(77, fd, read_back, 1, 0), fault = request(IOCB_CMD_PWRITE, fd, (void *)8, 5, 0), sync = request(IOCB_CMD_FSYNC, fd, 0, 0, 0);
    SHOW(submit(1, (struct iocb *[]){&bad}));
    SHOW(submit(1, (struct iocb *[]){&strange}));
    SHOW(submit(2, (struct iocb *[]){&first, &bad}));
    SHOW(submit(2, (struct iocb *[]){&fault, &sync}));
    SHOW(submit(1, (struct iocb *[]){0}));
    SHOW(submit(-1, 0));
    SHOW(submit(0, 0));
    SHOW(events(3, 8, done, 0));
    long long results = 0;
    for (int i = 0; i < 3; i++) results += done[i].res;
    printf("results %lld\n", results);
    pthread_t thread;
    pthread_create(&thread, 0, later, &first);
    SHOW(events(1, 8, done, 0));
    pthread_join(thread, 0);
    pid_t child = fork();
    if (!child) _exit(submit(1, (struct iocb *[]){&first}) == -1 && errno == EINVAL ? 5 : 6);
    int status;
    waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 5);
    SHOW(syscall(SYS_io_cancel, context, &first, done));
    SHOW(syscall(SYS_io_destroy, context));
    SHOW(syscall(SYS_io_destroy, context));
    SHOW(submit(1, (struct iocb *[]){&first}));
    return 0;
}
