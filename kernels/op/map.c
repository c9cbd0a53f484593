/* map.c - y = f(x + a) for the functions of core/functions.h, chosen by .kind; a is .scale.
 *
 * Input: x of any shape. Output like x. dx = dy f'(x + a). Cost counted as 5 per element. */
#include "kernels/core/functions.h"
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    REQUIRE(n->arg.kind >= 0 && n->arg.kind < N_MAP, "no function has this number");
    tensor_like(n->out, n->in[0]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->map_fwd(n->out->x, n->in[0]->x, n->arg.kind, n->arg.scale, (long)n->out->n);
}

static void backward(const node *n, const kernels *k) {
    k->map_bwd(n->in[0]->g, n->out->g, n->in[0]->x, n->arg.kind, n->arg.scale, (long)n->out->n);
}

static double flops(const node *n) { return 5 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{2, {3, 129}, .lo = -6, .hi = 6}}, .arg = {.kind = MAP_SIGMOID}},
    {.in = {{2, {3, 129}, .lo = -90, .hi = 90}}, .arg = {.kind = MAP_SIGMOID}},
    {.in = {{2, {3, 129}, .lo = -6, .hi = 6}}, .arg = {.kind = MAP_TANH}},
    {.in = {{2, {3, 129}, .lo = -90, .hi = 90}}, .arg = {.kind = MAP_SOFTPLUS}},
    {.in = {{2, {3, 129}, .lo = -5, .hi = 2}}, .arg = {.kind = MAP_SOFTPLUS, .scale = 0.5}},
    {.in = {{2, {3, 129}, .lo = -6, .hi = 1}}, .arg = {.kind = MAP_EXP}},
    {.in = {{2, {3, 129}, .lo = -6, .hi = 1}}, .arg = {.kind = MAP_NEG_EXP, .scale = -1}},
    {.in = {{2, {3, 129}, .lo = -9, .hi = 9}}, .arg = {.kind = MAP_SIN}},
    {.in = {{2, {3, 129}, .lo = .1, .hi = 2}}, .arg = {.kind = MAP_RELU}},
    {.in = {{2, {3, 129}, .lo = -2, .hi = -.1}}, .arg = {.kind = MAP_RELU}},
    {.in = {{2, {3, 129}}}, .arg = {.kind = MAP_RELU2}},
    {.in = {{2, {3, 129}, .lo = .1, .hi = 2}}, .arg = {.kind = MAP_ELU1}},
    {.in = {{2, {3, 129}, .lo = -6, .hi = -.1}}, .arg = {.kind = MAP_ELU1}},
    {.in = {{2, {3, 129}, .lo = .5, .hi = 3}}, .arg = {.kind = MAP_RECIPROCAL, .scale = .1}},
    {.in = {{2, {3, 129}}}, .arg = {.kind = MAP_SQUARE}},
    {.in = {{2, {3, 129}}}, .arg = {.kind = MAP_TIMES, .scale = -.3}},
    {.in = {{1, {1}}}, .arg = {.kind = MAP_SIGMOID}},
};

const op K(op_map) = {
    .name = "map",
    .math = "y = f(x + a)",
    .min_in = 1,
    .max_in = 1,
    .reads = READS_IN(0),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
