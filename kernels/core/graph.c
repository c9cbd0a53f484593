/* graph.c - building, binding and running a tape; the memory plan is in plan.c. */
#include "graph.h"

#include "backend.h"
#include "op.h"
#include "orthogonal.h"
#include "rng.h"

#include <stdio.h>
#include <string.h>

void tensor_shape(tensor *out, int rank, const int *dim) {
    out->rank = rank;
    out->n = 1;
    for (int i = 0; i < rank; i++) {
        out->dim[i] = dim[i];
        out->n *= (size_t)dim[i];
    }
}

void tensor_like(tensor *out, const tensor *shape) { tensor_shape(out, shape->rank, shape->dim); }

graph *graph_new(arena *a, const backend *b, int runs) {
    graph *g = ARENA_NEW(a, graph, 1);
    *g = (graph){.arena = a, .backend = b, .runs = runs};
    return g;
}

static tensor *tensor_new(graph *g, tensor_kind kind, const char *name, int rank, const int *dim) {
    CHECK(rank >= 0 && rank <= MAX_RANK);
    tensor *t = ARENA_NEW(g->arena, tensor, 1);
    *t = (tensor){.kind = kind, .name = arena_text(g->arena, name)};
    tensor_shape(t, rank, dim);
    ARENA_GROW(g->arena, g->tensor, g->n_tensor, g->cap_tensor);
    g->tensor[g->n_tensor++] = t;
    return t;
}

tensor *graph_param(graph *g, const char *name, init start, bool decay, int rank, const int *dim) {
    CHECK(dim[0] == g->runs);
    tensor *t = tensor_new(g, TENSOR_PARAM, name, rank, dim);
    t->start = start;
    t->decay = decay;
    t->offset = g->param_n;
    g->param_n += t->n / (size_t)g->runs;
    ARENA_GROW(g->arena, g->param, g->n_param, g->cap_param);
    g->param[g->n_param++] = t;
    return t;
}

tensor *graph_input(graph *g, tensor_kind kind, const char *name, int rank, const int *dim) {
    CHECK(kind == TENSOR_REAL || kind == TENSOR_INT);
    tensor *t = tensor_new(g, kind, name, rank, dim);
    t->is_input = true;
    return t;
}

static const char *shape_error(node *n, int n_in) {
    if (n_in < n->op->min_in || n_in > n->op->max_in) return "wrong number of inputs";
    return n->op->shape(n);
}

static void print_shape(char *text, size_t size, const tensor *t) {
    size_t used = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < t->rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, i ? ",%d" : "%d", t->dim[i]);
    if (used < size) snprintf(text + used, size - used, "]");
}

/* What is made of parameters alone is not: it is cheap, and its gradient would be kept all the
 * time. */
static bool is_steady(const node *n) {
    bool any = false;
    for (int i = 0; i < n->n_in; i++) {
        const bool steady = n->op->shapes & READS_IN(i) || n->in[i]->steady;
        if (!steady && n->in[i]->kind != TENSOR_PARAM) return false;
        any |= steady;
    }
    return any;
}

tensor *graph_apply(graph *g, enum op_id id, int n_in, tensor *const *in, const op_arg *arg) {
    CHECK(n_in <= MAX_IN);
    for (int i = 0; i < n_in; i++)
        if (!in[i]) { /* an earlier error carries through */
            CHECK(g->error.code != STATUS_OK);
            return NULL;
        }
    node n = {.op = g->backend->ops[id], .n_in = n_in, .arg = *arg};
    memcpy(n.in, in, (size_t)n_in * sizeof *in);
    n.out = tensor_new(g, TENSOR_ACT, n.op->name, 0, NULL);
    n.aux = tensor_new(g, TENSOR_REAL, "aux", 0, NULL);
    n.out->n = n.aux->n = 0;
    const char *why = shape_error(&n, n_in);
    if (why) {
        char shapes[256] = "", one[64];
        for (int i = 0; i < n_in; i++) {
            print_shape(one, sizeof one, in[i]);
            size_t used = strlen(shapes);
            snprintf(shapes + used, sizeof shapes - used, "%s%s %s", i ? ", " : "", in[i]->name,
                     one);
        }
        error_set(&g->error, STATUS_USAGE,
                  "op %s: %s (inputs: %s); change the sizes of the model or of its data.",
                  n.op->name, why, shapes);
        return NULL;
    }
    n.out->steady = n.aux->steady = is_steady(&n);
    ARENA_GROW(g->arena, g->node, g->n_node, g->cap_node);
    g->node[g->n_node++] = n;
    return n.out;
}

node *graph_node_of(graph *g, const tensor *out) {
    for (int i = g->n_node - 1; i >= 0; i--)
        if (g->node[i].out == out) return &g->node[i];
    return NULL;
}

size_t graph_arena_bytes(const graph *g) { return g->arena_n * g->backend->real_bytes; }

size_t graph_param_bytes(const graph *g) {
    return (size_t)g->runs * g->param_n * g->backend->real_bytes;
}

void graph_bind(graph *g, void *base, void *param, void *grad) {
    const size_t real = g->backend->real_bytes;
    const size_t runs = (size_t)g->runs;
    unsigned char *bytes = base;
    for (int i = 0; i < g->n_tensor; i++) {
        tensor *t = g->tensor[i];
        if (t->kind == TENSOR_PARAM) {
            t->x = (unsigned char *)param + runs * t->offset * real;
            t->g = grad ? (unsigned char *)grad + runs * t->offset * real : NULL;
        } else if (t->n) {
            t->x = bytes + t->at * real;
            t->g = t->g_first >= 0 ? bytes + t->g_at * real : NULL;
        }
    }
    for (int i = 0; i < g->n_node; i++) /* the scratch of all nodes is the end of the arena */
        g->node[i].work = bytes + (g->arena_n - g->work_n) * real;
}

static void forward(graph *g, bool first) {
    for (int i = 0; i < g->n_node; i++) {
        const node *n = &g->node[i];
        if (g->training && n->op->flags & OP_ROOT) continue;
        if (first || !n->out->steady) n->op->fwd(n, g->backend->kernels);
    }
}

static void backward(graph *g, bool first, bool last) {
    CHECK(g->training);
    const int end = 2 * g->n_node - 1;
    for (int i = g->n_node - 1; i >= 0; i--) {
        const node *n = &g->node[i];
        const bool due = last || !n->out->steady;
        for (int k = 0; k < n->n_in; k++) { /* a gradient starts at zero with its first writer */
            tensor *t = n->in[k];
            const bool kept = t->g_first < t->g_zero;
            if (t->kind == TENSOR_ACT && t->g_zero == end - i && (kept ? first : due))
                g->backend->zero(t->g, t->n * g->backend->real_bytes);
        }
        /* an output that nothing reads has no gradient, its g was never written */
        const bool dead = n->out->g_zero == end - i && i < g->n_node - 1;
        if (due && !dead) n->op->bwd(n, g->backend->kernels);
    }
}

void graph_forward(graph *g) { forward(g, true); }

void graph_backward(graph *g) { backward(g, true, true); }

void graph_part(graph *g, bool first, bool last) {
    forward(g, first);
    backward(g, first, last);
}

double graph_flops(const graph *g) {
    double sum = 0;
    for (int i = 0; i < g->n_node; i++)
        if (g->node[i].op->flops) sum += g->node[i].op->flops(&g->node[i]);
    return sum;
}

int *graph_segments(const graph *g, arena *a) {
    int *seg = ARENA_NEW(a, int, 3 * g->n_param);
    for (int i = 0; i < g->n_param; i++) {
        const tensor *t = g->param[i];
        seg[3 * i] = (int)t->offset;
        seg[3 * i + 1] = (int)(t->n / (size_t)g->runs);
        seg[3 * i + 2] = t->decay;
    }
    return seg;
}

void graph_init(const graph *g, uint64_t seed, double scale, double *out) {
    for (int i = 0; i < g->n_param; i++) {
        const tensor *t = g->param[i];
        const size_t n = t->n / (size_t)g->runs;
        rng r = rng_start(rng_key_make(seed, "init", t->name, strlen(t->name)), 0, 0);
        if (t->start.kind == INIT_ORTHOGONAL) {
            const int cols = tensor_last(t);
            orthogonal_rows(out + t->offset, &r, (int)n / cols, cols);
            continue;
        }
        for (size_t j = 0; j < n; j++) {
            double v = 0;
            switch (t->start.kind) {
            case INIT_CONST: v = t->start.a; break;
            case INIT_NORMAL: v = scale * t->start.a * rng_normal(&r); break;
            case INIT_UNIFORM: v = scale * t->start.a * (2 * rng_uniform(&r) - 1); break;
            case INIT_IDENTITY_TAP: v = j < (size_t)tensor_last(t); break;
            case INIT_FORMULA: v = t->formula(&r, t, j); break;
            case INIT_ORTHOGONAL: break;
            }
            out[t->offset + j] = v;
        }
    }
}
