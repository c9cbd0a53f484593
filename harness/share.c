/* share.c - see share.h.
 *
 * Longest first to the least loaded share. What is dealt is a unit: cells of one shape, as many as
 * cost an eighth of a fair share, so that packs stay large and shares stay even. A unit may not
 * depend on devices, as each task finds its own. */
#include "share.h"

#include "map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNITS_PER_SHARE = 8 };

typedef struct unit {
    double cost;
    int first, n; /* first: smallest index of its items, for ties */
} unit;

status share_read(share *out, const char *text, error *e) {
    char *slash, *end = (char *)"";
    errno = 0;
    const long index = strtol(text, &slash, 10);
    const long count = *slash == '/' ? strtol(slash + 1, &end, 10) : 0;
    if (errno || count < 1 || *end || count > SHARE_MOST || index < 1 || index > count)
        return error_set(e, STATUS_USAGE,
                         "--share takes I/N, such as 2/8: the second of eight shares (at most %d), "
                         "not %s.",
                         SHARE_MOST, text);
    *out = (share){(int)index, (int)count};
    return STATUS_OK;
}

static int longest_first(const void *left, const void *right) {
    const unit *a = left, *b = right;
    if (a->cost != b->cost) return a->cost < b->cost ? 1 : -1;
    return (a->first > b->first) - (a->first < b->first);
}

static int least_loaded(const double *load, int shares) {
    int least = 0;
    for (int i = 1; i < shares; i++)
        if (load[i] < load[least]) least = i;
    return least;
}

void share_deal(int *out, const double *cost, const int *shape, int n, int shares) {
    arena *a = arena_new();
    unit *all = ARENA_NEW(a, unit, n);
    int *unit_of = ARENA_NEW(a, int, n), *open = ARENA_NEW(a, int, n), units = 0;
    double total = 0;
    for (int i = 0; i < n; i++) total += cost[i];
    for (int i = 0; i < n; i++) open[i] = -1;
    const double most = total / shares / UNITS_PER_SHARE;
    for (int i = 0; i < n; i++) {
        int *u = &open[shape[i]];
        if (*u < 0 || all[*u].n == PACK_MOST || all[*u].cost + cost[i] > most) {
            *u = units++;
            all[*u].first = i;
        }
        all[*u].cost += cost[i];
        all[*u].n++;
        unit_of[i] = all[*u].first;
    }
    qsort(all, (size_t)units, sizeof *all, longest_first);
    double *load = ARENA_NEW(a, double, shares);
    int *share_of = ARENA_NEW(a, int, n); /* of the unit that starts at an item */
    for (int i = 0; i < units; i++) {
        const int to = least_loaded(load, shares);
        load[to] += all[i].cost;
        share_of[all[i].first] = to + 1;
    }
    for (int i = 0; i < n; i++) out[i] = share_of[unit_of[i]];
    arena_free(a);
}

static status open_nothing(const char *device, numerics n, error *e) {
    (void)device, (void)n, (void)e;
    return STATUS_OK;
}

status share_plan(sweep_plan *out, arena *a, const grid *g, store *s, const plan_options *options,
                  error *e) {
    device_set d;
    if (devices_find(&d, a, "cpu", e)) return e->code;
    backend on_paper = *d.backend;
    on_paper.open = open_nothing;
    d.backend = &on_paper;
    return plan_sweep(out, a, g, s, &d, options, e);
}

status share_deal_grid(int *out, const grid *g, const only *these, int shares, error *e) {
    arena *a = arena_new();
    sweep_plan plan;
    const plan_options options = {.only = these, .pack = 1, .workers = 1};
    memset(out, 0, (size_t)g->n * sizeof *out);
    status s = share_plan(&plan, a, g, NULL, &options, e);
    if (!s) {
        double *cost = ARENA_NEW(a, double, plan.n);
        int *shape = ARENA_NEW(a, int, plan.n), *dealt = ARENA_NEW(a, int, plan.n);
        map *first = map_new(a); /* pack key -> the shape's number */
        for (int i = 0; i < plan.n; i++) {
            void **known = map_text(first, plan.pack[i].cell[0]->config->pack_key);
            cost[i] = plan.pack[i].cost;
            shape[i] = *known ? *(int *)*known : i;
            if (!*known) *known = &shape[i];
        }
        share_deal(dealt, cost, shape, plan.n, shares);
        for (int i = 0; i < plan.n; i++) out[plan.pack[i].cell[0] - g->cell] = dealt[i];
    }
    arena_free(a);
    return s;
}

const char *share_folder(arena *a, const char *db) { return arena_printf(a, "%s.d", db); }

const char *share_db(arena *a, const char *db, const char *experiment, share which) {
    return arena_printf(a, "%s/%s-%d-of-%d.db", share_folder(a, db), experiment, which.index,
                        which.count);
}
