/* bench_mixers.c - see bench_mixers.h.
 *
 * What is timed is a whole training step of one layer without ffn: 64 words, labels on a quarter of
 * the positions, the same number of tokens per step at all lengths. Beside it runs the same model
 * whose mixer hands on its input, and the difference is what the mixer (or convolution) costs:
 * embedding, norms, head and data are in both. What remains beside the mixer is the optimizer's
 * work on its weights, once per step. A machine changes its speed from minute to minute, so what is
 * compared runs in turns: the model without mixer before each point, the yardstick of a ratio
 * before the row. */
#include "bench_mixers.h"

#include "bench_model.h"
#include "catalog.h"
#include "models/conv.h"
#include "results/clock.h"
#include "trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VOCAB = 64, SCORED_PART = 4, FIT_FROM = 512 };
enum { RATIO_WIDTH = 128, RATIO_TIME = 256 }; /* of times per operation, and of convolutions */
enum { CHAIN = 4 };                           /* convolutions, one after the other */
enum { CONV_HEADS = 2, CONV_WIDTH = 4 };
enum { TURNS = 3 }; /* of a ratio, at most */
static const double MOST_PER_OPERATION = 2.5, MOST_PER_FILTER = 2;
static const double POINT_S = 12; /* a point that would take longer is left out */
static const char yardstick[] = "attention";

typedef bench_mixers_request request;

double bench_slope(const double *x, const double *y, int n, double from) {
    double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
    int used = 0;
    for (int i = 0; i < n; i++) {
        if (!(x[i] >= from && y[i] > 0)) continue;
        mean_x += log(x[i]);
        mean_y += log(y[i]);
        used++;
    }
    if (used < 2) return NAN;
    mean_x /= used;
    mean_y /= used;
    for (int i = 0; i < n; i++) {
        if (!(x[i] >= from && y[i] > 0)) continue;
        xx += (log(x[i]) - mean_x) * (log(x[i]) - mean_x);
        xy += (log(x[i]) - mean_x) * (log(y[i]) - mean_y);
    }
    return xx > 0 ? xy / xx : (double)NAN;
}

status bench_lengths(int *length, int *n, const char *list, error *e) {
    *n = 0;
    for (const char *p = list;; p++) {
        char *end;
        const long v = strtol(p, &end, 10);
        if (end == p || (*end && *end != ',') || v < 1 || v > 1 << 20)
            return error_set(e, STATUS_USAGE,
                             "--lengths takes whole numbers from 1 to %d with commas between, such "
                             "as 64,128, not %s.",
                             1 << 20, list);
        if (*n && v <= length[*n - 1])
            return error_set(e, STATUS_USAGE, "--lengths must ascend: %ld comes after %d.", v,
                             length[*n - 1]);
        if (*n == BENCH_MAX_LENGTHS)
            return error_set(e, STATUS_USAGE, "--lengths takes at most %d lengths.",
                             BENCH_MAX_LENGTHS);
        length[(*n)++] = (int)v;
        p = end;
        if (!*p) return STATUS_OK;
    }
}

/* ---- what is timed ----------------------------------------------------------------------- */

typedef struct subject {
    const char *name;     /* of the row */
    const char *mixer;    /* with its default settings */
    chosen_mixer instead; /* of it, where .mixer is not NULL: a probe that no registry knows */
    int d_model, time;
} subject;

static tensor *hand_on(block *b, const void *settings, tensor *x) {
    (void)b;
    (void)settings;
    return x;
}
static const mixer no_mixer = {.name = "no mixer", .build = hand_on};

static tensor *convolve(block *b, const void *settings, tensor *x) {
    for (int i = 0; i < CHAIN; i++) {
        char name[16];
        snprintf(name, sizeof name, "conv_%d", i);
        x = conv_apply(b, settings, name, x, CONV_HEADS);
    }
    return x;
}
static const mixer conv_probe = {
    .name = "convolution", .config_size = sizeof(conv_config), .build = convolve};

static long batch_of(const request *q, int time) { return q->tokens > time ? q->tokens / time : 1; }

static status open_job(job *j, arena *a, const request *q, const subject *s, error *e) {
    const char *setting[] = {"task.name=nar",
                             "model.layers=1",
                             "model.ffn=none",
                             "train.threads=1",
                             arena_printf(a, "model.mixer=%s", s->mixer),
                             arena_printf(a, "model.d_model=%d", s->d_model),
                             arena_printf(a, "train.batch=%ld", batch_of(q, s->time))};
    diag *d = diag_new(a);
    const config *c =
        config_from_settings(a, catalog_schema(), setting, sizeof setting / sizeof *setting, d);
    if (!c) return diag_first(d, e);
    job_bind(j, a, &c, 1);
    j->model.vocab = VOCAB;
    j->model.max_time = s->time;
    if (s->instead.mixer) {
        j->model.pattern = &s->instead;
        j->model.n_pattern = 1;
    }
    return STATUS_OK;
}

typedef struct timing {
    double step_s; /* of the whole model */
    double net_s;  /* less that of the model without mixer, at least 0 */
    double flops;  /* of the mixer in one step, as counted */
} timing;

static status time_model(double *median_s, const request *q, const subject *s, double seconds,
                         error *e) {
    arena *a = arena_new();
    job j;
    memory_need need;
    step_time took;
    status result = open_job(&j, a, q, s, e);
    if (!result) result = trainer_need(&need, &j, q->backend, s->time, e);
    if (!result && (double)(need.bytes + need.scratch) > q->mem_bytes)
        result = error_set(e, STATUS_ENVIRONMENT, "needs %.1f GB of memory; %.1f are allowed",
                           1e-9 * (double)(need.bytes + need.scratch), 1e-9 * q->mem_bytes);
    const task_set *set =
        result ? NULL
               : bench_noise(a, s->time, VOCAB, (s->time + SCORED_PART - 1) / SCORED_PART, e);
    if (set && !(result = bench_steps(&took, &j, q->backend, set, seconds, e)))
        *median_s = took.median_s;
    arena_free(a);
    return e->code;
}

static status count_flops(double *flops, const request *q, const subject *s, error *e) {
    arena *a = arena_new();
    job j;
    model_cost cost;
    status result = open_job(&j, a, q, s, e);
    if (!result) result = model_measure_mixer(&cost, &j.model, s->time, e);
    if (!result) *flops = cost.flops_per_token * (double)batch_of(q, s->time) * s->time;
    arena_free(a);
    return result;
}

static status time_subject(timing *out, const request *q, const subject *s, error *e) {
    subject bare = *s;
    double bare_s;
    bare.mixer = yardstick; /* any: it is replaced */
    bare.instead = (chosen_mixer){&no_mixer, NULL};
    status result = time_model(&bare_s, q, &bare, q->seconds / 3, e);
    if (!result) result = time_model(&out->step_s, q, s, q->seconds, e);
    if (!result) out->net_s = out->step_s > bare_s ? out->step_s - bare_s : 0;
    return result ? result : count_flops(&out->flops, q, s, e);
}

static status keep(const request *q, const subject *s, const char *name, double number,
                   const char *unit, error *e) {
    char shape[128];
    if (!q->store || isnan(number)) return STATUS_OK;
    snprintf(shape, sizeof shape, "%s d%d T%d V%d B%ld quarter", s->name, s->d_model, s->time,
             VOCAB, batch_of(q, s->time));
    const store_bench row = {(double)time(NULL), number, name, shape, q->backend->name, unit,
                             q->environment_json};
    return store_bench_add(q->store, q->journals, &row, e);
}

/* ---- mixers ------------------------------------------------------------------------------ */

/* Where the straight part of a curve is looked for: from FIT_FROM, or everywhere where fewer than
 * two lengths are that long. */
static int fit_from(const request *q) {
    int n = 0;
    for (int i = 0; i < q->n_length; i++) n += q->length[i] >= FIT_FROM;
    return n < 2 ? q->length[0] : FIT_FROM;
}

static table_cell shown(arena *a, double number) {
    if (isnan(number)) return (table_cell){.text = "-"};
    return cell_number(a, number, arena_printf(a, number < 9.995 ? "%.2f" : "%.1f", number));
}

static table_cell shown_ms(arena *a, double seconds) {
    if (isnan(seconds)) return (table_cell){.text = "-"};
    const double ms = 1e3 * seconds;
    return cell_number(a, ms,
                       arena_printf(a,
                                    ms < 0.9995  ? "%.3f"
                                    : ms < 99.95 ? "%.2f"
                                                 : "%.0f",
                                    ms));
}

static table_cell shown_limited(arena *a, double number, double most) {
    table_cell cell = shown(a, number);
    cell.bold = number > most;
    return cell;
}

static void say(const subject *s, const char *what) {
    fprintf(stderr, "mixgrid: %s, T = %d: %s\n", s->name, s->time, what);
}

/* Seconds of the mixer per sequence at each length; NAN from the first length on that fails or is
 * expected to take too long: a step grows as it did before, as all have as many tokens. */
static status time_lengths(double *per_sequence_s, const request *q, subject s, error *e) {
    double step_s = 0, growth = 1;
    bool over = false;
    for (int i = 0; i < q->n_length; i++) {
        per_sequence_s[i] = (double)NAN;
        if (over) continue;
        s.time = q->length[i];
        error why = {0};
        timing t;
        over = BENCH_LEAST_STEPS * step_s * growth > POINT_S || time_subject(&t, q, &s, &why);
        if (over) {
            say(&s,
                why.code ? why.text : "left out, as it and what is longer would take too long.");
            continue;
        }
        if (i) growth = fmax(1, t.step_s / step_s);
        step_s = t.step_s;
        per_sequence_s[i] = t.net_s / (double)batch_of(q, s.time);
        if (keep(q, &s, "mixer, per sequence", per_sequence_s[i], "s", e)) return e->code;
    }
    return STATUS_OK;
}

/* Time of one subject by that of another, each per step or per counted operation. They run one
 * after the other in turns, and the median turn counts: a machine is not as fast in one second as
 * in the next. *net_s, *flops: of the first, in the median turn. NAN, and a line on stderr, where
 * one cannot run. */
static double compare(timing *out, const request *q, const subject *s, const subject *reference,
                      bool per_operation) {
    struct turn {
        double ratio;
        timing of;
    } turn[TURNS], swap;
    request shorter = *q;
    shorter.seconds = q->seconds / TURNS;
    const double end = clock_steady_s() + 4 * q->seconds;
    int n = 0;
    do {
        error why = {0};
        timing other;
        if (time_subject(&other, &shorter, reference, &why) ||
            time_subject(&turn[n].of, &shorter, s, &why)) {
            say(s, why.text);
            return (double)NAN;
        }
        /* nothing where noise hid the yardstick */
        turn[n].ratio = other.net_s > 0 ? turn[n].of.net_s / other.net_s : (double)INFINITY;
        if (per_operation) turn[n].ratio *= other.flops / turn[n].of.flops;
        for (int i = n++; i > 0 && turn[i].ratio < turn[i - 1].ratio; i--) {
            swap = turn[i];
            turn[i] = turn[i - 1];
            turn[i - 1] = swap;
        }
    } while (n < TURNS && clock_steady_s() < end);
    *out = turn[n / 2].of;
    return isinf(turn[n / 2].ratio) ? (double)NAN : turn[n / 2].ratio;
}

static status add_mixer(table *t, const request *q, const mixer *m, error *e) {
    arena *a = t->arena;
    subject s = {.name = m->name, .mixer = m->name, .d_model = (int)q->d_model};
    double x[BENCH_MAX_LENGTHS], y[BENCH_MAX_LENGTHS];
    if (time_lengths(y, q, s, e)) return e->code;
    for (int i = 0; i < q->n_length; i++) x[i] = q->length[i];
    const double slope = bench_slope(x, y, q->n_length, fit_from(q));
    s.time = q->length[q->n_length - 1];
    if (keep(q, &s, "slope of time over length", slope, "1", e)) return e->code;

    s.d_model = RATIO_WIDTH;
    s.time = RATIO_TIME;
    const subject reference = {
        .name = yardstick, .mixer = yardstick, .d_model = RATIO_WIDTH, .time = RATIO_TIME};
    timing one = {0};
    const double ratio = compare(&one, q, &s, &reference, true),
                 rate = one.net_s > 0 ? 1e-9 * one.flops / one.net_s : (double)NAN;
    if (keep(q, &s, "time per operation, of attention's", ratio, "1", e)) return e->code;

    table_cell *cell = table_row_add(t);
    *cell++ = cell_text(m->name);
    for (int i = 0; i < q->n_length; i++) *cell++ = shown_ms(a, y[i]);
    *cell++ = shown(a, slope);
    *cell++ = shown(a, rate);
    *cell++ = shown_limited(a, ratio, MOST_PER_OPERATION);
    return STATUS_OK;
}

table *bench_mixers(arena *a, const request *q, error *e) {
    table *t = table_new(a, "bench_mixers", "What mixers cost in training");
    table_column_add(t, "mixer", "mixer", CELL_TEXT);
    for (int i = 0; i < q->n_length; i++)
        table_column_add(t, arena_printf(a, "T=%d", q->length[i]),
                         arena_printf(a, "ms_t%d", q->length[i]), CELL_NUMBER);
    table_column_add(t, "slope", "slope", CELL_NUMBER);
    table_column_add(t, "GFLOP/s", "gflops", CELL_NUMBER);
    table_column_add(t, "per op", "per_operation", CELL_NUMBER);
    t->caption = arena_printf(
        a,
        "Milliseconds per sequence and training step on %s that the mixer of a one-layer model of "
        "%ld channels takes: medians of whole steps of %ld tokens, less a step of the same model "
        "whose mixer hands on its input; no ffn, %d words, labels on a quarter, defaults "
        "elsewhere. slope: of log time over log T from T = %d, 1 is linear, 2 quadratic. GFLOP/s "
        "and per op, the time per counted operation as a multiple of attention's, at %d channels "
        "and T = %d; above %.1f marked. - : too long, too large, or refused.",
        q->backend->name, q->d_model, q->tokens, VOCAB, fit_from(q), RATIO_WIDTH, RATIO_TIME,
        MOST_PER_OPERATION);
    for (int i = 0; i < n_mixers; i++)
        if (strstr(mixers[i]->name, q->only) && add_mixer(t, q, mixers[i], e)) return NULL;
    return t;
}

/* ---- convolutions ------------------------------------------------------------------------ */

static subject conv_subject(arena *a, const char *name, int kind) {
    conv_config *c = ARENA_NEW(a, conv_config, 1);
    *c = (conv_config){
        .kind = kind, .width = CONV_WIDTH, .dilation = 1, .rank = 16, .head_size = 64, .state = 16};
    return (subject){.name = name,
                     .mixer = yardstick, /* replaced */
                     .instead = {&conv_probe, c},
                     .d_model = RATIO_WIDTH,
                     .time = RATIO_TIME};
}

static status add_conv(table *t, const request *q, const char *name, int kind, error *e) {
    arena *a = t->arena;
    const subject s = conv_subject(a, name, kind),
                  reference = conv_subject(a, "depthwise", CONV_DEPTHWISE);
    timing one = {0};
    const double ratio = compare(&one, q, &s, &reference, false),
                 each_s =
                     one.net_s > 0 ? one.net_s / CHAIN / (double)batch_of(q, s.time) : (double)NAN;
    table_cell *cell = table_row_add(t);
    cell[0] = cell_text(name);
    cell[1] = shown_ms(a, each_s);
    cell[2] =
        kind == CONV_DYNAMIC_LOWRANK ? shown_limited(a, ratio, MOST_PER_FILTER) : shown(a, ratio);
    if (keep(q, &s, "convolution, per sequence", each_s, "s", e)) return e->code;
    return keep(q, &s, "time, of the depthwise filter's", ratio, "1", e);
}

table *bench_convs(arena *a, const request *q, error *e) {
    table *t = table_new(a, "bench_convs", "What convolutions cost in training");
    table_column_add(t, "kind", "kind", CELL_TEXT);
    table_column_add(t, "ms", "ms", CELL_NUMBER);
    table_column_add(t, "ratio", "ratio", CELL_NUMBER);
    t->caption = arena_printf(
        a,
        "Milliseconds per sequence, forward and backward, of one convolution of %d channels and "
        "T = %d on %s: %d taps, %d heads, rank 16, head_size 64, state 16. Medians of training "
        "steps of %ld tokens with %d such convolutions in a chain, less steps without. ratio: to "
        "depthwise, timed in turns; dynamic_lowrank is marked above %.0f.",
        RATIO_WIDTH, RATIO_TIME, q->backend->name, CONV_WIDTH, CONV_HEADS, q->tokens, CHAIN,
        MOST_PER_FILTER);
    char *rest = arena_text(a, CONV_KINDS);
    int kind = 0;
    for (const char *name; (name = strtok_r(rest, "|", &rest)); kind++)
        if (strstr(name, q->only) && add_conv(t, q, name, kind, e)) return NULL;
    return t;
}
