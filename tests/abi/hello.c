// What a program sees of itself at its start; also compiled with musl.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const char *name = strrchr(argv[0], '/');
    printf("%d %s %s\n", argc, name ? name + 1 : argv[0], getenv("HOME"));
    printf("%lu %lu %d\n", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK), getauxval(AT_RANDOM) != 0);
    struct stat s;
    int result = stat("/etc/passwd", &s);
    printf("%d %d\n", result, S_ISREG(s.st_mode));
    result = access("/nonexistent", F_OK);
    printf("%d %s\n", result, strerror(errno));
    struct timespec t;
    result = clock_gettime(CLOCK_REALTIME, &t);
    printf("%d %d\n", result, t.tv_sec > 1600000000);
    char *p = malloc(10 << 20);
    memset(p, 1, 10 << 20);
    free(p);
    printf("%.6f\n", 2.0 / 3);
    return 7;
}
