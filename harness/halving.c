/* halving.c - see halving.h. */
#include "halving.h"

#include "catalog.h"
#include "cli.h"
#include "map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct member {
    int group, setting; /* setting: number within its group */
    const long *rung;   /* [n_at], then all steps */
} member;

typedef struct group {
    const int *cell; /* [n] in the order of the grid */
    int n, settings;
} group;

struct halving {
    arena *arena;
    const grid *grid;
    const halving_rules *rules;
    member *member; /* [grid->n] */
    group *group;   /* [n_group] */
    int n_group;
};

/* ---- rungs and groups ---- */

static status find_rungs(long *rung, const grid_cell *cell, const halving_rules *r, error *e) {
    arena *a = arena_new();
    job j;
    job_bind(&j, a, &cell->config, 1);
    const task_facts *f = catalog_task_facts(cell->config, e);
    const long steps = f ? job_steps_of(&j, f->train_count) : 0, every = job_eval_every(&j, steps);
    arena_free(a);
    if (!f) return e->code;
    for (int k = 0; k < r->n_at; k++) {
        /* 0.3 of 10 is 3: what rounding adds is no step */
        rung[k] = (long)ceil(r->at[k] * (double)steps / (double)every - 1e-9) * every;
        if (rung[k] >= steps)
            return error_set(e, STATUS_USAGE,
                             "early_terminate.at %g: run %s has no validation between there and "
                             "its last step %ld; lower train.eval_every (now every %ld steps).",
                             r->at[k], cell->label, steps, every);
        if (k && rung[k] == rung[k - 1])
            return error_set(e, STATUS_USAGE,
                             "early_terminate.at %g and %g: both are step %ld of run %s, which "
                             "validates every %ld steps; leave one out or lower train.eval_every.",
                             r->at[k - 1], r->at[k], rung[k], cell->label, every);
    }
    rung[r->n_at] = steps;
    return STATUS_OK;
}

static bool is_over(const halving_rules *r, const char *key) {
    for (int i = 0; i < r->n_over; i++)
        if (!strcmp(r->over[i], key)) return true;
    return false;
}

/* The axes of a cell but the seed, and but those of select.over where these are left out. */
static const char *key_of(arena *a, const halving *h, const config *c, bool with_over) {
    const char *key = "";
    for (int i = 0; i < h->grid->n_axes; i++) {
        const char *axis = h->grid->axis[i], *text = config_get(c, axis);
        if (!strcmp(axis, h->grid->seed_key) || (!with_over && is_over(h->rules, axis))) continue;
        key = arena_printf(a, "%s%s\n", key, text ? text : "\t");
    }
    return key;
}

/* The number that a text was given, or the next of `n`. */
static int number_in(map *known, arena *a, const char *text, int *n) {
    void **slot = map_text(known, text);
    if (!*slot) {
        int *number = ARENA_NEW(a, int, 1);
        *number = (*n)++;
        *slot = number;
    }
    return *(const int *)*slot;
}

halving *halving_new(arena *a, const grid *g, error *e) {
    arena *scratch = arena_new();
    map *rungs = map_new(scratch), *groups = map_new(scratch), *settings = map_new(scratch);
    halving *h = ARENA_NEW(a, halving, 1);
    *h =
        (halving){.arena = a, .grid = g, .rules = g->halving, .member = ARENA_NEW(a, member, g->n)};
    h->group = ARENA_NEW(a, group, g->n);
    for (int i = 0; i < g->n && !e->code; i++) {
        const config *c = g->cell[i].config;
        void **known = map_text(rungs, c->pack_key);
        if (!*known) {
            long *rung = ARENA_NEW(a, long, g->halving->n_at + 1);
            find_rungs(rung, &g->cell[i], g->halving, e);
            *known = rung;
        }
        member *m = &h->member[i];
        m->rung = *known;
        m->group = number_in(groups, scratch, key_of(scratch, h, c, false), &h->n_group);
        group *of = &h->group[m->group];
        m->setting = number_in(settings, scratch, key_of(scratch, h, c, true), &of->settings);
        of->n++;
    }
    for (int k = 0; k < h->n_group; k++) {
        h->group[k].cell = ARENA_NEW(a, int, h->group[k].n);
        h->group[k].n = 0;
    }
    for (int i = 0; i < g->n && !e->code; i++) {
        group *of = &h->group[h->member[i].group];
        ((int *)of->cell)[of->n++] = i;
    }
    arena_free(scratch);
    return e->code ? NULL : h;
}

/* ---- verdicts ---- */

typedef struct place_of {
    int setting, bad, n; /* bad: runs without a value */
    bool alive;
    double sum;
} place_of;

typedef struct view {
    const halving *h;
    store *store;
    const run_state *state; /* [grid->n]; pending: not over, or to be trained again */
} view;

static bool is_over_state(run_state s) {
    return s == RUN_DONE || s == RUN_DIVERGED || s == RUN_FAILED || s == RUN_TIMEOUT;
}

/* Whether run i has got to this step, or to its end; and what it measured there, NAN: it failed. */
static status look(bool *stands, double *found, const view *v, int i, long step, error *e) {
    const char *id = v->h->grid->cell[i].config->id;
    const run_state state = v->state[i];
    store_value loss, by;
    *stands = false;
    *found = (double)NAN;
    if (!v->store) return STATUS_OK;
    if (store_value_at(&loss, v->store, id, "val", "loss", step, e)) return e->code;
    *stands = loss.step == step || is_over_state(state);
    if (!*stands || (loss.step != step && state != RUN_DONE)) return STATUS_OK;
    if (store_value_at(&by, v->store, id, "val", v->h->rules->metric, loss.step, e)) return e->code;
    if (by.step != loss.step)
        return error_set(e, STATUS_USAGE,
                         "early_terminate.by: run %s records no val/%s; take val/loss or "
                         "val/token_acc.",
                         v->h->grid->cell[i].label, v->h->rules->metric);
    *found = by.value;
    return STATUS_OK;
}

static int compare_places(const place_of *x, const place_of *y, bool max) {
    if (x->bad != y->bad) return x->bad < y->bad ? -1 : 1;
    const double a = x->sum / (x->n - x->bad), b = y->sum / (y->n - y->bad);
    if (a < b || a > b) return (a > b) == max ? -1 : 1;
    return x->setting < y->setting ? -1 : 1; /* equal, or none has a value */
}

static int kept_of(const halving_rules *r, int n) { return (int)ceil(r->keep * n - 1e-9); }

/* Best first. Insertion: groups are small, and equal ones keep their order. */
static void rank(place_of *p, int n, bool max) {
    for (int i = 1; i < n; i++) {
        const place_of one = p[i];
        int k = i;
        for (; k > 0 && compare_places(&one, &p[k - 1], max) < 0; k--) p[k] = p[k - 1];
        p[k] = one;
    }
}

/* Stops what is not among the best of a group at rung k; false: not all of it stand there. */
static bool judge_group(halving_cell *out, const view *v, const group *g, int k, error *e) {
    const halving_rules *r = v->h->rules;
    arena *a = arena_new();
    place_of *p = ARENA_NEW(a, place_of, g->settings);
    bool all = true;
    int n = 0;
    for (int i = 0; i < g->n && all && !e->code; i++) {
        const int cell = g->cell[i];
        const member *m = &v->h->member[cell];
        if (out[cell].verdict == HALVING_STOPPED) continue;
        double measured;
        if (look(&all, &measured, v, cell, m->rung[k], e)) break;
        place_of *at = &p[m->setting];
        n += !at->alive;
        at->alive = true;
        at->setting = m->setting;
        at->n++;
        if (isfinite(measured))
            at->sum += measured;
        else
            at->bad++;
    }
    if (all && !e->code) {
        int kept = 0;
        for (int i = 0; i < g->settings; i++)
            if (p[i].alive) p[kept++] = p[i];
        rank(p, n, r->max);
        const int best = kept_of(r, n);
        for (int i = best; i < n; i++)
            for (int c = 0; c < g->n; c++) {
                const int cell = g->cell[c];
                const member *m = &v->h->member[cell];
                if (m->setting == p[i].setting)
                    out[cell] = (halving_cell){.verdict = HALVING_STOPPED,
                                               .stopped_at = m->rung[k],
                                               .place = i + 1,
                                               .of = n};
            }
    }
    arena_free(a);
    return all;
}

/* What the cells of a group that are left have to do in this round. */
static void send_on(halving_cell *out, const view *v, const group *g, int round, bool judged,
                    error *e) {
    const bool last = round == v->h->rules->n_at;
    for (int i = 0; i < g->n && !e->code; i++) {
        halving_cell *c = &out[g->cell[i]];
        if (c->verdict == HALVING_STOPPED) continue;
        c->verdict = judged ? HALVING_TRAIN : HALVING_WAITS;
        if (!judged || last) continue;
        bool stands;
        double measured;
        c->pause_at = v->h->member[g->cell[i]].rung[round];
        if (look(&stands, &measured, v, g->cell[i], c->pause_at, e)) return;
        if (stands) c->verdict = HALVING_STANDS;
    }
}

status halving_judge(halving_cell *out, const halving *h, store *s, const run_state *state,
                     int round, error *e) {
    for (int i = 0; i < h->grid->n; i++) out[i] = (halving_cell){.verdict = HALVING_TRAIN};
    const view v = {h, s, state};
    for (int i = 0; i < h->n_group && !e->code; i++) {
        bool judged = true;
        for (int k = 0; k < round && judged && !e->code; k++)
            judged = judge_group(out, &v, &h->group[i], k, e);
        send_on(out, &v, &h->group[i], round, judged, e);
    }
    return e->code;
}

/* ---- for people ---- */

static int compare_down(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return a > b ? -1 : a < b;
}

/* Settings may differ in length: the longest could be those that go on. */
double halving_most(const halving *h) {
    arena *a = arena_new();
    double trained = 0, all = 0;
    for (int i = 0; i < h->n_group; i++) {
        const group *g = &h->group[i];
        int left = g->settings;
        for (int k = 0; k <= h->rules->n_at; k++) {
            double *part = ARENA_NEW(a, double, g->settings);
            for (int c = 0; c < g->n; c++) {
                const member *m = &h->member[g->cell[c]];
                part[m->setting] += (double)(m->rung[k] - (k ? m->rung[k - 1] : 0));
            }
            qsort(part, (size_t)g->settings, sizeof *part, compare_down);
            for (int s = 0; s < g->settings; s++) {
                all += part[s];
                trained += s < left ? part[s] : 0;
            }
            left = kept_of(h->rules, left);
        }
    }
    arena_free(a);
    return all > 0 ? trained / all : 0;
}

void halving_text(char out[512], const halving *h) {
    const halving_rules *r = h->rules;
    const long *rung = h->member[0].rung;
    int at = snprintf(out, 512, "early_terminate: %d group%s, pauses at step", h->n_group,
                      plural_s(h->n_group));
    for (int k = 0; k < r->n_at && at < 400; k++)
        at += snprintf(out + at, 512 - (size_t)at, "%s %ld", k ? "," : "", rung[k]);
    snprintf(out + at, 512 - (size_t)at,
             " of %ld, keeps %.3g of the settings by val/%s (%s): at most %.0f %% of all steps are "
             "trained",
             rung[r->n_at], r->keep, r->metric, r->max ? "max" : "min", 100 * halving_most(h));
}
