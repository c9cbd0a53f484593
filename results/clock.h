/* clock.h - the wall clock, for rows that say when something happened; never for a result. */
#pragma once
#include <time.h>

static inline double clock_unix_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
