/* experts.c - swiglu layers that tokens choose among; see kernels.def.
 *
 * Places (a token and one of its choices) are sorted by expert, stable; the rows of an expert are
 * gathered, go through three products, and are added to their tokens in order of experts. An
 * element's sum in a product does not depend on the number of rows, so neither do results. */
#include "gemm.h"

#include "kernels/core/work.h"

#include <stdbool.h>
#include <string.h>

/* The places of one run by expert: those of e are order[start[e]] .. order[start[e + 1] - 1]. */
typedef struct grouping {
    int *start, *order;
} grouping;

/* Ints in the work memory: a real is at least as large as an int. */
static grouping group(real *work, const int *choice, long places, int experts) {
    grouping g = {(int *)work, (int *)(work + experts + 1)};
    memset(g.start, 0, ((size_t)experts + 1) * sizeof *g.start);
    for (long i = 0; i < places; i++) g.start[choice[i]]++;
    for (int e = 0, sum = 0; e <= experts; e++) { /* counts become ends ... */
        sum += g.start[e];
        g.start[e] = sum;
    }
    for (long i = places - 1; i >= 0; i--) g.order[--g.start[choice[i]]] = (int)i; /* .. starts */
    return g;
}

static void gather(real *out, const real *x, const grouping *g, long places, int top, int cols) {
    for (long p = 0; p < places; p++)
        memcpy(out + p * cols, x + g->order[p] / top * (long)cols, (size_t)cols * sizeof *out);
}

/* y += x w for the rows of each expert; with w [experts, a, b] or its transposes. */
static void multiply(real *y, const real *x, const real *w, const grouping *g, int experts, int in,
                     int out, bool transposed, int accumulate) {
    for (long e = 0; e < experts; e++) {
        const long first = g->start[e], n = g->start[e + 1] - first;
        const real *we = w + e * in * out;
        gemm((int)n, out, in, x + first * in, in, 1, we, transposed ? 1 : out, transposed ? in : 1,
             y + first * out, out, accumulate);
    }
}

/* dw[e] += x_e^T dy_e. */
static void multiply_back(real *dw, const real *x, const real *dy, const grouping *g, int experts,
                          int in, int out) {
    for (long e = 0; dw && e < experts; e++) {
        const long first = g->start[e], n = g->start[e + 1] - first;
        if (n)
            gemm(in, out, (int)n, x + first * in, 1, in, dy + first * out, out, 1,
                 dw + e * in * out, out, 1);
    }
}

static void add_scaled(real *to, const real *from, real scale, int n) {
    SIMD for (int i = 0; i < n; i++) to[i] += scale * from[i];
}

/* h = silu(a) b, in 8 bits per row where eps > 0. */
static void activate(real *h, const real *a, const real *b, long rows, int inner, double eps) {
    SIMD for (long i = 0; i < rows * inner; i++) h[i] = a[i] * real_sigmoid(a[i]) * b[i];
    if (eps > 0) K(quant8_fwd)(h, h, rows, inner, eps);
}

void K(experts_fwd)(real *y, real *kept, const real *x, const real *weight, const int *choice,
                    const real *wg, const real *w1, const real *w2, real *work, int runs, int rows,
                    int top, int experts, int cols, int inner, double eps) {
    const long places = (long)rows * top, weights = (long)experts * cols * inner;
    for (long r = 0; r < runs; r++) {
        const grouping g = group(work, choice + r * places, places, experts);
        real *xs = work + experts + 1 + places, *h = xs + places * cols;
        real *a = kept + r * 2 * places * inner, *b = a + places * inner;
        gather(xs, x + r * rows * cols, &g, places, top, cols);
        multiply(a, xs, wg + r * weights, &g, experts, cols, inner, false, 0);
        multiply(b, xs, w1 + r * weights, &g, experts, cols, inner, false, 0);
        activate(h, a, b, places, inner, eps);
        multiply(xs, h, w2 + r * weights, &g, experts, inner, cols, false, 0);
        real *yr = y + r * rows * cols;
        memset(yr, 0, (size_t)rows * (size_t)cols * sizeof *yr);
        for (long p = 0; p < places; p++)
            add_scaled(yr + g.order[p] / top * (long)cols, xs + p * cols,
                       weight[r * places + g.order[p]], cols);
    }
}

/* From h and dh = dy W2^T (in da) of one place: the gradient of its weight, h times the weight, and
 * the gradients of a and b in their place. */
static real activation_back(real *h, real *da, real *db, const real *a, const real *b, real weight,
                            int inner) {
    real dweight = 0;
    SIMD_SUM(dweight) for (int i = 0; i < inner; i++) {
        const real s = real_sigmoid(a[i]), act = a[i] * s, dh = da[i];
        dweight += dh * h[i];
        h[i] *= weight;
        da[i] = weight * dh * b[i] * s * (1 + a[i] * (1 - s));
        db[i] = weight * dh * act;
    }
    return dweight;
}

void K(experts_bwd)(real *dx, real *dweight, real *dwg, real *dw1, real *dw2, const real *dy,
                    const real *kept, const real *x, const real *weight, const int *choice,
                    const real *wg, const real *w1, const real *w2, real *work, int runs, int rows,
                    int top, int experts, int cols, int inner, double eps) {
    const long places = (long)rows * top, weights = (long)experts * cols * inner;
    for (long r = 0; r < runs; r++) {
        const grouping g = group(work, choice + r * places, places, experts);
        real *rows_of = work + experts + 1 + places, *h = rows_of + places * cols,
             *da = h + places * inner, *db = da + places * inner;
        const real *a = kept + r * 2 * places * inner, *b = a + places * inner;
        gather(rows_of, dy + r * rows * cols, &g, places, top, cols);
        multiply(da, rows_of, w2 + r * weights, &g, experts, cols, inner, true, 0);
        activate(h, a, b, places, inner, eps);
        for (long p = 0; p < places; p++) {
            const long at = p * inner, place = r * places + g.order[p];
            const real d =
                activation_back(h + at, da + at, db + at, a + at, b + at, weight[place], inner);
            if (dweight) dweight[place] += d;
        }
        multiply_back(OFFSET(dw2, r * weights), h, rows_of, &g, experts, inner, cols);
        gather(rows_of, x + r * rows * cols, &g, places, top, cols);
        multiply_back(OFFSET(dwg, r * weights), rows_of, da, &g, experts, cols, inner);
        multiply_back(OFFSET(dw1, r * weights), rows_of, db, &g, experts, cols, inner);
        if (!dx) continue;
        multiply(rows_of, da, wg + r * weights, &g, experts, inner, cols, true, 0);
        multiply(rows_of, db, w1 + r * weights, &g, experts, inner, cols, true, 1);
        for (long p = 0; p < places; p++)
            add_scaled(dx + (r * rows + g.order[p] / top) * cols, rows_of + p * cols, 1, cols);
    }
}
