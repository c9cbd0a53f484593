/* launch.h - what kernel launchers ask of the device they run on.
 *
 * backend_cuda.c answers for a GPU, emu/backend_emu.c for the emulator. All launches of a process
 * go to one stream, in order. In a measuring pass nothing is launched: launchers run with made-up
 * pointers, only to say how much scratch they take. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Around every launch. false: do not launch. */
bool launch_begin(const char *kernel);
void launch_end(const char *kernel);
void *launch_stream(void); /* a cudaStream_t */

/* Scratch as a stack: what was taken since mark is given back by drop. Kernels are ordered, so it
 * may be given back as soon as its last reader is launched. 256-byte aligned, not initialised.
 * Sizes are functions of shapes, never of values; in a pack, R times those of a run alone. */
void *launch_take(size_t bytes);
size_t launch_mark(void);
void launch_drop(size_t mark);

/* c[r] (+)= a[r] b[r] for each run r: a [rows, inner], b [inner, cols], c [rows, cols]. Element
 * (i, k) of a is a[r a_run + i a_row + k a_col], likewise (k, j) of b; rows of c are contiguous. */
typedef struct product {
    int runs, rows, cols, inner;
    const float *a;
    long a_run, a_row, a_col;
    const float *b;
    long b_run, b_row, b_col;
    float *c;
    long c_run, c_row;
    bool accumulate;       /* adds to c; else overwrites it */
    const float *bias;     /* [R, cols], added to every row; may be NULL */
    const int *used_rows;  /* [R] on the device: rows from here on need not be written; or NULL */
    const int *used_inner; /* [R] on the device: terms from here on are zero; may be NULL */
} product;

/* The product by cuBLAS in the precision of train.numerics; false: strict, use own kernels. A bias
 * is not looked at. */
bool launch_blas(const product *p);

#ifdef __cplusplus
}
#endif
