/* report.c - see report.h.
 *
 * The order is what can be lost least: tables are written before figures, which need a program that
 * may be missing, and the page last, as it holds both. */
#include "report.h"

#include "document.h"
#include "results/store.h"
#include "tabulate.h"

/* Opens, reads and chooses. Where the experiment cannot be reported, one sentence. */
static status open_choice(store **s, record *r, choice **c, arena *a, const char *db_path,
                          const char *experiment, error *e) {
    *s = store_open_readonly(db_path, e);
    if (!*s) return e->code;
    if (record_load(r, a, store_handle(*s), experiment, e)) return e->code;
    if (r->n_run == 0 || r->n_by_state[RUN_DONE] == 0)
        return error_set(e, STATUS_USAGE,
                         "experiment '%s' has no finished run yet (%d of %d failed), so there is "
                         "nothing to report; `mixgrid run` goes on with it and `mixgrid status` "
                         "shows where it stands.",
                         r->name,
                         r->n_by_state[RUN_FAILED] + r->n_by_state[RUN_DIVERGED] +
                             r->n_by_state[RUN_TIMEOUT],
                         r->n_run);
    *c = choice_make(a, r);
    return STATUS_OK;
}

/* Writes folder/name. */
static status write_text(arena *a, const char *folder, const char *name, const char *s, error *e) {
    return file_write(arena_printf(a, "%s/%s", folder, name), s, (long)strlen(s), e);
}

/* Writes a table in the formats of files. */
static status write_table(arena *a, const char *folder, const table *t, error *e) {
    static const table_format formats[] = {TABLE_MARKDOWN, TABLE_LATEX, TABLE_CSV};
    for (int i = 0; i < 3 && !e->code; i++) {
        text out = text_new(a);
        table_render(&out, t, formats[i], false);
        write_text(a, folder, arena_printf(a, "tables/%s.%s", t->id, table_extension[formats[i]]),
                   out.s, e);
    }
    return e->code;
}

/* Draws what it can. A figure that fails is said and left out, so that the tables still come. */
static const char *write_figures(arena *a, const figure_list *list, const char *folder,
                                 unsigned formats, FILE *log) {
    const char *why = NULL;
    for (int i = 0; i < list->n; i++) {
        error e = {0};
        if (figure_write(a, list->figure[i], folder, formats, &e) == STATUS_OK) continue;
        fprintf(log, "%s\n", e.text);
        why = arena_text(a, e.text);
        if (!gnuplot_found()) break;
    }
    return why;
}

/* Tables before figures before the page: what fails later leaves the earlier files complete. */
static status write_all(arena *a, const choice *c, sqlite3 *db, const report_options *options,
                        FILE *log, error *e) {
    const char *out = options->out;
    table_list tables;
    if (tabulate(&tables, a, c, e)) return e->code;
    table *published = tabulate_published(a, c);
    figure_list figures = {0};
    const char *figure_folder = arena_printf(a, "%s/figures", out), *missing = NULL;
    if (folder_make(arena_printf(a, "%s/tables", out), e) || folder_make(figure_folder, e))
        return e->code;
    for (int i = 0; i < tables.n; i++)
        if (write_table(a, out, tables.table[i], e)) return e->code;
    if (published && write_table(a, out, published, e)) return e->code;
    if (write_table(a, out, tabulate_runs(a, c), e)) return e->code;
    if (options->no_figures) {
        missing = "Figures were not asked for.";
    } else {
        if (draw_figures(&figures, a, c, db, e)) return e->code;
        unsigned all = FIGURE_SVG | FIGURE_PNG | FIGURE_PDF;
        /* The page inlines the svg, so that is always drawn. */
        unsigned formats = options->image_formats ? options->image_formats | FIGURE_SVG : all;
        missing = write_figures(a, &figures, figure_folder, formats, log);
    }
    const document *d = document_compose(a, c, &tables, published, &figures, missing);
    if (write_text(a, out, "report.md", document_markdown(d), e) ||
        write_text(a, out, "index.html", document_html(d), e))
        return e->code;
    fprintf(log, "report of '%s': %d tables, %d figures in %s/index.html\n", c->record->name,
            tables.n + (published != NULL) + 1, missing ? 0 : figures.n, out);
    return STATUS_OK;
}

status report_write(const char *db_path, const char *experiment, const report_options *options,
                    FILE *log, error *e) {
    arena *a = arena_new();
    store *s = NULL;
    record r = {0};
    choice *c = NULL;
    if (open_choice(&s, &r, &c, a, db_path, experiment, e) == STATUS_OK)
        write_all(a, c, store_handle(s), options, log, e);
    record_free(&r);
    store_close(s);
    arena_free(a);
    return e->code;
}

/* Prints the tables that were asked for, or names those there are. */
static status print_tables(FILE *out, arena *a, const choice *c, const char *which,
                           table_format format, bool color, error *e) {
    table_list list;
    if (tabulate(&list, a, c, e)) return e->code;
    table *const extra[] = {tabulate_published(a, c), tabulate_axes(a, c), tabulate_runs(a, c)};
    text t = text_new(a), ids = text_new(a);
    int shown = 0;
    for (int i = 0; i < list.n + 3; i++) {
        const table *x = i < list.n ? list.table[i] : extra[i - list.n];
        if (!x) continue;
        text_add(&ids, "%s%s", ids.n ? ", " : "", x->id);
        bool wanted = which ? strcmp(which, x->id) == 0 : i <= list.n;
        if (!wanted) continue;
        if (shown++) text_put(&t, "\n");
        table_render(&t, x, format, color);
    }
    if (!shown)
        return error_set(e, STATUS_USAGE, "experiment '%s' has no table '%s'; it has: %s.",
                         c->record->name, which, ids.s);
    fputs(t.s, out);
    return STATUS_OK;
}

status table_print(FILE *out, const char *db_path, const char *experiment, const char *which,
                   table_format format, bool color, error *e) {
    arena *a = arena_new();
    store *s = NULL;
    record r = {0};
    choice *c = NULL;
    if (open_choice(&s, &r, &c, a, db_path, experiment, e) == STATUS_OK)
        print_tables(out, a, c, which, format, color, e);
    record_free(&r);
    store_close(s);
    arena_free(a);
    return e->code;
}
