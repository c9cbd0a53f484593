/* gradnorm.c - norm[r] = Euclidean norm of the gradients of run r.
 *
 * Inputs: g [R,P] (the flat gradient buffer, segment-major: see kernels.def), seg int [S,3]. Output
 * norm [R]. Summed in double in the order of the segments. Cost 2 per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *g = n->in[0], *seg = n->in[1];
    REQUIRE(g->rank == 2, "g is not [runs, parameters]");
    REQUIRE(seg->kind == TENSOR_INT && seg->rank == 2 && seg->dim[1] == 3,
            "seg is not int [segments, 3]");
    tensor_shape(n->out, 1, g->dim);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *g = n->in[0], *seg = n->in[1];
    k->gradnorm_fwd(n->out->x, g->x, seg->x, g->dim[0], g->dim[1], seg->dim[0]);
}

static double flops(const node *n) { return 2 * (double)n->in[0]->n; }

#define SEG(count, ...)                                                                            \
    { 2, {(count), 3}, .below = 1 << 30, .value = (const double[]){__VA_ARGS__}, .shared = true }

static const op_case cases[] = {
    {.in = {{1, {8}, .fixed = true}, SEG(2, 0, 5, 1, 5, 3, 0)}},
    {.in = {{1, {1}, .fixed = true}, SEG(1, 0, 1, 1)}},
    {.in = {{1, {3000}, .fixed = true}, SEG(3, 0, 2200, 1, 2200, 1, 0, 2201, 799, 1)}},
    {.in = {{1, {166}, .fixed = true}, SEG(4, 0, 129, 1, 129, 33, 0, 162, 1, 0, 163, 3, 1)}},
};

const op K(op_gradnorm) = {
    .name = "gradnorm",
    .math = "norm = sqrt(sum g^2)",
    .min_in = 2,
    .max_in = 2,
    .flags = OP_UPDATE,
    .shape = shape,
    .fwd = forward,
    .flops = flops,
    OP_CASES(cases),
};
