// What the ABI programs share: each line of output is one observation.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Prints an expression's value; -1 with the name of errno.
#define SHOW(expression)                                                               \
    do {                                                                               \
        errno = 0;                                                                     \
        long value_ = (long)(expression);                                              \
        if (value_ == -1) printf("%s = -1 %s\n", #expression, strerrorname_np(errno)); \
        else printf("%s = %ld\n", #expression, value_);                                \
        fflush(stdout);                                                                \
    } while (0)

// Prints whether a condition holds.
#define CHECK(condition)                                                    \
    do {                                                                    \
        printf("%s: %s\n", #condition, (condition) ? "yes" : "no");         \
        fflush(stdout);                                                     \
    } while (0)

static inline double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}
