/* lags.h - bodies that are compiled for each constant number of lags of a convolution. */
#pragma once
#include "cpu.h"

#include <stdbool.h>

enum { LAGS = 4 }; /* at most, in one pass */

#define INLINE static inline __attribute__((always_inline))

/* f(..., lags), its last argument known to the compiler; 0 < lags <= LAGS. */
#define WITH_LAGS(f, lags, ...)                                                                    \
    switch (lags) {                                                                                \
    case 1: f(__VA_ARGS__, 1); break;                                                              \
    case 2: f(__VA_ARGS__, 2); break;                                                              \
    case 3: f(__VA_ARGS__, 3); break;                                                              \
    default: f(__VA_ARGS__, 4); break;                                                             \
    }
