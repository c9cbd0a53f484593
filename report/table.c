/* table.c - see table.h.
 *
 * One function for each format and no common walk: the formats differ in all that matters (rules,
 * alignment, what a number is), and a reader who fixes LaTeX must not break CSV. */
#include "table.h"

#include "stats.h"

#include <math.h>

const char *const table_extension[N_TABLE_FORMAT] = {"txt", "md", "tex", "csv", "html"};

table *table_new(arena *a, const char *id, const char *title) {
    table *t = ARENA_NEW(a, table, 1);
    *t = (table){.arena = a, .id = id, .title = title, .caption = ""};
    return t;
}

void table_column_add(table *t, const char *title, const char *csv, cell_kind kind) {
    ARENA_GROW(t->arena, t->column, t->n_column, t->cap_column);
    t->column[t->n_column++] = (table_column){title, csv, kind};
}

table_cell *table_row_add(table *t) {
    ARENA_GROW(t->arena, t->row, t->n_row, t->cap_row);
    t->row[t->n_row] = ARENA_NEW(t->arena, table_cell, t->n_column);
    return t->row[t->n_row++];
}

table_cell cell_text(const char *s) {
    return (table_cell){.kind = s ? CELL_TEXT : CELL_EMPTY, .text = s, .value = (double)NAN};
}

table_cell cell_number(arena *a, double value, const char *shown) {
    if (isnan(value)) return (table_cell){0};
    return (table_cell){
        .kind = CELL_NUMBER, .text = shown ? shown : text_real(a, value), .value = value};
}

/* Small values keep two digits that say something: 0.00031 with three decimals would be 0.000. */
static const char *shown_number(arena *a, double v, int decimals) {
    if (v > 0 && v < 0.5 * pow(10, -decimals)) return arena_printf(a, "%.1e", v);
    if (fabs(v) >= 1e5) return arena_printf(a, "%.3g", v);
    return arena_printf(a, "%.*f", decimals, v);
}

table_cell cell_sample(arena *a, const sample *s, int decimals) {
    table_cell c = {.kind = CELL_SAMPLE, .n = s->n, .n_run = s->n_run, .sd = s->sd};
    c.value = s->mean;
    c.low = s->mean - s->half;
    c.high = s->mean + s->half;
    if (s->absent) return cell_text("–");
    text t = text_new(a);
    if (s->n == 0) {
        text_put(&t, s->n_failed ? "failed" : "–");
    } else {
        text_put(&t, shown_number(a, s->mean, decimals));
        if (!isnan(s->half)) text_add(&t, " ± %s", shown_number(a, s->half, decimals));
    }
    if (s->n != s->n_run) text_add(&t, " (n=%d/%d)", s->n, s->n_run);
    c.text = t.s;
    return c;
}

table_cell cell_share(arena *a, int successes, int n) {
    if (n == 0) return (table_cell){0};
    interval w = wilson_interval(successes, n);
    return (table_cell){.kind = CELL_SHARE,
                        .text = arena_printf(a, "%d/%d", successes, n),
                        .value = (double)successes / n,
                        .low = w.low,
                        .high = w.high,
                        .n = n,
                        .n_run = n};
}

/* Cells that are set flush right and sorted by value. */
static bool is_numeric(cell_kind kind) { return kind != CELL_EMPTY && kind != CELL_TEXT; }

/* Does row i start a new block? */
static bool block_starts(const table *t, int i) {
    if (i == 0 || t->block == 0) return false;
    for (int c = 0; c < t->block; c++) {
        const char *x = t->row[i][c].text, *y = t->row[i - 1][c].text;
        if ((x == NULL) != (y == NULL) || (x && strcmp(x, y) != 0)) return true;
    }
    return false;
}

/* ---- terminal -------------------------------------------------------------------------------- */

/* s in a field of `width` columns. */
static void put_padded(text *out, const char *s, int width, bool right) {
    int blanks = width - text_width(s);
    for (int i = 0; right && i < blanks; i++) text_put(out, " ");
    text_put(out, s);
    for (int i = 0; !right && i < blanks; i++) text_put(out, " ");
}

/* Terminal text must not carry control bytes of a label. */
static const char *printable(arena *a, const char *s) {
    char *copy = arena_text(a, s ? s : "");
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127) *p = ' ';
    return copy;
}

/* s broken at blanks into lines of at most `width` columns. */
static void put_wrapped(text *out, const char *s, int width) {
    int at = 0;
    while (*s) {
        int n = (int)strcspn(s, " ");
        const char *word = arena_printf(out->arena, "%.*s", n, s);
        int w = text_width(word);
        if (at && at + 1 + w > width) {
            text_put(out, "\n");
            at = 0;
        }
        text_add(out, "%s%s", at ? " " : "", word);
        at += w + (at > 0);
        s += n;
        s += *s == ' ';
    }
    text_put(out, "\n");
}

/* Fixed-width columns with rules; trailing blanks are cut, so that output can be compared. */
static void render_terminal(text *out, const table *t, bool color) {
    arena *a = t->arena;
    int *width = ARENA_NEW(a, int, t->n_column);
    for (int c = 0; c < t->n_column; c++) {
        width[c] = text_width(t->column[c].title);
        for (int i = 0; i < t->n_row; i++) {
            int w = text_width(t->row[i][c].text) + (t->row[i][c].bold && !color);
            if (w > width[c]) width[c] = w;
        }
    }
    text_add(out, "%s\n", printable(a, t->title));
    for (int c = 0; c < t->n_column; c++) {
        text_put(out, c ? "  " : "");
        put_padded(out, t->column[c].title, width[c], is_numeric(t->column[c].kind));
    }
    text_put(out, "\n");
    for (int i = 0; i < t->n_row; i++) {
        if (i == 0 || block_starts(t, i)) {
            for (int c = 0; c < t->n_column; c++) {
                text_put(out, c ? "  " : "");
                for (int k = 0; k < width[c]; k++) text_put(out, "─");
            }
            text_put(out, "\n");
        }
        for (int c = 0; c < t->n_column; c++) {
            const table_cell *cell = &t->row[i][c];
            const char *s = printable(a, cell->text);
            text_put(out, c ? "  " : "");
            if (cell->bold && !color) s = arena_printf(a, "%s*", s);
            if (cell->bold && color) text_put(out, "\033[1m");
            put_padded(out, s, width[c], is_numeric(t->column[c].kind));
            if (cell->bold && color) text_put(out, "\033[0m");
        }
        while (out->n && out->s[out->n - 1] == ' ') out->s[--out->n] = 0;
        text_put(out, "\n");
    }
    if (t->caption[0]) put_wrapped(out, printable(a, t->caption), 100);
}

/* ---- Markdown, LaTeX, CSV, HTML -------------------------------------------------------------- */

/* A pipe table; GitHub, pandoc and most readers know it. */
static void render_markdown(text *out, const table *t) {
    text_put(out, "**");
    text_markdown(out, t->title);
    text_put(out, "**\n\n");
    for (int c = 0; c < t->n_column; c++) {
        text_put(out, c ? " | " : "| ");
        text_markdown(out, t->column[c].title);
    }
    text_put(out, " |\n");
    for (int c = 0; c < t->n_column; c++)
        text_put(out, is_numeric(t->column[c].kind) ? "|---:" : "|:---");
    text_put(out, "|\n");
    for (int i = 0; i < t->n_row; i++) {
        for (int c = 0; c < t->n_column; c++) {
            const char *mark = t->row[i][c].bold ? "**" : "";
            text_add(out, "%s%s", c ? " | " : "| ", mark);
            text_markdown(out, t->row[i][c].text);
            text_put(out, mark);
        }
        text_put(out, " |\n");
    }
    text_put(out, "\n");
    text_markdown(out, t->caption);
    text_put(out, "\n");
}

/* A table environment of booktabs rules, with caption and label, to be \\input. */
static void render_latex(text *out, const table *t) {
    text_put(out,
             "% needs \\usepackage{booktabs}\n\\begin{table}[t]\n\\centering\n\\caption{\\textbf{");
    text_latex(out, t->title);
    text_put(out, ".} ");
    text_latex(out, t->caption);
    text_add(out, "}\n\\label{tab:%s}\n\\begin{tabular}{", t->id);
    for (int c = 0; c < t->n_column; c++) text_put(out, is_numeric(t->column[c].kind) ? "r" : "l");
    text_put(out, "}\n\\toprule\n");
    for (int c = 0; c < t->n_column; c++) {
        text_put(out, c ? " & " : "");
        text_latex(out, t->column[c].title);
    }
    text_put(out, " \\\\\n\\midrule\n");
    for (int i = 0; i < t->n_row; i++) {
        if (block_starts(t, i)) text_put(out, "\\midrule\n");
        for (int c = 0; c < t->n_column; c++) {
            text_put(out, c ? " & " : "");
            if (t->row[i][c].bold) text_put(out, "\\textbf{");
            text_latex(out, t->row[i][c].text);
            if (t->row[i][c].bold) text_put(out, "}");
        }
        text_put(out, " \\\\\n");
    }
    text_put(out, "\\bottomrule\n\\end{tabular}\n\\end{table}\n");
}

/* A further field; a number that is not known is an empty one. */
static void csv_real(text *out, double v) {
    text_put(out, ",");
    if (isfinite(v)) text_put(out, text_real(out->arena, v));
}

/* All digits, one value a field; the caption is left out, as readers take every line for data. */
static void render_csv(text *out, const table *t) {
    for (int c = 0; c < t->n_column; c++) {
        const table_column *column = &t->column[c];
        const char *key = column->csv;
        text_put(out, c ? "," : "");
        text_csv(out, column->kind == CELL_SAMPLE ? arena_printf(t->arena, "%s mean", key) : key);
        if (column->kind != CELL_SAMPLE && column->kind != CELL_SHARE) continue;
        static const char *const part[] = {"sd", "low95", "high95", "n", "runs"};
        for (int k = column->kind == CELL_SHARE; k < (column->kind == CELL_SHARE ? 4 : 5); k++) {
            text_put(out, ",");
            text_csv(out, arena_printf(t->arena, "%s %s", key, part[k]));
        }
    }
    text_put(out, "\n");
    for (int i = 0; i < t->n_row; i++) {
        for (int c = 0; c < t->n_column; c++) {
            const table_cell *cell = &t->row[i][c];
            cell_kind kind = t->column[c].kind;
            text_put(out, c ? "," : "");
            if (!is_numeric(kind)) {
                text_csv(out, cell->text);
                continue;
            }
            bool known = cell->kind != CELL_EMPTY && isfinite(cell->value);
            if (known) text_put(out, text_real(t->arena, cell->value));
            if (kind == CELL_NUMBER) continue;
            if (kind == CELL_SAMPLE) csv_real(out, known ? cell->sd : (double)NAN);
            csv_real(out, known ? cell->low : (double)NAN);
            csv_real(out, known ? cell->high : (double)NAN);
            text_add(out, ",%d", cell->n);
            if (kind == CELL_SAMPLE) text_add(out, ",%d", cell->n_run);
        }
        text_put(out, "\n");
    }
}

/* Cells carry their value for sorting and their n and spread as a tooltip. */
static void render_html(text *out, const table *t) {
    text_add(out, "<figure class=\"table\" id=\"tab-%s\"><figcaption><b>", t->id);
    text_html(out, t->title);
    text_put(out, ".</b> ");
    text_html(out, t->caption);
    text_put(out, "</figcaption>\n<div class=\"scroll\"><table class=\"sortable\"><thead><tr>");
    for (int c = 0; c < t->n_column; c++) {
        text_add(out, "<th%s><button type=\"button\">",
                 is_numeric(t->column[c].kind) ? " class=\"num\"" : "");
        text_html(out, t->column[c].title);
        text_put(out, "</button></th>");
    }
    text_put(out, "</tr></thead><tbody>\n");
    for (int i = 0; i < t->n_row; i++) {
        text_put(out, block_starts(t, i) ? "<tr class=\"block\">" : "<tr>");
        for (int c = 0; c < t->n_column; c++) {
            const table_cell *cell = &t->row[i][c];
            text_add(out, "<td%s", is_numeric(t->column[c].kind) ? " class=\"num\"" : "");
            if (is_numeric(cell->kind) && isfinite(cell->value))
                text_add(out, " data-v=\"%.17g\"", cell->value);
            if (cell->kind == CELL_SHARE)
                text_add(out, " title=\"95 %% Wilson interval %.3f to %.3f\"", cell->low,
                         cell->high);
            if (cell->kind == CELL_SAMPLE && cell->n > 1)
                text_add(out, " title=\"sd %.4g, n = %d of %d runs\"", cell->sd, cell->n,
                         cell->n_run);
            text_put(out, cell->bold ? "><b>" : ">");
            text_html(out, cell->text);
            text_put(out, cell->bold ? "</b></td>" : "</td>");
        }
        text_put(out, "</tr>\n");
    }
    text_put(out, "</tbody></table></div></figure>\n");
}

void table_render(text *out, const table *t, table_format format, bool color) {
    switch (format) {
    case TABLE_TERMINAL: render_terminal(out, t, color); break;
    case TABLE_MARKDOWN: render_markdown(out, t); break;
    case TABLE_LATEX: render_latex(out, t); break;
    case TABLE_CSV: render_csv(out, t); break;
    case TABLE_HTML: render_html(out, t); break;
    case N_TABLE_FORMAT: break;
    }
}
