/* expand.c - from axes to cells.
 *
 * A depth-first walk with one stack of settings: groups in order, then each clause of `when` whose
 * conditions the settings so far meet (with its own groups), then seeds. A random sweep walks once
 * per sample with one drawn alternative for each group. Depth is bounded by SHEET_MAX_AXES. */
#include "map.h"
#include "sheet.h"

#include <string.h>

typedef struct walk {
    sheet *sheet;
    resolver *resolver;
    cell_list *out;
    map *seen; /* run id -> anything */
    setting *stack;
    int n, cap;
    long visited;
    uint64_t sample;
    bool stopped;
} walk;

static void push(walk *w, setting x) {
    ARENA_GROW(w->sheet->arena, w->stack, w->n, w->cap);
    w->stack[w->n++] = x;
}

static bool clause_matches(walk *w, const clause *c) {
    for (int i = 0; i < c->n_match; i++) {
        const condition *one = &c->match[i];
        if (!resolve_matches(w->resolver, w->stack, w->n, one->key, one->any.value, one->any.n))
            return false;
    }
    return true;
}

static bool is_excluded(walk *w) {
    bool out = false;
    for (int i = 0; i < w->sheet->exclude.n; i++) {
        clause *c = &w->sheet->exclude.v[i];
        if (!clause_matches(w, c)) continue;
        c->hits++;
        out = true;
    }
    return out;
}

static void emit(walk *w) {
    sheet *s = w->sheet;
    if (++w->visited > GRID_MAX_CELLS) {
        diag_error(s->diag, s->origin, "the grid has more than %d cells; leave out values",
                   GRID_MAX_CELLS);
        w->stopped = true;
        return;
    }
    if (is_excluded(w)) {
        s->excluded++;
        return;
    }
    const config *c = resolve(w->resolver, w->stack, w->n);
    if (!c) return;
    void **known = map_at(w->seen, c->id, CONFIG_ID_CHARS);
    if (*known) {
        s->merged++;
        return;
    }
    *known = w;
    cell_list *out = w->out;
    int n = out->n;
    ARENA_GROW(s->arena, out->v, out->n, out->cap);
    ARENA_GROW(s->arena, out->recipe, n, out->recipe_cap);
    out->v[out->n] = (grid_cell){.config = c};
    out->recipe[out->n++] = resolve_recipe(w->resolver, w->stack, w->n);
}

static void walk_seeds(walk *w) {
    const axis *seeds = &w->sheet->seeds;
    if (!w->sheet->has_seeds) {
        emit(w);
        return;
    }
    for (int i = 0; i < seeds->n && !w->stopped; i++) {
        push(w, (setting){w->sheet->schema->seed_key, seeds->at, seeds->value[i]});
        emit(w);
        w->n--;
    }
}

static void walk_groups(walk *w, const group_list *list, int i, int next_clause);

/* Clauses from `i` on, then seeds. */
static void walk_clauses(walk *w, int i) {
    for (; i < w->sheet->when.n; i++) {
        clause *c = &w->sheet->when.v[i];
        if (!clause_matches(w, c)) continue;
        c->hits++;
        for (int k = 0; k < c->set.n; k++) push(w, c->set.v[k]);
        walk_groups(w, &c->groups, 0, i + 1);
        return;
    }
    walk_seeds(w);
}

static void walk_alternative(walk *w, const group_list *list, int i, const alternative *one,
                             int next_clause) {
    const int before = w->n;
    for (int k = 0; k < one->n; k++) push(w, one->set[k]);
    walk_groups(w, list, i + 1, next_clause);
    w->n = before;
}

/* Groups from `i` on, then clauses from `next_clause` on. */
static void walk_groups(walk *w, const group_list *list, int i, int next_clause) {
    if (i == list->n) {
        const int before = w->n;
        walk_clauses(w, next_clause);
        w->n = before;
        return;
    }
    const axis_group *g = &list->v[i];
    if (!w->sheet->random) {
        for (int k = 0; k < g->n && !w->stopped; k++)
            walk_alternative(w, list, i, &g->v[k], next_clause);
        return;
    }
    rng random = axis_rng(w->sheet->sample_seed, g->key, w->sample);
    if (g->n) {
        walk_alternative(w, list, i, &g->v[rng_below(&random, (uint32_t)g->n)], next_clause);
        return;
    }
    setting x = {g->key, g->at, axis_draw(w->sheet->arena, &g->draws, &random)};
    walk_alternative(w, list, i, &(alternative){&x, 1}, next_clause);
}

/* A grid far too large is refused before it is walked. */
static bool is_too_large(sheet *s) {
    double cells = s->has_seeds ? s->seeds.n : 1;
    for (int i = 0; i < s->groups.n; i++)
        cells *= s->random || !s->groups.v[i].n ? 1 : s->groups.v[i].n;
    if (s->random) cells *= (double)s->samples;
    if (cells <= GRID_MAX_CELLS) return false;
    diag_error(s->diag, s->origin, "the grid has %.4g cells, more than %d; leave out values", cells,
               GRID_MAX_CELLS);
    return true;
}

static void report_unused(sheet *s) {
    for (int i = 0; i < s->when.n; i++)
        if (!s->when.v[i].hits)
            diag_warning(s->diag, s->when.v[i].at, "this clause of when matches no cell");
    for (int i = 0; i < s->exclude.n; i++)
        if (!s->exclude.v[i].hits)
            diag_warning(s->diag, s->exclude.v[i].at, "this clause of exclude matches no cell");
}

void sheet_expand(sheet *s, cell_list *out) {
    const int errors = diag_errors(s->diag);
    if (is_too_large(s)) return;
    walk w = {.sheet = s, .out = out, .seen = map_new(s->arena)};
    w.resolver = resolver_new(s->arena, s->schema, &s->base, s->origin, s->diag);
    const uint64_t samples = s->random ? (uint64_t)s->samples : 1;
    for (w.sample = 0; w.sample < samples && !w.stopped; w.sample++)
        walk_groups(&w, &s->groups, 0, 0);
    if (errors < diag_errors(s->diag)) return;
    report_unused(s);
    if (!out->n && s->excluded)
        diag_error(s->diag, s->exclude.v[0].at, "exclude leaves no cell of %ld", s->excluded);
}
