/* plan_sweep.c - see plan_sweep.h. */
#include "plan_sweep.h"

#include "evaluate.h"
#include "map.h"
#include "results/provenance.h"
#include "trainer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { VALIDATIONS = 11 }; /* ten while training and the last one */

status plan_job(job *out, const task_facts **facts, arena *a, const pack *p, error *e) {
    const config **cell = ARENA_NEW(a, const config *, p->n);
    for (int i = 0; i < p->n; i++) cell[i] = p->cell[i]->config;
    job_bind(out, a, cell, p->n);
    if (!(*facts = catalog_task_facts(cell[0], e))) return e->code;
    out->model.vocab = (*facts)->vocab;
    out->model.max_time = (*facts)->max_time;
    return STATUS_OK;
}

/* Of the length that needs most, which is not always the longest: fewer sequences of it go at once.
 */
static status most_evaluating(memory_need *most, const job *j, const task_facts *f,
                              const backend *b, error *e) {
    status s = evaluate_need(most, j, b, f->time, e);
    for (int i = 0; i < j->eval.lengths.n && !s; i++) {
        memory_need need;
        if ((s = evaluate_need(&need, j, b, f->time_at[i], e))) break;
        if (need.bytes > most->bytes) most->bytes = need.bytes;
        if (need.scratch > most->scratch) most->scratch = need.scratch;
    }
    return s;
}

/* A processor says so here; opening a GPU is left to the workers. */
static status refuse_numerics(const job *j, const backend *b, error *e) {
    device_info first;
    if (b->devices(&first, 1) < 1 || *first.id) return STATUS_OK;
    return b->open(NULL, (numerics)j->train.numerics, e);
}

status plan_pack(pack *p, const backend *b, error *e) {
    arena *a = arena_new();
    job j;
    const task_facts *f;
    model_cost cost;
    memory_need training, evaluating;
    status s = plan_job(&j, &f, a, p, e);
    if (!s) s = refuse_numerics(&j, b, e);
    if (!s) s = model_measure(&cost, &j.model, f->time, e);
    if (!s) s = trainer_need(&training, &j, b, f->time, e);
    if (!s) s = most_evaluating(&evaluating, &j, f, b, e);
    if (!s) {
        const long batches =
            f->train_count ? (f->train_count + j.train.batch - 1) / j.train.batch : 0;
        const double whole =
            j.train.epochs > 0 ? j.train.epochs * (double)batches : (double)j.train.steps;
        const double steps = p->pause_at ? (double)p->pause_at : whole;
        const double trained = steps * (double)j.train.batch * f->time * cost.flops_per_token,
                     validated = VALIDATIONS / 3.0 * (double)f->eval_tokens * cost.flops_per_token;
        const size_t scratch =
            training.scratch > evaluating.scratch ? training.scratch : evaluating.scratch;
        p->mem_bytes = (double)(training.bytes + evaluating.bytes + scratch);
        p->cost = p->n * (trained + validated);
    }
    if (s) { /* which of the grid's cells it is */
        const error cause = *e;
        *e = (error){0};
        error_set(e, s, "%s: %s", p->cell[0]->label, cause.text);
    }
    arena_free(a);
    return s;
}

static bool has_dropout(const config *c) {
    return strcmp(config_get(c, "model.dropout"), "0") ||
           strcmp(config_get(c, "model.embed_dropout"), "0");
}

/* Everything that plan_pack looks at: cells that differ in what is set per run cost the same, but
 * for whether there is any dropout to record. */
static const char *shape_key(arena *a, const pack *p) {
    bool dropout = false;
    for (int i = 0; i < p->n; i++) dropout |= has_dropout(p->cell[i]->config);
    return arena_printf(a, "%s %d %d %ld", p->cell[0]->config->pack_key, p->n, dropout,
                        p->pause_at);
}

/* Large grids hold few shapes: each is built and planned once. */
static status plan_packs(sweep_plan *plan, const backend *b, error *e) {
    arena *a = arena_new();
    map *known = map_new(a); /* shape -> the first pack that has it */
    status s = STATUS_OK;
    for (int i = 0; i < plan->n && !s; i++) {
        pack *p = &plan->pack[i];
        void **first = map_text(known, shape_key(a, p));
        if (*first) {
            p->cost = ((const pack *)*first)->cost;
            p->mem_bytes = ((const pack *)*first)->mem_bytes;
        } else {
            s = plan_pack(p, b, e);
            *first = p;
        }
    }
    arena_free(a);
    return s;
}

static bool is_finished(run_state s) {
    return s == RUN_DONE || s == RUN_DIVERGED || s == RUN_TIMEOUT;
}

/* The missing cells that may share a tape. */
typedef struct shape {
    const grid_cell **cell; /* [n] */
    int n, cap;
    int most; /* of them in one pack */
    int open; /* number of the pack that takes the next one; -1: none */
    long pause_at;
} shape;

typedef struct missing {
    const grid_cell *cell;
    long attempts;
    bool again;
    shape *shape;
} missing;

/* The largest pack of these that one worker has room for; 1 if there is none: it will be refused
 * with a sentence. Memory grows with the pack, so it is searched by halves. */
static status find_most(shape *s, const device_set *d, const plan_options *options, error *e) {
    if (options->pack != PACK_AUTO || d->is_processor) {
        s->most = options->pack == PACK_AUTO ? 1 : options->pack;
        return STATUS_OK;
    }
    double room = device_room(d, 0);
    for (int i = 1; i < d->n; i++)
        if (device_room(d, i) < room) room = device_room(d, i);
    room /= options->workers;
    arena *a = arena_new();
    pack p = {.cell = ARENA_NEW(a, const grid_cell *, s->n)};
    memcpy(p.cell, s->cell, (size_t)s->n * sizeof *s->cell);
    for (int i = 0; i < s->n; i++) /* any pack may get one that has dropout, so plan with one */
        if (has_dropout(s->cell[i]->config)) p.cell[0] = s->cell[i];
    int fits = 1, high = (s->n + d->n - 1) / d->n;
    if (high > PACK_MOST) high = PACK_MOST;
    status failed = STATUS_OK;
    for (p.n = high; fits < high && !failed; p.n = (fits + high + 1) / 2) {
        failed = plan_pack(&p, d->backend, e);
        if (p.mem_bytes <= room)
            fits = p.n;
        else
            high = p.n - 1;
    }
    s->most = fits;
    arena_free(a);
    return failed;
}

static status find_missing(sweep_plan *out, missing **list, int *n, arena *a, const grid *g,
                           store *s, const plan_options *options, error *e) {
    map *shapes = map_new(a);
    int cap = 0;
    store_stale_runs stale = {0};
    if (s && options->stale != STALE_IGNORE &&
        store_stale(&stale, a, s, provenance_json(a, NULL, NULL, NULL, NULL), e))
        return e->code;
    for (int i = 0; i < g->n; i++) {
        const grid_cell *cell = &g->cell[i];
        if (options->only && !only_holds(options->only, cell)) continue;
        if (options->share_of && options->share_of[i] != options->share) continue;
        out->cells++;
        store_run known = {.state = RUN_PENDING};
        if (s && store_run_get(s, cell->config->id, &known, e)) return e->code;
        const bool failed = known.state == RUN_FAILED || known.state == RUN_TIMEOUT;
        if (failed && !(options->retry ? options->retry[i] : options->retry_failed)) {
            out->failed_before++;
            continue;
        }
        if (is_finished(known.state) && !failed) {
            const bool is_stale = store_is_stale(&stale, cell->config->id);
            out->stale += is_stale;
            if (!is_stale || options->stale != STALE_RERUN) {
                out->already++;
                continue;
            }
        }
        if (options->halving && options->halving[i].verdict != HALVING_TRAIN) {
            out->stopped += options->halving[i].verdict == HALVING_STOPPED;
            out->waiting += options->halving[i].verdict == HALVING_WAITS;
            continue;
        }
        void **found = map_text(shapes, cell->config->pack_key);
        if (!*found) {
            shape *fresh = ARENA_NEW(a, shape, 1);
            fresh->open = -1;
            fresh->pause_at = options->halving ? options->halving[i].pause_at : 0;
            *found = fresh;
        }
        shape *of = *found;
        ARENA_GROW(a, of->cell, of->n, of->cap);
        of->cell[of->n++] = cell;
        ARENA_GROW(a, *list, *n, cap);
        (*list)[(*n)++] = (missing){cell, known.attempts, is_finished(known.state), of};
    }
    return STATUS_OK;
}

/* Full packs first and the rest in the last one: when a sweep is interrupted and the first packs
 * are done, the others are made of the same cells again, so all of a pack stand at one step. */
static void add_cell(sweep_plan *out, arena *a, const missing *m) {
    shape *s = m->shape;
    if (s->open < 0 || out->pack[s->open].n == s->most) {
        s->open = out->n;
        ARENA_GROW(a, out->pack, out->n, out->cap);
        out->pack[out->n++] = (pack){.cell = ARENA_NEW(a, const grid_cell *, s->most),
                                     .attempt = ARENA_NEW(a, long, s->most),
                                     .pause_at = s->pause_at};
    }
    pack *p = &out->pack[s->open];
    p->again |= m->again;
    p->attempt[p->n] = m->attempts + 1;
    p->cell[p->n++] = m->cell;
}

int workers_each(const device_set *d, int asked) {
    if (asked) return asked;
    return d->is_processor ? (int)sysconf(_SC_NPROCESSORS_ONLN) : 1;
}

bool plan_stale_text(char out[256], const sweep_plan *p, stale_results how) {
    if (!p->stale) return false;
    snprintf(out, 256, "%ld of %ld finished runs were made by another commit or build; %s",
             p->stale, p->already + (how == STALE_RERUN ? p->stale : 0),
             how == STALE_RERUN
                 ? "they are trained again."
                 : "--stale rerun trains them again, --stale ignore leaves this line out.");
    return true;
}

/* What is in files must be what the runs before were trained on. */
static status refuse_other_data(sweep_plan *plan, store *s, error *e) {
    const char *before = NULL;
    for (int i = 0; i < plan->n && s; i++) {
        const task_facts *f = catalog_task_facts(plan->pack[i].cell[0]->config, e);
        if (!f) return e->code;
        plan->pack[i].data = f->data;
        if (!f->data || f->data == before) continue;
        if (store_refuse_other_data(s, f->data, e)) return e->code;
        before = f->data;
    }
    return STATUS_OK;
}

status plan_sweep(sweep_plan *out, arena *a, const grid *g, store *s, const device_set *d,
                  const plan_options *options, error *e) {
    missing *list = NULL;
    int n = 0;
    *out = (sweep_plan){0};
    arena *scratch = arena_new();
    status failed = find_missing(out, &list, &n, scratch, g, s, options, e);
    for (int i = 0; i < n && !failed; i++) {
        if (!list[i].shape->most) failed = find_most(list[i].shape, d, options, e);
        if (!failed) add_cell(out, a, &list[i]);
    }
    arena_free(scratch);
    if (!failed) failed = plan_packs(out, d->backend, e);
    return failed ? failed : refuse_other_data(out, s, e);
}
