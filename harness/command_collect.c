/* command_collect.c - mixgrid collect: what the shares of a sweep left in the journals, into one
 * database, and its report. May be called at any time and again. */
#include "cli.h"
#include "schedule.h"
#include "slurm_view.h"
#include "verdict.h"

#include <stdio.h>
#include <string.h>

typedef struct collect_flags {
    const char *db, *out;
    bool no_report;
} collect_flags;

typedef struct collection {
    arena *arena;
    const collect_flags *flags;
    store *store;
    home home;
    const grid *grid;
    const slurm_array *array; /* NULL: shares that were started by hand */
    share_view *view;         /* [array->shares] */
    int *share_of;            /* [grid->n]; 0: was not submitted */
    long done, diverged, failed, running, interrupted, left;
} collection;

static status find_shares(collection *c, error *e) {
    const slurm_array *array = c->array;
    c->share_of = ARENA_NEW(c->arena, int, c->grid->n);
    for (int i = 0; i < c->grid->n; i++) c->share_of[i] = 1;
    if (!array) return STATUS_OK;
    c->view = ARENA_NEW(c->arena, share_view, array->shares);
    if (slurm_array_look(c->view, c->arena, c->flags->db, array, e)) return e->code;
    const only *these = only_read(c->arena, c->grid, array->only, e);
    return these ? share_deal_grid(c->share_of, c->grid, these, array->shares, e) : e->code;
}

/* A task that was killed could not say that its runs have ended. Its journals say so from now on,
 * unless somebody writes to them: then the run lives after all. */
static status end_dead_run(collection *c, const grid_cell *cell, int index, store_run *run,
                           error *e) {
    const share_view *v = c->view ? &c->view[index - 1] : NULL;
    if (!v || !v->is_dead) return STATUS_OK;
    const char *number = c->array->job;
    const char *message =
        number
            ? arena_printf(c->arena,
                           "its task %s_%d is %s in Slurm and could write no checkpoint; it goes "
                           "on from the last one.",
                           number, index, v->task.state)
            : "its scheduler is gone and could write no checkpoint; it goes on from the last one.";
    const verdict word = {.state = RUN_PREEMPTED, .message = message};
    error busy = {0};
    if (verdict_pass(&word, c->store, c->home.journal, cell, &busy)) return STATUS_OK;
    return store_run_get(c->store, cell->config->id, run, e);
}

static status collect_cell(collection *c, int i, error *e) {
    const grid_cell *cell = &c->grid->cell[i];
    store_run run;
    if (store_import(c->store, c->home.journal, cell->config->id, e) ||
        store_run_get(c->store, cell->config->id, &run, e))
        return e->code;
    if (!c->share_of[i]) return STATUS_OK;
    if (run.state == RUN_RUNNING && end_dead_run(c, cell, c->share_of[i], &run, e)) return e->code;
    switch (run.state) {
    case RUN_DONE: c->done++; break;
    case RUN_DIVERGED: c->diverged++; break;
    case RUN_FAILED:
    case RUN_TIMEOUT: c->failed++; break;
    case RUN_RUNNING: c->running++; break;
    case RUN_PREEMPTED: c->interrupted++; break;
    default: c->left++; break;
    }
    return STATUS_OK;
}

static status import_cells(collection *c, error *e) {
    const grid *g = c->grid;
    store_cell *cells = ARENA_NEW(c->arena, store_cell, g->n);
    for (int i = 0; i < g->n; i++)
        cells[i] = (store_cell){g->cell[i].config->id,
                                config_json(c->arena, g->cell[i].config, CONFIG_IDENTITY),
                                g->cell[i].label, g->cell[i].axes_json};
    if (store_experiment(c->store, g->experiment, g->file, g->spec_json, cells, g->n,
                         c->home.journal, e))
        return e->code;
    for (int i = 0; i < g->n; i++)
        if (collect_cell(c, i, e)) return e->code;
    return STATUS_OK;
}

static void print_counts(const collection *c) {
    const long missing = c->running + c->interrupted + c->left;
    printf("%s: %d cell%s: %ld done, %ld diverged, %ld failed, %ld running, %ld interrupted, %ld "
           "left\n",
           c->grid->experiment, c->grid->n, plural_s(c->grid->n), c->done, c->diverged, c->failed,
           c->running, c->interrupted, c->left);
    if (!c->array) return;
    slurm_array_print(stdout, c->array, c->view);
    if (missing && c->array->job && !slurm_array_is_active(c->view, c->array->shares))
        printf("the array has ended: submit again for what is missing; what was printed is in "
               "%s/slurm-%s_*.log\n",
               c->home.log, c->array->job);
}

/* The database must be closed before a report reads it. */
static status collect_grid(arena *a, const collect_flags *f, const grid *g,
                           const slurm_array *array, error *e) {
    collection c = {.arena = a, .flags = f, .home = home_of(a, f->db), .grid = g, .array = array};
    bool damaged = false;
    status s = find_shares(&c, e);
    if (!s && !(c.store = store_open(f->db, &damaged, e))) s = e->code;
    if (!s && damaged) s = store_import_all(c.store, c.home.journal, NULL, e);
    if (!s) s = import_cells(&c, e);
    if (!s) s = store_tell_mixed_data(c.store, stderr, e);
    store_close(c.store);
    if (s) return s;
    print_counts(&c);
    if (!f->no_report && c.done + c.diverged) s = write_report(a, f->db, g->experiment, f->out, e);
    if (s) return s;
    if (c.running + c.interrupted + c.left) return STATUS_INTERRUPTED;
    return c.failed ? STATUS_RUNS_FAILED : STATUS_OK;
}

static const slurm_array *array_of(const slurm_array *list, int n, const char *experiment) {
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i].experiment, experiment)) return &list[i];
    return NULL;
}

/* A file without overrides stands for what was submitted of its experiment, if anything was. */
static status collect_file(arena *a, const collect_flags *f, const cli_texts *words, error *e) {
    slurm_array *list;
    int n;
    diag *d = diag_new(a);
    const grid *g =
        grid_load(a, catalog_schema(), words->text[0], words->text + 1, words->n - 1, d);
    diag_print(d, stderr);
    if (!g) return STATUS_USAGE;
    if (slurm_array_list(&list, &n, a, f->db, e)) return e->code;
    const slurm_array *array = array_of(list, n, g->experiment);
    if (array && words->n == 1 && !(g = slurm_array_grid(a, f->db, array, e))) return e->code;
    return collect_grid(a, f, g, array, e);
}

static status collect_all(arena *a, const collect_flags *f, error *e) {
    slurm_array *list;
    int n;
    if (slurm_array_list(&list, &n, a, f->db, e)) return e->code;
    if (!n)
        return error_set(e, STATUS_USAGE,
                         "nothing was submitted for %s; name the grid file whose shares are to be "
                         "collected, or another --db.",
                         f->db);
    status worst = STATUS_OK;
    for (int i = 0; i < n; i++) {
        const grid *g = slurm_array_grid(a, f->db, &list[i], e);
        const status s = g ? collect_grid(a, f, g, &list[i], e) : e->code;
        if (e->code) return e->code;
        if (s > worst) worst = s;
    }
    return worst;
}

status command_collect(int argc, char **argv, error *e) {
    arena *a = arena_new();
    collect_flags f = {.db = default_db};
    const cli_option options[] = {
        {"db", CLI_TEXT, &f.db, "FILE", "results database (default out/results.db)"},
        {"out", CLI_TEXT, &f.out, "DIR", "folder of the report"},
        {"no-report", CLI_FLAG, &f.no_report, NULL, "do not write the report"},
    };
    cli_texts words = {0};
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s) s = words.n ? collect_file(a, &f, &words, e) : collect_all(a, &f, e);
    arena_free(a);
    return s;
}
