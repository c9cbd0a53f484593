/* kernels.h - kernels.def seen by one build: the scalar type, the names, the table of pointers.
 *
 * Included only by sources that are compiled once per build (core/table.c, op/, cpu/): `real` is
 * float or double there, and K(name) carries the build's suffix (linear_fwd_v4). Everything else
 * sees tensors as void pointers and a backend as a table. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef REAL_IS_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#define KERNEL_PASTE2(a, b) a##_##b
#define KERNEL_PASTE(a, b)  KERNEL_PASTE2(a, b)
#define K(name)             KERNEL_PASTE(name, KERNEL_SUFFIX)

#define KERNEL(name, args) void K(name) args;
#include "kernels/kernels.def"
#undef KERNEL

struct kernels {
#define KERNEL(name, args) void(*name) args;
#include "kernels/kernels.def"
#undef KERNEL
};
