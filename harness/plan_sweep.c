/* plan_sweep.c - see plan_sweep.h. */
#include "plan_sweep.h"

#include "evaluate.h"
#include "map.h"
#include "trainer.h"

#include <string.h>

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
        const double steps =
            j.train.epochs > 0 ? j.train.epochs * (double)batches : (double)j.train.steps;
        const double trained = steps * (double)j.train.batch * f->time * cost.flops_per_token,
                     validated = VALIDATIONS / 3.0 * (double)f->eval_tokens * cost.flops_per_token;
        const size_t scratch =
            training.scratch > evaluating.scratch ? training.scratch : evaluating.scratch;
        p->mem_bytes = (double)(training.bytes + evaluating.bytes + scratch);
        p->cost = p->n * (trained + validated);
    }
    arena_free(a);
    return s;
}

/* Everything that plan_pack looks at: cells that differ in what is set per run cost the same, but
 * for whether there is any dropout to record. */
static const char *shape_key(arena *a, const pack *p) {
    bool dropout = false;
    for (int i = 0; i < p->n; i++) {
        const config *c = p->cell[i]->config;
        dropout |= strcmp(config_get(c, "model.dropout"), "0") ||
                   strcmp(config_get(c, "model.embed_dropout"), "0");
    }
    return arena_printf(a, "%s %d %d", p->cell[0]->config->pack_key, p->n, dropout);
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

static pack *pack_for(sweep_plan *plan, arena *a, const grid_cell *cell, int most) {
    pack *last = plan->n ? &plan->pack[plan->n - 1] : NULL;
    if (last && last->n < most && !strcmp(last->cell[0]->config->pack_key, cell->config->pack_key))
        return last;
    ARENA_GROW(a, plan->pack, plan->n, plan->cap);
    pack *p = &plan->pack[plan->n++];
    *p = (pack){.cell = ARENA_NEW(a, const grid_cell *, most), .attempt = ARENA_NEW(a, long, most)};
    return p;
}

status plan_sweep(sweep_plan *out, arena *a, const grid *g, store *s, const backend *b,
                  const plan_options *options, error *e) {
    *out = (sweep_plan){0};
    for (int i = 0; i < g->n; i++) {
        const grid_cell *cell = &g->cell[i];
        if (options->only && !strstr(cell->label, options->only)) continue;
        out->cells++;
        store_run known = {.state = RUN_PENDING};
        if (s && store_run_get(s, cell->config->id, &known, e)) return e->code;
        const bool failed = known.state == RUN_FAILED || known.state == RUN_TIMEOUT;
        if (failed && !options->retry_failed) {
            out->failed_before++;
            continue;
        }
        if (is_finished(known.state) && !failed) {
            out->already++;
            continue;
        }
        pack *p = pack_for(out, a, cell, options->pack);
        p->attempt[p->n] = known.attempts + 1;
        p->cell[p->n++] = cell;
    }
    return plan_packs(out, b, e);
}
