/* reals.h - reals of a backend's own type in host memory: what a copy to or from a device sees. */
#pragma once
#include "kernels/core/backend.h"

static inline void reals_write(const backend *b, void *to, long at, double x) {
    if (b->real_bytes == sizeof(double))
        ((double *)to)[at] = x;
    else
        ((float *)to)[at] = (float)x;
}

static inline double reals_read(const backend *b, const void *from, long at) {
    if (b->real_bytes == sizeof(double)) return ((const double *)from)[at];
    return (double)((const float *)from)[at];
}
