/* op_bench.c - speed of every op at large shapes, against the copy bandwidth of the same device.
 *
 * op_bench [--backend NAME] [--numerics NAME] [--markdown] [OP]
 *
 * Forward and backward are timed apart, each as a recording that is repeated (on a CPU: called),
 * with a wait before and after; medians, after a warm-up. Bytes are the least that must move:
 * inputs read once, outputs written once, gradients read and written; kernels that do better were
 * served by a cache. Copy bandwidth is what the device's own `add` moves at 2^26 elements, two
 * reads and one write. Flops are the op's own count; backward counts as two forwards, that of a
 * root, which computes the outputs too, as three. Sizes: op_shape.c. Kinds of convolution are
 * compared with the static depthwise one at one size, in lines "ratio". Nothing is tested here. */
#include "bench_time.h"
#include "op_shape.h"

#include "kernels/core/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one op in memory ------------------------------------------------------------------- */

typedef struct bench {
    const backend *b;
    enum op_id id;
    arena *arena;
    op_case c; /* with the sizes of this device */
    node *node;
    void *taken[3 * MAX_IN];
    int n_taken;
    bool backward; /* the direction that step runs */
} bench;

static _Noreturn void stop(const error *e) {
    fprintf(stderr, "op_bench: %s\n", e->text);
    exit((int)e->code);
}

static size_t bytes_of(const bench *t, const tensor *x) {
    return x->n * (x->kind == TENSOR_INT ? sizeof(int) : t->b->real_bytes);
}

static void *take(bench *t, size_t bytes) {
    error e = {0};
    if (!bytes) return NULL;
    void *p = t->b->alloc(bytes, &e);
    if (!p) stop(&e);
    return t->taken[t->n_taken++] = p;
}

/* Values of one input, or cotangents (input -1): draws of a tile that is repeated, since a
 * generator would take longer than the measurement. */
static double value_at(const bench *t, int input, rng *g, size_t j) {
    if (input < 0) return 2 * rng_uniform(g) - 1;
    const op_case *c = &t->c;
    double lo = c->in[input].lo, hi = c->in[input].hi;
    const size_t n_value = (size_t)(c->in[input].rank == 2 ? 3 : c->in[input].dim[0]);
    if (c->in[input].value) return op_shape_scaled(c->in[input].value[j % n_value], t->b);
    if (c->in[input].below) return rng_below(g, (uint32_t)c->in[input].below);
    if (lo == 0 && hi == 0) lo = -1, hi = 1;
    return lo + (hi - lo) * rng_uniform(g);
}

static void fill(bench *t, void *device, const tensor *x, int input) {
    const size_t bytes = bytes_of(t, x), item = bytes / x->n;
    size_t tile = x->n < 1 << 18 ? x->n : 1 << 18;
    unsigned char *host = malloc(bytes);
    if (!host) stop(&(error){STATUS_ENVIRONMENT, "out of memory."});
    rng g = rng_start(rng_key_make(1, "op_bench", NULL, 0), (uint64_t)(input + 1), 0);
    for (size_t j = 0; j < tile; j++) {
        const double v = value_at(t, input, &g, j);
        if (x->kind == TENSOR_INT)
            memcpy(host + j * item, &(int){(int)v}, item);
        else if (item == sizeof(float))
            memcpy(host + j * item, &(float){(float)v}, item);
        else
            memcpy(host + j * item, &v, item);
    }
    for (size_t at = tile * item; at < bytes; at += tile * item)
        memcpy(host + at, host, bytes - at < tile * item ? bytes - at : tile * item);
    t->b->put(device, host, bytes);
    free(host);
}

static void step(void *context) {
    const bench *t = context;
    (t->backward ? t->node->op->bwd : t->node->op->fwd)(t->node, t->b->kernels);
}

/* Memory and values of one shape; forward has run once, so that backward finds what it reads. */
static void open_bench(bench *t, const backend *b, const op_shape *s) {
    error e = {0};
    *t = (bench){.b = b, .id = s->id, .arena = arena_new(), .c = op_shape_case(s, b)};
    t->node = case_node(t->arena, b, s->id, &t->c, s->runs, &e);
    if (!t->node) stop(&e);
    node *n = t->node;
    for (int i = 0; i < n->n_in; i++) {
        n->in[i]->x = take(t, bytes_of(t, n->in[i]));
        fill(t, n->in[i]->x, n->in[i], i);
        if (has_gradient(n, &t->c, i)) n->in[i]->g = take(t, bytes_of(t, n->in[i]));
    }
    n->out->x = take(t, bytes_of(t, n->out));
    n->aux->x = take(t, bytes_of(t, n->aux));
    n->work = take(t, n->work_n * b->real_bytes);
    if (!(n->op->flags & (OP_ROOT | OP_UPDATE))) {
        n->out->g = take(t, bytes_of(t, n->out));
        fill(t, n->out->g, n->out, -1);
    }
    for (int way = 0; way < (n->op->bwd ? 2 : 1); way++) {
        t->backward = way;
        if (b->reserve(b->measure(step, t), &e)) stop(&e);
    }
    t->backward = false;
    step(t);
}

static void close_bench(bench *t) {
    for (int i = 0; i < t->n_taken; i++) t->b->release(t->taken[i]);
    arena_free(t->arena);
}

/* ---- measuring -------------------------------------------------------------------------- */

/* Of input i; of a table that ids choose rows from, no more than they choose. */
static double input_bytes(const bench *t, int i) {
    const double all = (double)bytes_of(t, t->node->in[i]);
    return t->id == OP_embed ? fmin(all, (double)bytes_of(t, t->node->out)) : all;
}

static double least_bytes(const bench *t) {
    const node *n = t->node;
    const unsigned reads = t->backward ? n->op->reads : ~0u;
    const bool writes = !t->backward || n->op->flags & OP_ROOT;
    double sum = writes ? (double)(bytes_of(t, n->out) + bytes_of(t, n->aux)) : 0;
    for (int i = 0; i < n->n_in; i++) {
        const double bytes = input_bytes(t, i);
        if (reads & READS_IN(i)) sum += bytes;
        if (!t->backward && i < n->op->n_inout) sum += bytes;
        if (t->backward && n->in[i]->g) sum += 2 * bytes;
    }
    if (!t->backward) return sum;
    if (n->op->reads & READS_OUT) sum += (double)bytes_of(t, n->out);
    if (n->op->reads & READS_AUX) sum += (double)bytes_of(t, n->aux);
    return sum + (n->out->g ? (double)bytes_of(t, n->out) : 0);
}

static double flops_of(const bench *t) {
    const op *o = t->node->op;
    const double factor = !t->backward ? 1 : o->flags & OP_ROOT ? 3 : 2;
    return o->flops ? factor * o->flops(t->node) : 0;
}

static void finish(const backend *b) {
    error e = {0};
    if (b->sync(&e)) stop(&e);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one step: a median of repeats, each long enough that waiting for it is no cost. */
static double time_step(bench *t) {
    enum { REPEATS = 9, WARM = 3 };
    const double repeat_s = 0.01, total_s = 1;
    recording *r = NULL;
    double wall_s[REPEATS], start_s = 0;
    for (int i = 0; i < WARM; i++) { /* as it is, recorded, repeated */
        finish(t->b);
        start_s = now_s();
        t->b->replay(&r, step, t);
        finish(t->b);
    }
    const double once_s = now_s() - start_s;
    const int calls = (int)fmin(1000, 1 + repeat_s / once_s);
    int n = 0;
    for (double used_s = 0; n < REPEATS && (n < 3 || used_s < total_s); n++) {
        start_s = now_s();
        for (int i = 0; i < calls; i++) t->b->replay(&r, step, t);
        finish(t->b);
        used_s += now_s() - start_s;
        wall_s[n] = (now_s() - start_s) / calls;
    }
    t->b->forget(r);
    qsort(wall_s, (size_t)n, sizeof *wall_s, by_value);
    return wall_s[n / 2];
}

static double copy_rate(const backend *b) { /* bytes per second */
    bench t;
    const op_shape *add = op_shapes;
    while (add->id != OP_add) add++;
    open_bench(&t, b, add);
    const double rate = least_bytes(&t) / time_step(&t);
    close_bench(&t);
    return rate;
}

/* ---- the table -------------------------------------------------------------------------- */

/* Real inputs that are not one number per run, without the run axis: "8192x1024, 1024x1024". */
static const char *shape_text(const bench *t, int runs) {
    const char *text = runs > 1 ? arena_printf(t->arena, "%d runs of ", runs) : "", *gap = "";
    for (int i = 0; i < t->node->n_in && i < 2; i++) {
        const tensor *x = t->node->in[i];
        if (t->c.in[i].shared || x->rank < 2) continue;
        text = arena_printf(t->arena, "%s%s", text, gap);
        for (int k = 1; k < x->rank; k++)
            text = arena_printf(t->arena, "%s%s%d", text, k > 1 ? "x" : "", x->dim[k]);
        gap = ", ";
    }
    if (t->c.arg.heads) text = arena_printf(t->arena, "%s, %d heads", text, t->c.arg.heads);
    return text;
}

static void print_row(const op_shape *s, bench *t, double copy, bool markdown) {
    const double wall_s = time_step(t), rate = least_bytes(t) / wall_s;
    printf(markdown ? "| %s | %s | %s | %.3f | %.1f | %.0f | %.1f |\n"
                    : "%-10s %-42s %-8s %9.3f %7.1f %5.0f %8.1f\n",
           t->node->op->name, shape_text(t, s->runs), t->backward ? "backward" : "forward",
           wall_s * 1e3, rate * 1e-9, 100 * rate / copy, flops_of(t) / wall_s * 1e-9);
    fflush(stdout);
}

static void print_head(const backend *b, double copy, bool markdown) {
    device_info d = {0};
    b->devices(&d, 1);
    printf("%s, %s: `add` moves %.1f GB/s.%s", b->name, d.name, copy * 1e-9,
           markdown ? "\n\n" : "\n");
    printf(markdown ? "| %s | %s | %s | %s | %s | %s | %s |\n|---|---|---|--:|--:|--:|--:|\n"
                    : "%-10s %-42s %-8s %9s %7s %5s %8s\n",
           "op", "shape", "way", "ms", "GB/s", markdown ? "% of add" : "%add", "GFLOP/s");
}

/* Some inputs give shapes only. */
static bool has_backward(const bench *t) {
    for (int i = 0; i < t->node->n_in && t->node->op->bwd; i++)
        if (t->node->in[i]->g) return true;
    return false;
}

static void print_rows(const backend *b, const char *only, double copy, bool markdown) {
    for (int i = 0; i < n_op_shapes; i++) {
        bench t;
        const op_shape *s = &op_shapes[i];
        if (only && strcmp(only, b->ops[s->id]->name) != 0) continue;
        open_bench(&t, b, s);
        print_row(s, &t, copy, markdown);
        t.backward = true;
        if (has_backward(&t)) print_row(s, &t, copy, markdown);
        close_bench(&t);
    }
}

static void time_ways(double *wall_s, const backend *b, const op_shape *s) { /* [2] */
    bench t;
    open_bench(&t, b, s);
    for (int way = 0; way < 2; way++) {
        t.backward = way;
        wall_s[way] = time_step(&t);
    }
    close_bench(&t);
}

/* Each against its yardstick, timed just before it, as the clock of a machine drifts. */
static void print_ratios(const backend *b, const char *only) {
    const op_shape *yardstick = NULL;
    for (int i = 0; i < n_op_shapes; i++) {
        const op_shape *s = &op_shapes[i];
        if (s->role == YARDSTICK) yardstick = s;
        if (s->role != COMPARED || (only && strcmp(only, b->ops[s->id]->name) != 0)) continue;
        double its[2], mine[2];
        bench t;
        time_ways(its, b, yardstick);
        time_ways(mine, b, s);
        open_bench(&t, b, s);
        printf("ratio %s %s to %s: forward %.2f, backward %.2f, both %.2f\n", t.node->op->name,
               shape_text(&t, s->runs), b->ops[yardstick->id]->name, mine[0] / its[0],
               mine[1] / its[1], (mine[0] + mine[1]) / (its[0] + its[1]));
        fflush(stdout);
        close_bench(&t);
    }
}

/* ---- command line ----------------------------------------------------------------------- */

static int usage(void) {
    fprintf(stderr, "usage: op_bench [--backend NAME] [--numerics strict|fp32|tf32|bf16] "
                    "[--markdown] [OP]\n");
    return STATUS_USAGE;
}

static bool find_numerics(numerics *out, const char *name) {
    static const char *const names[] = {"strict", "fp32", "tf32", "bf16"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *out = (numerics)i;
        return true;
    }
    return false;
}

static bool is_op(const backend *b, const char *name) {
    for (int i = 0; i < N_OP; i++)
        if (!strcmp(name, b->ops[i]->name)) return true;
    return false;
}

int main(int argc, char **argv) {
    const char *name = "auto", *only = NULL;
    numerics n = NUMERICS_STRICT;
    bool markdown = false;
    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--backend") && more)
            name = argv[++i];
        else if (!strcmp(argv[i], "--numerics") && more && find_numerics(&n, argv[i + 1]))
            i++;
        else if (!strcmp(argv[i], "--markdown"))
            markdown = true;
        else if (argv[i][0] != '-' && !only)
            only = argv[i];
        else
            return usage();
    }
    error e = {0};
    const backend *b = backend_find(name, &e);
    const char *device = strchr(name, ':');
    if (!b || b->open(device ? device + 1 : NULL, n, &e)) stop(&e);
    if (only && !is_op(b, only)) return usage();
    const double copy = copy_rate(b);
    print_head(b, copy, markdown);
    print_rows(b, only, copy, markdown);
    if (markdown) printf("\n");
    print_ratios(b, only);
    return 0;
}
