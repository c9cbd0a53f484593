/* float_fixture.h - what tests share that call the kernels of float builds by hand: the tables, and
 * inputs that are the same on every machine. To be included first. */
#pragma once
#define REAL_IS_FLOAT
#define KERNEL_SUFFIX test
#include "kernels/core/backend.h"
#include "kernels/core/kernels.h"
#include "kernels/core/rng.h"
#include "kernels/core/work.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above */
#include <cmocka.h>

/* The best float build that this processor can run. */
static inline const kernels *cpu(void) {
    error e = {0};
    const backend *b = backend_find("cpu", &e);
    assert_non_null(b);
    return b->kernels;
}

/* The one after `last` (NULL: the first); NULL at the end. Other devices must do as these do:
 * op_test compares them. */
static inline const backend *build_next(const backend *last) {
    int i = 0;
    while (last && backend_at(i++) != last)
        ;
    for (const backend *b; (b = backend_at(i)) != NULL; i++)
        if (!strncmp(b->name, "cpu-", 4) && !b->missing()) return b;
    return NULL;
}

/* n numbers in [lo, hi), the same for the same stream; for test_free. */
static inline float *draw(long n, double lo, double hi, int stream) {
    rng r = rng_start(rng_key_make((uint64_t)stream, "values", NULL, 0), 0, 0);
    float *x = test_malloc((size_t)n * sizeof *x);
    for (long i = 0; i < n; i++) x[i] = (float)(lo + (hi - lo) * rng_uniform(&r));
    return x;
}

/* x [n] = draw(n, -1, 1, stream) */
static inline void fill(float *x, long n, int stream) {
    float *from = draw(n, -1, 1, stream);
    memcpy(x, from, (size_t)n * sizeof *x);
    test_free(from);
}

/* got [n] is want + plus within 1e-5 of one and of the size of `want`. where: the case. */
static inline void compare(const char *what, const float *got, double plus, const double *want,
                           long n, const char *where) {
    double square = 0;
    for (long i = 0; i < n; i++) square += want[i] * want[i];
    const double bound = 1e-5 * (1 + sqrt(square / (double)n));
    for (long i = 0; i < n; i++)
        if (!(fabs((double)got[i] - plus - want[i]) < bound))
            fail_msg("%s[%ld] of %s: %g, not %g", what, i, where, (double)got[i] - plus, want[i]);
}
