/* adamw.c - one step of AdamW (Loshchilov and Hutter 2019) with clipping by the global norm.
 *
 * Inputs: p, m, v (changed in place), g: all [R,P], flat and segment-major (see kernels.def);
 * norm [R] of gradnorm; hyper [R,8] = lr, wd, beta1, beta2, eps, clip (0: none), step from 1,
 * active; seg int [S,3]. No output of its own. A run with active 0 keeps every bit. With
 * g' = g min(1, clip / norm): m = beta1 m + (1 - beta1) g', v = beta2 v + (1 - beta2) g'^2,
 * p -= lr (mhat / (sqrt(vhat) + eps) + wd p), wd only where the segment decays.
 * Cost 15 per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *p = n->in[0], *seg = n->in[6];
    REQUIRE(p->rank == 2, "p is not [runs, parameters]");
    for (int i = 1; i < 4; i++) REQUIRE(n->in[i]->n == p->n, "p, m, v and g differ in size");
    REQUIRE(n->in[4]->n == (size_t)p->dim[0], "norm is not one real per run");
    REQUIRE(n->in[5]->n == 8 * (size_t)p->dim[0], "hyper is not [runs, 8]");
    REQUIRE(seg->kind == TENSOR_INT && seg->rank == 2 && seg->dim[1] == 3,
            "seg is not int [segments, 3]");
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *p = n->in[0], *seg = n->in[6];
    k->adamw_fwd(p->x, n->in[1]->x, n->in[2]->x, n->in[3]->x, n->in[4]->x, n->in[5]->x, seg->x,
                 p->dim[0], p->dim[1], seg->dim[0]);
}

static double flops(const node *n) { return 15 * (double)n->in[0]->n; }

#define FLAT(size)                                                                                 \
    { 1, {size}, .fixed = true }
#define FLAT_POSITIVE(size)                                                                        \
    { 1, {size}, .lo = .01, .hi = 1, .fixed = true }
#define NORM                                                                                       \
    { 0, {0}, .lo = .5, .hi = 2, .fixed = true }
#define HYPER(...)                                                                                 \
    { 1, {8}, .value = (const double[]){__VA_ARGS__}, .fixed = true }
#define SEG(count, ...)                                                                            \
    { 2, {(count), 3}, .below = 1 << 30, .value = (const double[]){__VA_ARGS__}, .shared = true }

static const op_case cases[] = {
    {.in = {FLAT(8), FLAT(8), FLAT_POSITIVE(8), FLAT(8), NORM,
            HYPER(1e-2, .1, .875, .96875, 1e-6, 1, 3, 1), SEG(2, 0, 5, 1, 5, 3, 0)}},
    {.in = {FLAT(1), FLAT(1), FLAT_POSITIVE(1), FLAT(1), NORM,
            HYPER(1e-2, 0, .875, .96875, 1e-6, 0, 1, 1), SEG(1, 0, 1, 1)}},
    {.in = {FLAT(166), FLAT(166), FLAT_POSITIVE(166), FLAT(166), NORM,
            HYPER(1e-2, .1, .875, .96875, 1e-6, .25, 100, 1),
            SEG(4, 0, 129, 1, 129, 33, 0, 162, 1, 0, 163, 3, 1)}},
    {.in = {FLAT(1200), FLAT(1200), FLAT_POSITIVE(1200), FLAT(1200), NORM,
            HYPER(1e-2, .1, .875, .96875, 1e-6, 1, 3, 1), SEG(2, 0, 1100, 1, 1100, 100, 0)}},
    {.in = {FLAT(3), FLAT(3), FLAT_POSITIVE(3), FLAT(3), NORM,
            HYPER(1e-2, .1, .875, .96875, 1e-6, 1, 3, 0), SEG(1, 0, 3, 1)}}, /* frozen */
};

const op K(op_adamw) = {
    .name = "adamw",
    .math = "p -= lr (mhat / (sqrt(vhat) + eps) + wd p)",
    .min_in = 7,
    .max_in = 7,
    .n_inout = 3,
    .flags = OP_UPDATE,
    .shape = shape,
    .fwd = forward,
    .flops = flops,
    OP_CASES(cases),
};
