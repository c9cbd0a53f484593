/* clock.h - clocks, for rows and screens that say when and how long; never for a result. */
#pragma once
#include <time.h>

static inline double clock_read_s(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds since 1970, and seconds since some moment that no change of the clock moves. */
static inline double clock_unix_s(void) { return clock_read_s(CLOCK_REALTIME); }
static inline double clock_steady_s(void) { return clock_read_s(CLOCK_MONOTONIC); }
