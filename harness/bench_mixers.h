/* bench_mixers.h - what each mixer of the registry, and each kind of convolution, costs in
 * training: mixgrid bench --mixers and --convs. */
#pragma once
#include "kernels/core/backend.h"
#include "report/table.h"
#include "results/store.h"

typedef struct bench_mixers_request {
    const backend *backend; /* open */
    store *store;           /* NULL: only printed */
    const char *journals;   /* the folder beside it */
    const char *environment_json, *only;
    const int *length; /* [n_length] ascending */
    int n_length;
    long d_model;     /* of the rows over lengths; the figure per operation has a size of its own */
    long tokens;      /* per step */
    double mem_bytes; /* a point that needs more is left out */
    double seconds;   /* of measuring per point */
} bench_mixers_request;

enum { BENCH_MAX_LENGTHS = 16 };

/* One row per mixer whose name contains `only`: milliseconds per sequence at each length, the slope
 * of their logarithms, time per counted operation as a multiple of attention's. Rows that cannot
 * run have empty cells, and why goes to stderr. NULL: an error that stops everything. */
table *bench_mixers(arena *a, const bench_mixers_request *q, error *e);

/* One row per conv.kind: its time as a multiple of the static depthwise filter's. */
table *bench_convs(arena *a, const bench_mixers_request *q, error *e);

/* Slope of log y over log x by least squares, over points with x >= from and y > 0; NAN where fewer
 * than two are left. */
double bench_slope(const double *x, const double *y, int n, double from);

/* "64,128,256" into ascending whole numbers, at most BENCH_MAX_LENGTHS. */
status bench_lengths(int *length, int *n, const char *list, error *e);
