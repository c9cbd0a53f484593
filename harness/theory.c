/* theory.c - see theory.h.
 *
 * One layer, one head, no position, no mixing matrices: scores are c <q_t, k_j>, the output
 * o_t = sum_j softmax_j v_j is compared with every embedding, and the largest inner product is the
 * prediction. F*X is the causal convolution (F*X)_t = sum_{j < W} F_j x_{t-j}, one tap for all
 * channels. Embeddings are unit vectors of random direction, drawn anew for each table.
 *
 * What the cases say:
 * - key delay: with the key of j describing what ends at j-1, the position after the earlier
 *   occurrence of the query is the best match, alone, and carries the answer. A delay is a filter
 *   whose tap at lag 0 is zero, so W + 1 taps do it.
 * - value shift: v_j = x_{j+1} looks ahead, which no causal op does. Moving time by one makes it
 *   causal: with q'_t = q_{t-1}, k'_t = k_{t-1} and v'_t = v_{t-1} = x_t, row t+1 of the delayed
 *   tape is row t of the shifted one. The sequence gets one more id, whose embedding is zero, as
 *   the value of the last position would be beyond the end. The query then also matches itself,
 *   with that empty value, so half of the attention is lost: the factor 2 of the construction
 *   repairs the size of the output, which the largest logit does not see.
 * - query only: o is a mean of x_j weighted by a function of the content of j alone, whatever the
 *   filter on q: nothing says what stood next to it.
 * - length: the keys that do not match have scores c u, u the inner product of independent unit
 *   vectors, so T keys take T E[e^(cu)] of attention against e^c of the match.
 * - copy: of the data tokens not yet written the oldest has decayed most, a written one has a
 *   second, recent occurrence, and noise occurs so often that its sum is large. So the smallest
 *   weight in q's sum is the next token, and the minus in q selects it. This needs orthogonal
 *   embeddings (here: unit vectors) and rho^L that is not lost against 1. The kernel's widest
 *   filter is shorter than the sequence, so rho^i is built from two: i = a + 64 b.
 * - landmark: <q, sum of the block's tokens> is 1 + noise of variance (n-1)/d in the query's block
 *   and noise of variance n/d in the others, whose largest is about sqrt(2 n ln(blocks) / d).
 *
 * Not shown: that training finds such weights. Cost: seconds; the long sequences take most. */
#include "theory.h"

#include "catalog.h"
#include "tape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SEED = 2407, MAX_TAPS = 64, MAX_FILTERS = 2 };

/* w_j = first ratio^(j - delay) for delay <= j < delay + width, else 0. */
typedef struct filter {
    tensor *w; /* [1, delay + width, 1] */
    int delay, width;
    double first, ratio;
} filter;

/* A planned tape in memory, with its parameters. */
typedef struct construction {
    const theory_case *c;
    arena *arena;
    const backend *backend;
    graph *g;
    void *memory, *param;
    int time, vocab; /* of the tape: a shifted one has one more position and one more id */
    tensor *ids, *label, *table, *marks, *marker, *out;
    filter filter[MAX_FILTERS];
    int n_filters;
} construction;

/* Tolerance: 2 points, or a tenth where a small share is predicted.
 * Too narrow, order-blind: the numbers have no closed form; they were simulated from the definition
 * by a separate program (8000 examples). A generator without BOS gives .99 where 1 stands here, as
 * the first token of a sequence, "a" after nothing, then has the direction of "aa". */
#define RECALL(n, length, w, f, c) n, length, 2048, 64, w, f, c
#define SMALL(n, length, w, f)     n, length, 8, 16, w, f, 1000
#define KEY_DELAY(n, length)                                                                       \
    {                                                                                              \
        "T1", "key delay", BUILD_KEY_DELAY, QUANTITY_ACCURACY, RECALL(n, length, n, .5, 12), 8, 8, \
            1, .02                                                                                 \
    }
#define KEY_DELAYS(n)                                                                              \
    KEY_DELAY(n, 32), KEY_DELAY(n, 64), KEY_DELAY(n, 128), KEY_DELAY(n, 256), KEY_DELAY(n, 512),   \
        KEY_DELAY(n, 1024), KEY_DELAY(n, 2048)
#define VALUE_SHIFT(n, quantity, expected)                                                         \
    {                                                                                              \
        "T1", "value shift", BUILD_VALUE_SHIFT, quantity, RECALL(n, 256, n, .5, 1000), 8, 16,      \
            expected, .02                                                                          \
    }
#define TOO_NARROW(w, expected)                                                                    \
    {                                                                                              \
        "T1", "too narrow", BUILD_KEY_DELAY, QUANTITY_ACCURACY, SMALL(3, 64, w, .5), 128, 32,      \
            expected, .02                                                                          \
    }
#define ORDER_BLIND(f, expected)                                                                   \
    {                                                                                              \
        "T1", "order-blind", BUILD_KEY_DELAY, QUANTITY_ACCURACY, SMALL(2, 32, 2, f), 128, 32,      \
            expected, .02                                                                          \
    }
#define QUERY_ONLY(n)                                                                              \
    {                                                                                              \
        "T1", "query only", BUILD_QUERY_ONLY, QUANTITY_ACCURACY, RECALL(n, 64, n, .5, 12), 16, 64, \
            1.0 / 2047, .02                                                                        \
    }
/* m / (1 + m) with m = (1 + (L-2) s) e^-c: the first key is zero, one matches, and the others have
 * s = E[e^(cu)] = sum_k (c^2/4)^k / (k! (d/2)(d/2+1)...(d/2+k-1)) = 3.0241 at c = 12, d = 64. */
#define LENGTH(length, tables, expected)                                                           \
    {                                                                                              \
        "T2", "length", BUILD_KEY_DELAY, QUANTITY_ELSEWHERE, RECALL(1, length, 1, .5, 12), tables, \
            8, expected, .1 * expected                                                             \
    }
#define LANDMARK(dim, expected)                                                                    \
    {                                                                                              \
        "T3", "landmark", BUILD_LANDMARK, QUANTITY_ACCURACY, 8, 1024, 0, dim, 0, 0, 0, 4, 1,       \
            expected, .02                                                                          \
    }
#define COPY(length, rho, expected)                                                                \
    {                                                                                              \
        "T4", "selective copy", BUILD_COPY, QUANTITY_SEQUENCES, 48, length, 64, 64, 0, rho, 1000,  \
            8, 16, expected, .02                                                                   \
    }
const theory_case theory_cases[] = {
    KEY_DELAYS(1),
    KEY_DELAYS(2),
    KEY_DELAYS(3),
    VALUE_SHIFT(1, QUANTITY_ACCURACY, 1),
    VALUE_SHIFT(2, QUANTITY_ACCURACY, 1),
    VALUE_SHIFT(3, QUANTITY_ACCURACY, 1),
    VALUE_SHIFT(4, QUANTITY_ACCURACY, 1),
    VALUE_SHIFT(4, QUANTITY_ELSEWHERE, .5),
    TOO_NARROW(1, .31),
    TOO_NARROW(2, .69),
    TOO_NARROW(3, 1),
    ORDER_BLIND(1, .77),
    ORDER_BLIND(.5, 1),
    QUERY_ONLY(1),
    QUERY_ONLY(2),
    QUERY_ONLY(3),
    LENGTH(32, 32, .000563),
    LENGTH(64, 32, .001157),
    LENGTH(128, 32, .002342),
    LENGTH(256, 32, .004703),
    LENGTH(512, 8, .009393),
    LENGTH(1024, 8, .018642),
    LENGTH(2048, 8, .03663),
    LANDMARK(55, .27), /* half of 2 n ln(blocks) = 111 */
    LANDMARK(111, .68),
    LANDMARK(222, .98),
    LANDMARK(444, 1),
    COPY(64, 0, 1),
    COPY(128, 0, 1),
    COPY(256, 0, 1),
    COPY(512, 0, 1),
    COPY(512, .9, 0), /* c rho^L is below the last bit of a score */
};
const int n_theory_cases = sizeof theory_cases / sizeof *theory_cases;

const char *const theory_quantity_name[] = {"accuracy", "exact sequences", "attention elsewhere"};

static tensor *convolve(construction *m, tensor *x, filter f, int dilation) {
    static const char *const name[MAX_FILTERS] = {"filter_0", "filter_1"};
    CHECK(m->n_filters < MAX_FILTERS && f.delay + f.width <= MAX_TAPS);
    f.w = graph_param(m->g, name[m->n_filters], (init){INIT_CONST, 0}, false,
                      DIM(1, f.delay + f.width, 1));
    m->filter[m->n_filters++] = f;
    return APPLY_WITH(m->g, conv, IN(x, f.w), .dilation = dilation);
}

static tensor *normed(construction *m, tensor *x, int delay) {
    const filter f = {.delay = delay, .width = m->c->width, .first = 1, .ratio = m->c->ratio};
    return APPLY_WITH(m->g, l2norm, IN(convolve(m, x, f, 1)), .eps = 1e-12);
}

static double copy_ratio(const theory_case *c) { return c->ratio ? c->ratio : 1 - 1.0 / c->length; }

static tensor *copy_query(construction *m, tensor *x) {
    const double rho = copy_ratio(m->c);
    const filter near = {.width = MAX_TAPS, .first = -1, .ratio = rho},
                 far = {.width = (m->time + MAX_TAPS - 1) / MAX_TAPS,
                        .first = 1,
                        .ratio = pow(rho, MAX_TAPS)};
    return convolve(m, convolve(m, x, near, 1), far, MAX_TAPS);
}

static void build_attention(construction *m) {
    graph *g = m->g;
    const theory_case *c = m->c;
    const int batch = c->batch, time = m->time, dim = c->dim;
    const init zero = {INIT_CONST, 0};
    m->ids = graph_input(g, TENSOR_INT, "ids", DIM(1, batch, time));
    m->table = graph_param(g, "embed", zero, false, DIM(1, m->vocab, dim));
    tensor *x = APPLY(g, embed, IN(m->ids, m->table)), *q = NULL, *k = x, *v = x;
    switch (c->build) {
    case BUILD_KEY_DELAY: q = normed(m, x, 0), k = normed(m, x, 1); break;
    case BUILD_VALUE_SHIFT: q = k = normed(m, x, 1); break;
    case BUILD_QUERY_ONLY: q = normed(m, x, 0); break;
    case BUILD_COPY: q = copy_query(m, x); break;
    case BUILD_LANDMARK: BUG("landmarks have a tape of their own");
    }
    if (c->quantity == QUANTITY_ELSEWHERE) { /* the value 1 at the answer, 0 elsewhere */
        m->marks = graph_input(g, TENSOR_INT, "marks", DIM(1, batch, time));
        m->marker = graph_param(g, "marker", zero, false, DIM(1, 2, dim));
        v = APPLY(g, embed, IN(m->marks, m->marker));
    }
    m->out = APPLY_WITH(g, attention, IN(q, k, v), .heads = 1, .scale = c->sharpness);
    if (m->marks) return;
    m->label = graph_input(g, TENSOR_INT, "label", DIM(1, batch, time));
    tensor *scale = graph_input(g, TENSOR_REAL, "scale", DIM(1));
    m->out = APPLY(g, head, IN(m->out, m->table, m->label, scale));
}

static void write_filter(const construction *m, const filter *f) {
    double tap[MAX_TAPS] = {0};
    for (int j = 0; j < f->width; j++) tap[f->delay + j] = f->first * pow(f->ratio, j);
    backend_put_reals(m->backend, f->w->x, tap, (size_t)(f->delay + f->width));
}

/* Plans and allocates the tape that was built, writes what no table changes. */
static status finish(construction *m, error *e) {
    if (graph_plan(m->g, false, e) || m->backend->reserve(graph_scratch(m->g), e)) return e->code;
    m->memory = m->backend->alloc(graph_arena_bytes(m->g), e);
    m->param = m->memory ? m->backend->alloc(graph_param_bytes(m->g), e) : NULL;
    if (!m->param) return e->code;
    graph_bind(m->g, m->memory, m->param, NULL);
    for (int i = 0; i < m->n_filters; i++) write_filter(m, &m->filter[i]);
    if (m->marker) {
        double *marker = ARENA_NEW(m->arena, double, m->marker->n);
        marker[m->c->dim] = 1;
        backend_put_reals(m->backend, m->marker->x, marker, m->marker->n);
    }
    return STATUS_OK;
}

static construction start(const theory_case *c, arena *a, const backend *b) {
    return (construction){.c = c, .arena = a, .backend = b, .g = graph_new(a, b, 1)};
}

static void drop(construction *m) {
    if (m->memory) m->backend->release(m->memory);
    if (m->param) m->backend->release(m->param);
}

/* x [rows, dim]: unit vectors of uniform direction. */
static void draw_directions(double *x, long rows, int dim, int table) {
    rng g = rng_start(rng_key_make(SEED, "theory", NULL, 0), (uint64_t)table, 0);
    for (long i = 0; i < rows; i++) {
        double sum = 0, *row = x + i * dim;
        for (int c = 0; c < dim; c++) row[c] = rng_normal(&g), sum += row[c] * row[c];
        for (int c = 0; c < dim; c++) row[c] /= sqrt(sum);
    }
}

/* The task's ids come first; the id that a shifted tape ends with keeps its zero row. */
static void write_table(const construction *m, double *x, int table) {
    if (m->c->build == BUILD_COPY)
        for (long i = 0; i < m->vocab; i++) x[i * m->c->dim + i] = 1;
    else
        draw_directions(x, m->c->vocab, m->c->dim, table);
    backend_put_reals(m->backend, m->table->x, x, m->table->n);
}

static task_set *open_task(const theory_case *c, arena *a, int tables, error *e) {
    const bool copy = c->build == BUILD_COPY;
    const char *setting[6] = {copy ? "task.name=selective_copy" : "task.name=nar"};
    int n = 1;
    setting[n++] = arena_printf(a, "task.length=%d", c->length);
    setting[n++] = arena_printf(a, "task.vocab=%d", c->vocab);
    setting[n++] = arena_printf(a, "task.%s=%d", copy ? "tokens" : "n", c->n);
    if (copy) {
        setting[n++] = "task.form=autoregressive";
        setting[n++] = "task.distinct=true";
    }
    diag *d = diag_new(a);
    const config *settings = config_from_settings(a, catalog_schema(), setting, n, d);
    if (!settings) {
        diag_first(d, e);
        return NULL;
    }
    job j;
    job_bind(&j, a, &settings, 1);
    const task_options options = {.val_count = 1,
                                  .test_count = (long)tables * c->batch,
                                  .data_seed = SEED,
                                  .held_out_only = true};
    return task_open(a, j.task, j.task_config, &options, e);
}

/* Where the answer of an example of nar stands: behind the first occurrence of its last n ids. */
static int answer_position(const int *ids, int n, int time) {
    int end = n - 1;
    while (memcmp(ids + end - n + 1, ids + time - n, (size_t)n * sizeof *ids)) end++;
    return end + 1;
}

typedef struct tally { /* sums over examples, in their order */
    long examples, exact, scored, wrong;
    double elsewhere;
} tally;

static void count_predictions(tally *t, const construction *m, int *pred, const int *label) {
    const long rows = (long)m->c->batch * m->time;
    m->backend->get(pred, graph_node_of(m->g, m->out)->aux->x, (size_t)rows * sizeof *pred);
    for (long b = 0; b < m->c->batch; b++) {
        long wrong = 0;
        for (long i = b * m->time; i < (b + 1) * m->time; i++) { /* both -1 where not scored */
            t->scored += label[i] >= 0;
            wrong += pred[i] != label[i];
        }
        t->exact += !wrong;
        t->wrong += wrong;
    }
}

static void add_elsewhere(tally *t, const construction *m, double *mass) {
    backend_get_reals(m->backend, mass, m->out->x, m->out->n);
    for (long b = 0; b < m->c->batch; b++)
        t->elsewhere += 1 - mass[((b + 1) * m->time - 1) * m->c->dim];
}

/* Examples first .. first + batch - 1 of the task, as the tape takes them. */
static void read_examples(const construction *m, int *ids, int *label, int *marks,
                          const task_set *set, int first) {
    for (int b = 0; b < m->c->batch; b++) {
        const long at = (long)b * m->time;
        task_get(set, SPLIT_TEST, (uint64_t)(first + b),
                 &(task_example){.ids = ids + at, .labels = label + at});
        if (marks) marks[at + answer_position(ids + at, m->c->n, set->time)] = 1;
        if (m->time == set->time) continue;
        ids[at + set->time] = m->c->vocab;
        label[at + set->time] = label[at + set->time - 1];
        label[at + set->time - 1] = -1;
    }
}

static void run_tables(tally *t, const construction *m, const task_set *set, int tables) {
    const size_t bytes = m->ids->n * sizeof(int);
    int *ids = ARENA_NEW(m->arena, int, m->ids->n), *label = ARENA_NEW(m->arena, int, m->ids->n),
        *pred = ARENA_NEW(m->arena, int, m->ids->n),
        *marks = m->marks ? ARENA_NEW(m->arena, int, m->ids->n) : NULL;
    double *table = ARENA_NEW(m->arena, double, m->table->n),
           *mass = marks ? ARENA_NEW(m->arena, double, m->out->n) : NULL;
    for (int i = 0; i < tables; i++) {
        if (marks) memset(marks, 0, bytes);
        read_examples(m, ids, label, marks, set, i * m->c->batch);
        write_table(m, table, i);
        m->backend->put(m->ids->x, ids, bytes);
        m->backend->put(marks ? m->marks->x : m->label->x, marks ? marks : label, bytes);
        graph_forward(m->g);
        if (marks)
            add_elsewhere(t, m, mass);
        else
            count_predictions(t, m, pred, label);
        t->examples += m->c->batch;
    }
}

static status measure_attention(tally *t, const theory_case *c, arena *a, const backend *b,
                                int tables, error *e) {
    const task_set *set = open_task(c, a, tables, e);
    if (!set) return e->code;
    const bool shifted = c->build == BUILD_VALUE_SHIFT;
    construction m = start(c, a, b);
    m.time = set->time + shifted;
    m.vocab = c->vocab + shifted;
    build_attention(&m);
    if (!finish(&m, e)) run_tables(t, &m, set, tables);
    drop(&m);
    return e->code;
}

/* Tokens [blocks, n, dim], N(0, 1 / dim) each. */
static void draw_tokens(double *x, const theory_case *c, int context) {
    rng g = rng_start(rng_key_make(SEED, "landmark", NULL, 0), (uint64_t)context, 0);
    const double size = 1 / sqrt(c->dim);
    for (long i = 0; i < (long)c->length * c->n * c->dim; i++) x[i] = size * rng_normal(&g);
}

/* Two tapes, as the sums of one become the output table of the other. Every block is asked for
 * once, with its last token. */
static status measure_landmarks(tally *t, const theory_case *c, arena *a, const backend *b,
                                int contexts, error *e) {
    const int blocks = c->length, dim = c->dim;
    construction sums = start(c, a, b), choice = start(c, a, b);
    tensor *x = graph_input(sums.g, TENSOR_REAL, "x", DIM(1, blocks, c->n, dim));
    sums.out = convolve(&sums, x, (filter){.width = c->n, .first = 1, .ratio = 1}, 1);
    tensor *query = graph_input(choice.g, TENSOR_REAL, "query", DIM(1, 1, blocks, dim)),
           *label = graph_input(choice.g, TENSOR_INT, "label", DIM(1, 1, blocks)),
           *scale = graph_input(choice.g, TENSOR_REAL, "scale", DIM(1));
    choice.table =
        graph_param(choice.g, "landmark", (init){INIT_CONST, 0}, false, DIM(1, blocks, dim));
    choice.out = APPLY(choice.g, head, IN(query, choice.table, label, scale));
    const long row = (long)c->n * dim, n = (long)blocks * dim;
    double *token = ARENA_NEW(a, double, blocks *row), *last = ARENA_NEW(a, double, n);
    int *own = ARENA_NEW(a, int, blocks), *pred = ARENA_NEW(a, int, blocks);
    for (int i = 0; i < blocks; i++) own[i] = i;
    if (finish(&sums, e) || finish(&choice, e)) goto done;
    b->put(label->x, own, (size_t)blocks * sizeof *own);
    for (int i = 0; i < contexts; i++) {
        draw_tokens(token, c, i);
        backend_put_reals(b, x->x, token, x->n);
        for (long k = 0; k < n; k++) last[k] = token[k / dim * row + row - dim + k % dim];
        backend_put_reals(b, query->x, last, query->n);
        graph_forward(sums.g);
        backend_get_reals(b, token, sums.out->x, sums.out->n);
        for (long k = 0; k < n; k++) last[k] = token[k / dim * row + row - dim + k % dim];
        backend_put_reals(b, choice.table->x, last, choice.table->n);
        graph_forward(choice.g);
        b->get(pred, graph_node_of(choice.g, choice.out)->aux->x, (size_t)blocks * sizeof *pred);
        for (int k = 0; k < blocks; k++) t->wrong += pred[k] != k;
        t->examples += blocks;
    }
    t->scored = t->examples;
done:
    drop(&sums);
    drop(&choice);
    return e->code;
}

status theory_measure(theory_result *out, const theory_case *c, const backend *b, int tables,
                      error *e) {
    arena *a = arena_new();
    tally t = {0};
    const int used = tables && tables < c->tables ? tables : c->tables;
    status s = c->build == BUILD_LANDMARK ? measure_landmarks(&t, c, a, b, used, e)
                                          : measure_attention(&t, c, a, b, used, e);
    if (!s) s = b->sync(e);
    *out = (theory_result){.examples = t.examples};
    if (!s) switch (c->quantity) {
        case QUANTITY_ACCURACY: out->measured = 1 - (double)t.wrong / (double)t.scored; break;
        case QUANTITY_SEQUENCES: out->measured = (double)t.exact / (double)t.examples; break;
        case QUANTITY_ELSEWHERE: out->measured = t.elsewhere / (double)t.examples; break;
        }
    arena_free(a);
    return s;
}

const char *theory_setting(arena *a, const theory_case *c) {
    switch (c->build) {
    case BUILD_LANDMARK: return arena_printf(a, "blocks=%d of %d d=%d", c->length, c->n, c->dim);
    case BUILD_COPY:
        return arena_printf(a, "M=%d L=%d A=%d rho=%.4g c=%g", c->n, c->length, c->vocab,
                            copy_ratio(c), c->sharpness);
    default:
        return arena_printf(a, "N=%d L=%d V=%d d=%d W=%d F=%g^j c=%g", c->n, c->length, c->vocab,
                            c->dim, c->width, c->ratio, c->sharpness);
    }
}
