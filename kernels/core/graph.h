/* graph.h - a tape of tensors with a run axis.
 *
 * A model builder appends nodes; the order of building is the order of running, and reversed it is
 * backpropagation. Shapes are static and there is no control flow. Every tensor is [R, ...]: R
 * independent runs share one tape and no op mixes them.
 *
 * Errors of a builder are sticky: an op that cannot be built yields NULL, NULL flows through later
 * ops, and graph_error() returns the first sentence. */
#pragma once
#include "arena.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng;

enum { MAX_RANK = 5, MAX_IN = 8 };

typedef struct kernels kernels;
typedef struct op op;
typedef struct backend backend;
typedef struct node node;

enum op_id {
#define ENTRY(name) OP_##name,
#include "op.def"
#undef ENTRY
    N_OP
};

typedef enum tensor_kind {
    TENSOR_ACT,   /* computed by a node, has a gradient in training */
    TENSOR_PARAM, /* lives in the flat parameter buffer */
    TENSOR_REAL,  /* real input without gradient */
    TENSOR_INT,   /* int32 input or output */
} tensor_kind;

typedef enum init_kind {
    INIT_CONST,
    INIT_NORMAL,
    INIT_UNIFORM,
    INIT_IDENTITY_TAP,
    INIT_FORMULA,
    INIT_ORTHOGONAL,
} init_kind;

/* How a parameter starts. INIT_IDENTITY_TAP: lag 0 of a filter [W, groups] is 1, others 0.
 * INIT_FORMULA: what tensor.formula says. INIT_ORTHOGONAL: see orthogonal.h; not scaled. */
typedef struct init {
    init_kind kind;
    double a; /* constant, standard deviation, or bound of U(-a, a) */
} init;

typedef struct tensor {
    const char *name;
    tensor_kind kind;
    int rank, dim[MAX_RANK]; /* dim[0] = R for everything but a few inputs shared by all runs */
    size_t n;                /* elements over all runs */
    bool is_input;           /* written by the host, not by a node */
    bool steady;             /* made of shapes and parameters, such as a long filter */
    void *x, *g;             /* data and gradient, set by graph_bind; g NULL: none */
    /* parameters */
    init start;
    double (*formula)(struct rng *draw, const struct tensor *t, size_t j); /* element j of a run */
    bool decay, fixed; /* fixed: not trained, no op writes its gradient */
    size_t offset;     /* elements before this parameter, per run, in the flat buffer */
    /* planner: first and last moment the data and the gradient are needed, the one at which the
     * gradient starts at zero; place in the arena */
    int first, last, g_first, g_last, g_zero;
    size_t at, g_at;
} tensor;

/* Attributes of ops; each op says which it reads. */
typedef struct op_arg {
    int heads, window, alibi; /* attention, rope, headscale, l2norm */
    int dilation;             /* conv */
    int site;                 /* dropout: tells the places of one model apart */
    int kind;                 /* map: which function; other ops: which variant */
    int steps;                /* shift; repeat: how often */
    double eps, scale, theta;
} op_arg;

struct node {
    const op *op;
    int n_in;
    tensor *in[MAX_IN], *out, *aux; /* aux: what forward keeps for backward, n = 0: nothing */
    size_t work_n;                  /* reals of scratch; shared by all nodes of the graph */
    void *work;
    op_arg arg;
};

typedef struct graph {
    arena *arena;
    const backend *backend;
    int runs;
    node *node;
    int n_node, cap_node;
    tensor **tensor;
    int n_tensor, cap_tensor;
    tensor **param; /* in order of creation */
    int n_param, cap_param;
    size_t param_n; /* elements per run */
    bool training;
    size_t arena_n, naive_n; /* reals: planned, and the sum of all tensors */
    size_t work_n;           /* reals at the end of the arena: scratch of the neediest node */
    error error;
} graph;

#define DIM(...)                                                                                   \
    (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), (int[]) { __VA_ARGS__ }

graph *graph_new(arena *a, const backend *b, int runs);
tensor *graph_param(graph *g, const char *name, init start, bool decay, int rank, const int *dim);
tensor *graph_input(graph *g, tensor_kind kind, const char *name, int rank, const int *dim);
tensor *graph_apply(graph *g, enum op_id id, int n_in, tensor *const *in, const op_arg *arg);

/* APPLY(g, add, IN(a, b)) and APPLY_WITH(g, rmsnorm, IN(x, w), .eps = 1e-5): append a node, get
 * its output. */
#define IN(...)                                                                                    \
    (int)(sizeof((tensor *[]){__VA_ARGS__}) / sizeof(tensor *)), (tensor *[]) { __VA_ARGS__ }
#define APPLY(g, name, inputs)           graph_apply(g, OP_##name, inputs, &(op_arg){.site = 0})
#define APPLY_WITH(g, name, inputs, ...) graph_apply(g, OP_##name, inputs, &(op_arg){__VA_ARGS__})

/* The node that computed `out`, e.g. for its aux; NULL for inputs. */
node *graph_node_of(graph *g, const tensor *out);

/* Lifetimes, then offsets: greedy by size, lowest free place. training: with backward. */
status graph_plan(graph *g, bool training, error *e);
/* Bytes of the arena after graph_plan; of one flat buffer of R * param_n reals. */
size_t graph_arena_bytes(const graph *g);
size_t graph_param_bytes(const graph *g);
/* Points tensors into memory. grad may be NULL for evaluation. */
void graph_bind(graph *g, void *base, void *param, void *grad);

void graph_forward(graph *g); /* all nodes; in training the root is left to graph_backward */
/* Adds into the bound gradient buffer. A tape that does not end with a root needs the gradient of
 * its last output first: the host writes it between forward and backward. */
void graph_backward(graph *g);
/* Both, for one of the parts of a batch that follow each other. Steady tensors are computed with
 * the first part; their gradients, summed over all parts, go back with the last. */
void graph_part(graph *g, bool first, bool last);
double graph_flops(const graph *g); /* of one forward pass over all runs */

/* seg table of gradnorm and adamw, [n_param, 3] ints, in `a`. */
int *graph_segments(const graph *g, arena *a);
/* Writes initial values of run `run` (host memory, doubles, param_n) from seed; a parameter's draws
 * depend on its name only. scale multiplies every random init. */
void graph_init(const graph *g, uint64_t seed, double scale, double *out);
