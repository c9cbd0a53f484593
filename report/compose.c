/* compose.c - what a report says, and in which order. See document.h.
 *
 * No dates, no folders: the same database gives the same text. The order is that of a reader's
 * questions: what came out, how it looks, what was compared with what, on which machine, and last
 * the list that allows to check it all. */
#include "document.h"

#include "metric.h"
#include "tabulate.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* A new block at the end; the pointer is good until the next one. */
static block *add(document *d, block_kind kind) {
    ARENA_GROW(d->arena, d->block, d->n, d->cap);
    d->block[d->n] = (block){.kind = kind};
    return &d->block[d->n++];
}

static void add_heading(document *d, const char *title) { add(d, BLOCK_HEADING)->title = title; }
static void add_text(document *d, const char *s) { add(d, BLOCK_TEXT)->text = s; }

static void add_table(document *d, const table *t, bool folded) {
    block *b = add(d, BLOCK_TABLE);
    b->table = t;
    b->folded = folded;
}

static void add_code(document *d, const char *title, const char *s) {
    block *b = add(d, BLOCK_CODE);
    b->title = title;
    b->text = s;
}

typedef struct lines {
    arena *arena;
    const char **s;
    int n, cap;
} lines;

static void line_add(lines *l, const char *s) {
    ARENA_GROW(l->arena, l->s, l->n, l->cap);
    l->s[l->n++] = s;
}

/* An empty list adds nothing. */
static void add_list(document *d, const lines *l) {
    if (l->n == 0) return;
    block *b = add(d, BLOCK_LIST);
    b->item = l->s;
    b->n = l->n;
}

static void fact_add(document *d, const char *s) {
    ARENA_GROW(d->arena, d->fact, d->n_fact, d->cap_fact);
    d->fact[d->n_fact++] = s;
}

/* Over all runs, failed ones included: what the experiment cost. */
static double total_wall_s(const record *r) {
    double sum = 0;
    for (int i = 0; i < r->n_run; i++) sum += isnan(r->run[i].wall_s) ? 0 : r->run[i].wall_s;
    return sum;
}

/* Runs that are over without a result. */
static int n_failed(const record *r) {
    int n = 0;
    for (int i = 0; i < r->n_run; i++) n += run_failed(&r->run[i]);
    return n;
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* A state as captions call it; the tables have the word of the database. */
static const char *state_word(int state) {
    return state == RUN_CANCELLED ? "stopped early" : run_state_name[state];
}

/* The line under the title: how much there is and how it went. */
static void compose_facts(document *d, const record *r) {
    arena *a = d->arena;
    fact_add(d, arena_printf(a, "%d %s", r->n_run, r->n_run == 1 ? "run" : "runs"));
    for (int s = 0; s < N_RUN_STATE; s++)
        if (r->n_by_state[s])
            fact_add(d, arena_printf(a, "%d %s", r->n_by_state[s], state_word(s)));
    fact_add(d, arena_printf(a, "%s of training", text_duration(a, total_wall_s(r))));
}

/* The term of a line such as "Hypothesis: ...": up to three words before the first colon. */
static int term_length(const char *line) {
    int n = 0, words = 1;
    if (line[0] < 'A' || line[0] > 'Z') return 0;
    for (; line[n] && line[n] != ':' && line[n] != '\n'; n++) words += line[n] == ' ';
    return line[n] == ':' && line[n + 1] == ' ' && words <= 3 ? n : 0;
}

/* The leading comment as paragraphs. A line that starts with a blank goes on with the one before,
 * and so does one without a term: line ends in a comment are those of an editor. */
static void compose_lead(document *d, const char *s) {
    arena *a = d->arena;
    bool open = false;
    while (*s) {
        const int n = (int)strcspn(s, "\n"), blanks = (int)strspn(s, " \t");
        const char *line = arena_printf(a, "%.*s", n > blanks ? n - blanks : 0, s + blanks);
        const int term = blanks ? 0 : term_length(line);
        s += n + (s[n] != 0);
        if (!line[0]) {
            open = false;
        } else if (open && !term) {
            lead_item *last = &d->lead[d->n_lead - 1];
            last->text = arena_printf(a, "%s %s", last->text, line);
        } else {
            ARENA_GROW(a, d->lead, d->n_lead, d->cap_lead);
            d->lead[d->n_lead++] = (lead_item){term ? arena_printf(a, "%.*s", term, line) : NULL,
                                               term ? text_capital(a, line + term + 2) : line};
            open = true;
        }
    }
}

/* Every failed run with its message and, folded, the end of its log. */
static void compose_failures(document *d, const record *r) {
    if (n_failed(r) == 0) return;
    arena *a = d->arena;
    table *t = table_new(a, "failures", "Runs that failed or diverged");
    table_column_add(t, "run", "run", CELL_TEXT);
    table_column_add(t, "cell", "cell", CELL_TEXT);
    table_column_add(t, "state", "state", CELL_TEXT);
    table_column_add(t, "ended by", "ended_by", CELL_TEXT);
    table_column_add(t, "message", "message", CELL_TEXT);
    add_heading(d, "Failures");
    add_table(d, t, false);
    for (int i = 0; i < r->n_cell; i++) {
        const record_run *run = r->cell[i].run;
        if (!run_failed(run)) continue;
        table_cell *cell = table_row_add(t);
        cell[0] = cell_text(arena_printf(a, "%.12s", run->id));
        cell[1] = cell_text(r->cell[i].label);
        cell[2] = cell_text(run_state_name[run->state]);
        cell[3] = cell_text(run->signal_number ? arena_printf(a, "signal %d", run->signal_number)
                            : run->exit_code   ? arena_printf(a, "exit code %d", run->exit_code)
                                               : "itself");
        cell[4] = cell_text(run->message[0] ? run->message : "–");
        if (run->log_tail[0])
            add_code(d, arena_printf(a, "Last lines of the log of %.12s", run->id), run->log_tail);
    }
    const bool any_again = r->n_by_state[RUN_FAILED] + r->n_by_state[RUN_TIMEOUT] > 0;
    t->caption = arena_printf(
        a,
        "They are results: they count as failures in solve rates, and against a setting when "
        "hyperparameters are chosen.%s%s",
        any_again ? " mixgrid run FILE --retry failed tries those again that failed or timed out."
                  : "",
        r->n_by_state[RUN_DIVERGED] ? " A run that diverged would diverge again." : "");
}

/* Surroundings side by side would be wide: one row per key, one column per environment. */
static void compose_provenance(document *d, const record *r) {
    arena *a = d->arena;
    add_heading(d, "Provenance");
    if (r->n_environment == 0) {
        add_text(d, "The database holds no record of the machine and code of these runs.");
        return;
    }
    table *t = table_new(a, "provenance", "Code and machines");
    table_column_add(t, "fact", "fact", CELL_TEXT);
    enum { SHOWN = 4 };
    int shown = r->n_environment < SHOWN ? r->n_environment : SHOWN;
    for (int i = 0; i < shown; i++)
        table_column_add(t, arena_printf(a, "environment %d", i + 1),
                         arena_printf(a, "environment %d", i + 1), CELL_TEXT);
    table_cell *cell = table_row_add(t);
    cell[0] = cell_text("runs");
    for (int i = 0; i < shown; i++)
        cell[i + 1] = cell_text(arena_printf(a, "%ld", r->environment[i].n_runs));
    for (int i = 0; i < shown; i++) {
        const char *key;
        json_t *value;
        json_object_foreach(r->environment[i].json, key, value) {
            bool listed = !strcmp(key, "diff"); /* long; its hash is here, `show` prints it */
            for (int k = 0; k < i; k++)
                listed |= json_object_get(r->environment[k].json, key) != NULL;
            if (listed) continue;
            cell = table_row_add(t);
            cell[0] = cell_text(arena_text(a, key));
            for (int k = 0; k < shown; k++) {
                const json_t *v = json_object_get(r->environment[k].json, key);
                cell[k + 1] = cell_text(v && !json_is_null(v) ? json_plain(a, v) : "–");
            }
        }
    }
    t->caption =
        r->n_environment > SHOWN
            ? arena_printf(a, "The %d environments with most runs, of %d.", SHOWN, r->n_environment)
            : "Recorded by each run when it started.";
    add_table(d, t, false);
}

/* The main outcome in words. */
static const char *metric_names(arena *a, const choice *c) {
    return arena_printf(a, "%s on the %s split", metric_find(choice_metric(c)).title, c->split);
}

/* "low to high", or one value where both read the same. */
static const char *range_text(arena *a, double low, double high,
                              const char *(*show)(arena *, double)) {
    const char *from = show(a, low), *to = show(a, high);
    return strcmp(from, to) == 0 ? from : arena_printf(a, "%s to %s", from, to);
}

static const char *text_bytes(arena *a, double bytes) {
    const char *count = text_count(a, bytes);
    const bool has_letter = isalpha((unsigned char)count[strlen(count) - 1]);
    return arena_printf(a, has_letter ? "%sB" : "%s B", count);
}

/* The smallest and largest of a fact over runs; false when no run knows it. */
static bool fact_range(double *low, double *high, const record *r, size_t offset) {
    *low = INFINITY;
    *high = -INFINITY;
    for (int i = 0; i < r->n_run; i++) {
        double v;
        memcpy(&v, (const char *)&r->run[i] + offset, sizeof v);
        if (!isfinite(v) || v <= 0) continue;
        *low = fmin(*low, v);
        *high = fmax(*high, v);
    }
    return *low <= *high;
}

/* One line of the checklist for a fact at `offset` of record_run. */
static void list_fact(lines *l, const record *r, const char *name, size_t offset, const char *unit,
                      const char *(*show)(arena *, double)) {
    double low, high;
    if (!fact_range(&low, &high, r, offset)) {
        line_add(l, arena_printf(l->arena, "%s: not recorded.", name));
        return;
    }
    line_add(
        l, arena_printf(l->arena, "%s: %s%s.", name, range_text(l->arena, low, high, show), unit));
}

/* Parameters are an integer and so not a case of list_fact. */
static void list_params(lines *l, const record *r) {
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < r->n_run; i++)
        if (r->run[i].params >= 0) {
            low = fmin(low, (double)r->run[i].params);
            high = fmax(high, (double)r->run[i].params);
        }
    line_add(l, low <= high ? arena_printf(l->arena, "Trained parameters: %s.",
                                           range_text(l->arena, low, high, text_count))
                            : "Trained parameters: not recorded.");
}

/* "3", or "2 to 5" where rows differ. */
static const char *seeds_text(arena *a, const choice *c) {
    int low = c->n_row ? c->row[0].chosen->n_run : 0, high = low;
    for (int i = 0; i < c->n_row; i++) {
        int n = c->row[i].chosen->n_run;
        low = n < low ? n : low;
        high = n > high ? n : high;
    }
    return low == high ? arena_printf(a, "%d", low) : arena_printf(a, "%d to %d", low, high);
}

/* How settings were chosen, in full: the item most reports leave out. */
static void list_selection(lines *l, const choice *c) {
    const record *r = c->record;
    arena *a = l->arena;
    if (!r->by_name || c->search_n < 2) {
        line_add(l, "Selection: none; every setting of the grid is shown.");
        return;
    }
    text over = text_new(a);
    for (int i = 0; i < r->n_axis; i++)
        if (r->axis[i].over)
            text_add(&over, "%s%s (%d values)", over.n ? " and " : "", r->axis[i].key,
                     r->axis[i].n);
    line_add(l, arena_printf(a,
                             "Selection: %s, %d settings per row, by the %s mean over seeds of %s "
                             "on the %s split; failed runs count as 0 for accuracies and behind "
                             "all others else; ties go to the lower loss, then to the order of the "
                             "grid. Test values take no part in it.%s",
                             over.s, c->search_n, r->by_max ? "largest" : "smallest",
                             metric_find(r->by_name).title, r->by_split,
                             r->n_by_state[RUN_CANCELLED]
                                 ? " Settings that were stopped early by early_terminate (state "
                                   "cancelled, each with its place) were not chosen from."
                                 : ""));
}

/* What reproducibility checklists ask for, in their order. */
static void compose_checklist(document *d, const choice *c) {
    const record *r = c->record;
    arena *a = d->arena;
    lines l = {.arena = a};
    add_heading(d, "Reproducibility checklist");
    text states = text_new(a);
    for (int s = 0; s < N_RUN_STATE; s++)
        if (r->n_by_state[s])
            text_add(&states, "%s%d %s", states.n ? ", " : "", r->n_by_state[s], state_word(s));
    line_add(&l, arena_printf(a,
                              "Runs: %d distinct configurations in %d cells (%s); all are "
                              "listed, none is left out by hand.",
                              r->n_run, r->n_cell, states.s));
    line_add(&l, arena_printf(a,
                              "Replication: %s seeds per setting; the seed is the unit of every "
                              "interval and test.",
                              seeds_text(a, c)));
    line_add(&l, arena_printf(a, "Main outcome: %s, of the checkpoint that is best on val.",
                              metric_names(a, c)));
    list_selection(&l, c);
    line_add(&l, "Search bounds: the table of axes under Configuration lists every value tried.");
    list_params(&l, r);
    list_fact(&l, r, "State size", offsetof(record_run, state_size), " numbers per sequence",
              text_count);
    list_fact(&l, r, "Compute per token, forward and backward",
              offsetof(record_run, flops_per_token), " FLOP", text_count);
    list_fact(&l, r, "Planned memory", offsetof(record_run, mem_bytes), "", text_bytes);
    list_fact(&l, r, "Training time per run", offsetof(record_run, wall_s), "", text_duration);
    line_add(&l, arena_printf(a,
                              "Training time in total: %s over all attempts, the search and "
                              "failed runs included.",
                              text_duration(a, total_wall_s(r))));
    line_add(&l, r->n_environment
                     ? "Infrastructure: see Provenance (code version, compiler, processor, device)."
                     : "Infrastructure: not recorded.");
    line_add(&l, "Intervals: Student's t for means, Wilson for shares, percentile bootstrap (2000 "
                 "resamples) for interquartile means, all at 95 %.");
    line_add(&l, "Tests: two-sided paired t tests over equal seeds, Holm's correction within each "
                 "column; the number of comparisons is in the caption.");
    line_add(&l, "Data: a pure function of the task's settings and seed; train, val and test are "
                 "pairwise disjoint.");
    add_list(d, &l);
}

document *document_compose(arena *a, const choice *c, const table_list *tables,
                           const table *published, const figure_list *figures,
                           const char *missing_figures) {
    const record *r = c->record;
    document *d = ARENA_NEW(a, document, 1);
    *d = (document){.arena = a, .title = r->name};
    compose_lead(d, r->description);
    compose_facts(d, r);
    int open = r->n_run - r->n_by_state[RUN_DONE] - r->n_by_state[RUN_CANCELLED] - n_failed(r);
    if (open)
        add(d, BLOCK_WARNING)->text =
            arena_printf(a,
                         "This experiment is not complete: %d of %d runs are not finished, and "
                         "all numbers below may change.",
                         open, r->n_run);
    add_heading(d, "Results");
    for (int i = 0; i < tables->n; i++) add_table(d, tables->table[i], false);
    add_heading(d, "Figures");
    if (missing_figures) add(d, BLOCK_WARNING)->text = missing_figures;
    for (int i = 0; i < figures->n; i++)
        if (figures->figure[i]->svg) add(d, BLOCK_FIGURE)->figure = figures->figure[i];
    if (published) {
        add_heading(d, "Published and ours");
        add_table(d, published, false);
    }
    compose_failures(d, r);
    add_heading(d, "Configuration");
    add_table(d, tabulate_axes(a, c), false);
    const table *determined = tabulate_determined(a, c);
    if (determined) add_table(d, determined, false);
    if (r->grid[0]) add_code(d, "The grid file", r->grid);
    compose_provenance(d, r);
    compose_checklist(d, c);
    add_heading(d, "All runs");
    add_table(d, tabulate_runs(a, c), true);
    return d;
}
