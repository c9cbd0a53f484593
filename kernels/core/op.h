/* op.h - what an op is: one table entry, from which tests, memory plan, costs and docs are made.
 *
 * op/NAME.c holds the shape rule, one- to three-line adapters to the kernels, the math, the cost
 * and the test cases. It is compiled per scalar type, as adapters hand typed pointers to kernels;
 * the same node can so be run by a float and by a double backend. */
#pragma once
#include "graph.h"

/* What backward reads; everything else is free after forward. */
enum { READS_OUT = 1 << 8, READS_AUX = 1 << 9 };
#define READS_IN(i) (1u << (i))

enum {
    /* ends a tape: in training, backward also computes the outputs, with cotangent `scale` (the
     * last input, [R]), and forward is not run */
    OP_ROOT = 1,
    /* changes its first `n_inout` inputs in place; bwd is NULL, so it needs a tape of its own, that
     * is not trained; out->n = 0 where nothing else is written. Where the last input has no run
     * axis, it is a seg table and the leading inputs of equal size are flat parameter buffers (see
     * kernels.def). */
    OP_UPDATE = 2,
    /* backward is not the derivative of forward, but says what training shall see: the gradient of
     * the first input is that of the output, bit for bit, those of others are `arg.scale` */
    OP_SURROGATE = 4,
};

/* A test case: shapes without the leading run axis; the driver runs it with 1 and with 3 runs.
 * Inputs end after the last one that is not all zeros, but there are at least `min_in`.
 * Inputs with `value` hold those numbers (of one run) instead of random ones: cast to int where
 * `below` > 0 and the same in every run; reals are times 1 - r / 64 in run r, as runs of a pack
 * differ. `shared` inputs have no run axis. `fixed` reals are TENSOR_REAL: they have no gradient,
 * so none is checked. */
typedef struct op_case {
    struct {
        int rank, dim[MAX_RANK - 1];
        int below;     /* > 0: an int input, uniform in [-1 or 0, below) */
        int from;      /* lowest int: 0 (ids) or -1 (labels) */
        double lo, hi; /* reals uniform in [lo, hi); both 0: [-1, 1) */
        const double *value;
        bool shared, fixed;
    } in[MAX_IN];
    op_arg arg;
    bool stepped; /* forward has steps here, so that its derivative is not what backward says */
} op_case;

typedef struct op {
    const char *name, *math;
    int min_in, max_in, n_inout;
    unsigned reads, flags;
    unsigned shapes; /* inputs of which only the shape matters, as in `reads` */
    /* Checks inputs and attributes, sets rank and dim of out (and of aux, n of work).
     * NULL, or half a sentence that names what does not fit. */
    const char *(*shape)(node *);
    void (*fwd)(const node *, const kernels *);
    void (*bwd)(const node *, const kernels *);
    double (*flops)(const node *); /* of forward, multiply and add counted apart; NULL: 0 */
    const op_case *cases;
    int n_cases;
} op;

#define OP_CASES(array) .cases = (array), .n_cases = (int)(sizeof(array) / sizeof *(array))

/* Helpers for shape rules and adapters. */
static inline int tensor_last(const tensor *t) { return t->dim[t->rank - 1]; }
static inline int tensor_rows(const tensor *t) { /* per run */
    return (int)(t->n / (size_t)t->dim[0] / (size_t)tensor_last(t));
}
void tensor_like(tensor *out, const tensor *shape);
void tensor_shape(tensor *out, int rank, const int *dim);
#define REQUIRE(condition, sentence)                                                               \
    do {                                                                                           \
        if (!(condition)) return (sentence);                                                       \
    } while (0)
/* Data of input i, or NULL when it was not given. */
static inline void *in_x(const node *n, int i) { return i < n->n_in ? n->in[i]->x : NULL; }
static inline void *in_g(const node *n, int i) { return i < n->n_in ? n->in[i]->g : NULL; }
