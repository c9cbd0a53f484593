/* op_check.c - see op_check.h. */
#include "op_check.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static void fail(subject *s, const backend *b,
                                                       const char *format, ...) {
    if (s->failed) return;
    s->failed = true;
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const char *op_name = s->exact->ops[s->id]->name;
    snprintf(s->failure, sizeof s->failure, "op %s, case %d, backend %s: %s\n    rerun: %s %s %d",
             op_name, s->case_no, b->name, what, s->program, op_name, s->case_no);
}

static trial *new_trial(subject *s, const backend *b, const op_data *d, trial_way way) {
    trial *t = trial_new(s->arena, b, s->id, s->case_no, d, way);
    t->next = s->trials;
    return s->trials = t;
}

/* A training step of the node on b with the values of d. */
static trial *train(subject *s, const backend *b, const op_data *d, trial_way way) {
    trial *t = new_trial(s, b, d, way);
    trial_train(t);
    return t;
}

static const trial_way plain = {.fill = FILL_NAN, .shift = 1};

/* The training step that most checks compare with; made once per backend. */
static const trial *train_plain(subject *s, const backend *b) {
    int i = 0;
    while (i < s->n_plain && s->plain[i]->backend != b) i++;
    if (i == s->n_plain) s->plain[s->n_plain++] = train(s, b, s->data, plain);
    return s->plain[i];
}

/* The backends that the running check takes. Devices that share a table of kernels are one device
 * in several thread orders, and the first of them stands for all: check_order proves that they
 * compute the same bits. The double build is the concern of op_test, not of emu_op_test. */
static int list_backends(const subject *s, const backend **list) {
    int n = 0;
    if (!IS_EMULATED) list[n++] = s->exact;
    for (int i = 0; i < s->n_fast; i++)
        if (s->every_order || !i || s->fast[i]->kernels != s->fast[0]->kernels)
            list[n++] = s->fast[i];
    return n;
}

/* What an op computes: output, aux, gradients, and inputs changed in place. */
enum { MAX_RESULTS = MAX_IN + 2 };
static int list_results(const trial *t, const guarded **list) {
    int n = 0;
    list[n++] = &t->out;
    list[n++] = &t->aux;
    for (int i = 0; i < t->node->n_in; i++) list[n++] = i < t->op->n_inout ? &t->x[i] : &t->g[i];
    return n;
}

static const char *result_name(subject *s, const guarded *b) {
    return b->input < 0 ? b->name : arena_printf(s->arena, "%s %d", b->name, b->input);
}

static bool same_bits(const guarded *a, long i, const guarded *b, long j) {
    return !memcmp((char *)a->data + (size_t)i * a->item, (char *)b->data + (size_t)j * b->item,
                   a->item);
}

/* All results that both trials have are bitwise equal. */
static void require_equal(subject *s, const trial *t, const trial *u, const char *why) {
    const guarded *a[MAX_RESULTS], *b[MAX_RESULTS];
    int n = list_results(t, a);
    list_results(u, b);
    for (int k = 0; k < n; k++)
        for (long i = 0; a[k]->data && b[k]->data && i < a[k]->n; i++)
            if (!same_bits(a[k], i, b[k], i))
                fail(s, t->backend, "%s: element %ld of the %s is %.9g and %.9g", why, i,
                     result_name(s, a[k]), guarded_get(a[k], i), guarded_get(b[k], i));
}

/* Operations of forward, at least one per element. */
static double work_of(const trial *t) {
    double work = fmax((double)t->out.n, t->op->flops ? t->op->flops(t->node) : 0);
    for (int i = 0; i < t->node->n_in; i++) work = fmax(work, (double)t->x[i].n);
    return work;
}

/* ---- gradient --------------------------------------------------------------------------- */

/* A block of n elements of one input, from `first`, moved together: element j by sign(j) h. */
typedef struct block {
    int input;
    long first, n;
} block;

static double sign_of(const block *m, long j) { /* any fixed irregular pattern */
    return m->n == 1 || (uint64_t)j * 0x9E3779B97F4A7C15u >> 63 ? 1 : -1;
}

typedef struct probe {
    const op_data *d;
    const trial *t; /* holds the gradients to be checked */
    trial *moved;
    double *plus; /* [R, ...] outputs of the first of two moves */
} probe;

static void move(probe *p, const block *m, double h) {
    for (int r = 0; r < p->d->runs; r++)
        for (long j = m->first; j < m->first + m->n; j++) {
            long at = data_index(p->d, m->input, r, j);
            guarded_put(&p->moved->x[m->input], at,
                        p->d->in[m->input].real[at] + sign_of(m, j) * h);
        }
}

/* slope[r] = sum_k cotangent[k] (out(x + h) - out(x - h))[k] / 2h. All runs are moved at once: no
 * op mixes them, which check_runs proves bitwise. Differences are taken before the sum, so that
 * outputs that do not depend on the block add no rounding. */
static void difference(double *slope, probe *p, const block *m, double h) {
    const double *minus = p->moved->out.data;
    const long out_n = p->d->out_n / p->d->runs;
    move(p, m, h);
    trial_forward(p->moved);
    memcpy(p->plus, minus, p->moved->out.bytes);
    move(p, m, -h);
    trial_forward(p->moved);
    move(p, m, 0);
    for (int r = 0; r < p->d->runs; r++) {
        slope[r] = 0;
        for (long k = r * out_n; k < (r + 1) * out_n; k++)
            slope[r] += p->d->cotangent[k] * (p->plus[k] - minus[k]);
        slope[r] /= 2 * h;
    }
}

/* What backward says about the block: the signed sum, and the size of its terms. */
static double gradient_along(const probe *p, const block *m, int r, double *size) {
    double sum = *size = 0;
    for (long j = m->first; j < m->first + m->n; j++) {
        double g = guarded_get(&p->t->g[m->input], data_index(p->d, m->input, r, j));
        sum += sign_of(m, j) * g;
        *size += fabs(g);
    }
    return sum;
}

/* Run whose slope does not fit its gradient, -1: none. */
static int misfit(const probe *p, const block *m, const double *slope) {
    const double tolerance = 1e-7;
    for (int r = 0; r < p->d->runs; r++) {
        double size, g = gradient_along(p, m, r, &size);
        if (!(fabs(slope[r] - g) / (1e-3 + fabs(slope[r]) + size) < tolerance)) return r;
    }
    return -1;
}

/* Differences of step 1e-5 decide; where that step rounds too much, a fourth order formula with a
 * step of 1e-3 has the last word. A block that fits neither is taken apart. */
static void probe_block(subject *s, probe *p, const block *m) {
    double slope[PACK], twice[PACK], size;
    difference(slope, p, m, 1e-5);
    if (misfit(p, m, slope) < 0) return;
    difference(slope, p, m, 1e-3);
    difference(twice, p, m, 2e-3);
    for (int r = 0; r < p->d->runs; r++) slope[r] = (4 * slope[r] - twice[r]) / 3;
    int r = misfit(p, m, slope);
    if (r < 0) return;
    if (m->n == 1)
        fail(s, s->exact,
             "gradient of input %d, run %d, element %ld: backward says %.12g, differences say "
             "%.12g",
             m->input, r, m->first, gradient_along(p, m, r, &size), slope[r]);
    for (long j = m->first; m->n > 1 && j < m->first + m->n; j++)
        probe_block(s, p, &(block){m->input, j, 1});
}

/* Straight-through and the like: differences say nothing, op.h says what the gradient is. */
static void check_surrogate(subject *s) {
    const trial *t = train_plain(s, s->exact);
    for (int i = 0; i < s->data->n_in; i++)
        for (long j = 0; t->g[i].data && j < t->g[i].n; j++) {
            const double want = i ? t->node->arg.scale : guarded_get(&t->dout, j);
            const double got = guarded_get(&t->g[i], j);
            if (!(got == want))
                fail(s, s->exact,
                     "gradient of input %d, element %ld: backward says %.12g, the op's surrogate "
                     "gradient is %.12g",
                     i, j, got, want);
        }
}

/* Every element is moved alone; where that takes too long, blocks of them are moved together. */
static void check_gradient(subject *s) {
    const double budget = 1e8; /* operations per input */
    const op_data *d = s->data;
    const op *o = s->exact->ops[s->id];
    if (o->flags & OP_UPDATE || o->cases[s->case_no].stepped) return;
    if (o->flags & OP_SURROGATE) {
        check_surrogate(s);
        return;
    }
    probe p = {d, train_plain(s, s->exact), new_trial(s, s->exact, d, plain), NULL};
    p.plus = arena_alloc(s->arena, p.t->out.bytes);
    for (int i = 0; i < d->n_in; i++) {
        if (!p.t->g[i].data) continue;
        const long n = data_per_run(d, i);
        const double cost = 2 * work_of(p.t) * (double)n;
        const long size = (long)fmin(64, 1 + cost / budget);
        for (long j = 0; j < n && !s->failed; j += size)
            probe_block(s, &p, &(block){i, j, j + size < n ? size : n - j});
    }
}

/* ---- float against double --------------------------------------------------------------- */

/* Terms summed into one element: the work of the op spread over the elements of the tensor. */
static double sum_length(const trial *t, const guarded *b) {
    return fmax(1, work_of(t) / (double)b->n);
}

/* 4 eps sqrt(length) (|v| + rms of the tensor + 1): rounding errors of a sum grow like a random
 * walk, relative to its terms. Those are of the size of the other elements or of the inputs (order
 * 1), so that an element that cancels to nearly nothing keeps an absolute error. */
static double tolerance_of(double eps, double length, double rms, double v) {
    return 4 * eps * sqrt(length) * (fabs(v) + rms + 1);
}

static double rms_of(const guarded *b) {
    double sum = 0;
    for (long i = 0; i < b->n; i++) sum += guarded_get(b, i) * guarded_get(b, i);
    return sqrt(sum / (double)b->n);
}

/* Ints (a prediction) are equal: values are drawn, so none is within rounding of another. */
static void check_precision(subject *s) {
    const trial *e = train_plain(s, s->exact);
    const guarded *want[MAX_RESULTS], *got[MAX_RESULTS];
    int n = list_results(e, want);
    for (int f = 0; f < s->n_fast; f++) {
        list_results(train_plain(s, s->fast[f]), got);
        for (int k = 0; k < n; k++) {
            if (!want[k]->data) continue;
            double length = sum_length(e, want[k]), rms = rms_of(want[k]);
            for (long i = 0; i < want[k]->n; i++) {
                double v = guarded_get(want[k], i), u = guarded_get(got[k], i);
                double allowed = tolerance_of((double)FLT_EPSILON, length, rms, v);
                if (want[k]->is_int) allowed = 0;
                if (!(fabs(u - v) <= allowed))
                    fail(s, s->fast[f],
                         "element %ld of the %s is %.9g, in double %.9g; allowed error %.3g", i,
                         result_name(s, want[k]), u, v, allowed);
            }
        }
    }
}

/* ---- memory ----------------------------------------------------------------------------- */

static void check_writes(subject *s) {
    const backend *list[MAX_FAST + 1];
    int n = list_backends(s, list);
    for (int i = 0; i < n; i++) {
        const trial *t = train_plain(s, list[i]);
        const trial *u = train(s, list[i], s->data, (trial_way){.fill = FILL_HUGE, .shift = 1});
        const char *damage = trial_damage(t);
        if (damage) fail(s, list[i], "%s", damage);
        require_equal(s, t, u, "not written, or computed from unwritten memory");
        trial *forward = new_trial(s, list[i], s->data, plain);
        trial_forward(forward);
        damage = trial_damage(forward);
        if (damage) fail(s, list[i], "forward %s", damage);
    }
}

static void check_reads(subject *s) {
    const backend *list[MAX_FAST + 1];
    int n = list_backends(s, list);
    for (int i = 0; i < n; i++) {
        const trial *t = train_plain(s, list[i]);
        const trial *u = train(s, list[i], s->data, (trial_way){FILL_NAN, 1, .hide = true});
        for (int k = 0; k < s->data->n_in; k++)
            for (long j = 0; t->g[k].data && j < t->g[k].n; j++)
                if (!same_bits(&t->g[k], j, &u->g[k], j))
                    fail(s, list[i],
                         "backward reads what `reads` does not declare: element %ld of the "
                         "gradient of input %d is %.9g, and %.9g when the rest is overwritten",
                         j, k, guarded_get(&t->g[k], j), guarded_get(&u->g[k], j));
    }
}

/* ---- gradients are added, or not wanted ------------------------------------------------- */

static void check_adds(subject *s) {
    const double preset = 0.75;
    const backend *list[MAX_FAST + 1];
    int n = list_backends(s, list);
    for (int i = 0; i < n; i++) {
        const trial *t = train_plain(s, list[i]);
        const trial *u = train(s, list[i], s->data, (trial_way){FILL_NAN, 1, .preset = preset});
        double eps = list[i]->real_bytes == sizeof(float) ? (double)FLT_EPSILON : DBL_EPSILON;
        for (int k = 0; k < s->data->n_in; k++) {
            const guarded *g = &t->g[k], *added = &u->g[k];
            if (!g->data) continue;
            double length = sum_length(t, g), rms = rms_of(g) + preset;
            for (long j = 0; j < g->n; j++) {
                double want = preset + guarded_get(g, j), got = guarded_get(added, j);
                if (!(fabs(got - want) <= tolerance_of(eps, length, rms, want)))
                    fail(s, list[i],
                         "backward must add: element %ld of the gradient of input %d, which "
                         "held %g, is %.9g instead of %.9g",
                         j, k, preset, got, want);
            }
        }
    }
}

static void check_unwanted(subject *s) {
    const backend *list[MAX_FAST + 1];
    int n = list_backends(s, list);
    for (int i = 0; i < n; i++) {
        const trial *t = train_plain(s, list[i]);
        for (int k = 0; k <= s->data->n_in; k++) { /* one of them NULL, then all */
            unsigned no_dx = k < s->data->n_in ? READS_IN(k) : READS_IN(s->data->n_in) - 1;
            if (k < s->data->n_in && !t->g[k].data) continue;
            const trial *u = train(s, list[i], s->data, (trial_way){FILL_NAN, 1, .no_dx = no_dx});
            const char *damage = trial_damage(u);
            if (damage) fail(s, list[i], "with a NULL gradient: %s", damage);
            require_equal(s, t, u,
                          arena_printf(s->arena, "gradient of input %d wanted and not", k));
        }
    }
}

/* ---- reproducible ----------------------------------------------------------------------- */

static void check_runs(subject *s) {
    const backend *list[MAX_FAST + 1];
    int n = list_backends(s, list);
    const op_data *d = s->data;
    for (int i = 0; i < n; i++) {
        const trial *pack = train_plain(s, list[i]);
        const guarded *a[MAX_RESULTS], *b[MAX_RESULTS];
        int n_result = list_results(pack, a);
        for (int r = 0; r < d->runs; r++) {
            const trial *alone = train(s, list[i], data_slice(s->arena, d, r), plain);
            list_results(alone, b);
            for (int k = 0; k < n_result; k++) {
                if (!a[k]->data) continue;
                for (long j = 0; j < b[k]->n; j++) {
                    long at = a[k]->input < 0 ? r * b[k]->n + j : data_index(d, a[k]->input, r, j);
                    if (!same_bits(a[k], at, b[k], j))
                        fail(s, list[i],
                             "run %d of a pack differs from the run alone: element %ld of the %s "
                             "is %.9g and %.9g",
                             r, j, result_name(s, a[k]), guarded_get(a[k], at),
                             guarded_get(b[k], j));
                }
            }
        }
    }
}

static void check_repeat(subject *s) {
    const backend *list[MAX_FAST + 1];
    int n = list_backends(s, list);
    for (int i = 0; i < n; i++) {
        const trial *t = train_plain(s, list[i]);
        const trial *u = train(s, list[i], s->data, plain);
        const trial *moved = train(s, list[i], s->data, (trial_way){FILL_NAN, .shift = 0});
        require_equal(s, t, u, "two runs differ");
        require_equal(s, t, moved, "depends on the alignment of its buffers");
    }
}

/* A root computes its outputs in forward (evaluation) and in backward (training): the same ones. */
static void check_root(subject *s) {
    if (!(s->exact->ops[s->id]->flags & OP_ROOT)) return;
    const backend *list[MAX_FAST + 1];
    int n = list_backends(s, list);
    for (int i = 0; i < n; i++) {
        trial *forward = new_trial(s, list[i], s->data, (trial_way){FILL_NAN, 1, .no_dx = ~0u});
        trial_forward(forward);
        const trial *t = train_plain(s, list[i]);
        require_equal(s, forward, t, "evaluation and training differ");
    }
}

/* A device runs its threads in any order, blocks too. */
static void check_order(subject *s) {
    for (int i = 1; i < s->n_fast; i++)
        if (s->fast[i]->kernels == s->fast[0]->kernels)
            require_equal(s, train_plain(s, s->fast[i]), train_plain(s, s->fast[0]),
                          arena_printf(s->arena, "differs from %s", s->fast[0]->name));
}

/* ---- all -------------------------------------------------------------------------------- */

/* Redzones are looked at in every order, as a write past the end need not reach a result. For the
 * rest one order stands for all, since `order` proves the same bits. */
const check all_checks[] = {
    {"writes", check_writes, EVERY_ORDER},
    {"order", check_order, EVERY_ORDER | ONLY_EMULATED},
    {"precision", check_precision, EVERY_ORDER},
    {"reads", check_reads, 0},
    {"repeat", check_repeat, 0},
    {"runs", check_runs, 0},
    {"root", check_root, 0},
    {"adds", check_adds, 0},
    {"unwanted", check_unwanted, 0},
    {"gradient", check_gradient, NOT_EMULATED},
    {NULL, NULL, 0},
};

bool check_applies(const check *c) {
    return !(c->flags & (IS_EMULATED ? NOT_EMULATED : ONLY_EMULATED));
}

void check_run(subject *s, const check *c) {
    if (!check_applies(c)) return;
    s->every_order = c->flags & EVERY_ORDER;
    c->run(s);
}

void check_entry(subject *s) {
    const op *o = s->exact->ops[s->id];
    if (!o->n_cases) fail(s, s->exact, "has no test cases; add op_case entries to its file");
    if (!o->math || !*o->math) fail(s, s->exact, "has no math line");
    if (o->min_in < 0 || o->max_in < o->min_in || o->max_in > MAX_IN)
        fail(s, s->exact, "takes %d to %d inputs, at most %d fit", o->min_in, o->max_in, MAX_IN);
    if (!(o->flags & OP_UPDATE) && !o->bwd) fail(s, s->exact, "has no backward");
    if (!(o->flags & OP_UPDATE) && o->n_inout) fail(s, s->exact, "changes inputs but is no update");
}

bool subject_draw(subject *s) {
    error e = {0};
    s->data = data_draw(s->arena, s->exact, s->id, s->case_no, &e);
    if (!s->data) fail(s, s->exact, "refuses its own case: %s", e.text);
    return s->data != NULL;
}

void subject_check(subject *s) {
    if (!subject_draw(s)) return;
    for (const check *c = all_checks; c->name && !s->failed; c++) check_run(s, c);
}

void subject_free(subject *s) {
    for (trial *t = s->trials; t; t = t->next) trial_free(t);
    arena_free(s->arena);
}
