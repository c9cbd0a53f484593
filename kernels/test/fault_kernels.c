/* fault_kernels.c - see fault_kernels.h; compiled once for float and once for double. */
#include "fault_kernels.h"

#include "kernels/core/kernels.h"

#include <math.h>

static const kernels *good;
static kernels faulty;
static fault active;
static int calls;

/* The address sanitizer would stop at some of these before a check could find them. */
#define UNCHECKED __attribute__((no_sanitize_address))

UNCHECKED static void linear_fwd(real *y, const real *x, const real *w, const real *bias, int runs,
                                 int rows, int in, int out) {
    const long n = (long)runs * rows * out;
    const real last = y[n - 1];
    good->linear_fwd(y, x, w, bias, runs, rows, in, out);
    switch (active) {
    case FAULT_PAST_END: y[n] = 0; break;
    case FAULT_UNWRITTEN: y[n - 1] = last; break;
    case FAULT_INPUT: ((real *)(uintptr_t)w)[0] += 1; break;
    case FAULT_RUN_INDEX: y[n - 1] += (real)(runs - 1) / 1024; break;
    case FAULT_REPEAT: y[0] += (real)calls++ / 1024; break;
    case FAULT_ADDRESS: y[0] += (real)((uintptr_t)y % 64) / 1024; break;
    case FAULT_PRECISION:
        for (long i = 0; i < n && sizeof(real) == sizeof(float); i++)
            y[i] = (real)(rint((double)y[i] * 4096) / 4096);
        break;
    default: break;
    }
}

UNCHECKED static void linear_bwd(real *dx, real *dw, real *dbias, const real *dy, const real *x,
                                 const real *w, int runs, int rows, int in, int out) {
    const long n = (long)runs * in * out;
    const real before = dw ? dw[n - 1] : 0;
    good->linear_bwd(dx, active == FAULT_NULL && !dx ? NULL : dw, dbias, dy, x, w, runs, rows, in,
                     out);
    if (dw && active == FAULT_TAP) dw[n - 1] += (dw[n - 1] - before) / 100;
    if (dw && active == FAULT_OVERWRITE) dw[n - 1] -= before;
    if (dx && active == FAULT_BEFORE) dx[-1] = 0;
}

static void head_fwd(real *nll, int *pred, const real *x, const real *w, const int *label,
                     real *work, int runs, int rows, int cols, int vocab) {
    good->head_fwd(nll, pred, x, w, label, work, runs, rows, cols, vocab);
    if (active == FAULT_ROOT) pred[0]++;
}

static void quant8_bwd(real *dx, const real *dy, long n) {
    good->quant8_bwd(dx, dy, n);
    if (dx && active == FAULT_TAP) dx[n - 1] += dy[n - 1] / 100;
}

static void charge_bwd(real *dx, real *dloss, const real *dy, long n, long n_loss, double scale) {
    good->charge_bwd(dx, dloss, dy, n, n_loss, scale);
    if (dloss && active == FAULT_TAP) dloss[n_loss - 1] += (real)scale / 100;
}

const kernels *K(fault_kernels)(fault f, const kernels *base) {
    good = base;
    active = f;
    faulty = *base;
    faulty.linear_fwd = linear_fwd;
    faulty.linear_bwd = linear_bwd;
    faulty.head_fwd = head_fwd;
    faulty.quant8_bwd = quant8_bwd;
    faulty.charge_bwd = charge_bwd;
    return &faulty;
}
