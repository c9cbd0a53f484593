/* query_print.c - rows as table, CSV, JSON or Markdown; see query.h.
 *
 * CSV and JSON stream and give every number so that it reads back to the same bits; the two table
 * formats are for eyes: 7 digits, and all rows are held to find the widths. */
#include "query.h"

#include "kernels/core/arena.h"

#include <math.h>

const char *const query_format_name[N_QUERY_FORMAT] = {"table", "csv", "json", "markdown"};

static bool is_number(int type) { return type == SQLITE_INTEGER || type == SQLITE_FLOAT; }

/* ---- csv and json ----------------------------------------------------------------------------*/

static void put_csv_text(const char *text, FILE *out) {
    if (*text && !strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void put_csv_cell(sqlite3_stmt *row, int column, FILE *out) {
    int type = sqlite3_column_type(row, column);
    char number[32];
    if (type == SQLITE_FLOAT) {
        number_shortest(number, sqlite3_column_double(row, column));
        fputs(number, out);
    } else if (type != SQLITE_NULL)
        put_csv_text(sql_text(row, column), out);
}

static void print_csv(sql *s, sqlite3_stmt *row, FILE *out, error *e) {
    int n = sqlite3_column_count(row);
    for (int i = 0; i < n; i++) {
        put_csv_text(sqlite3_column_name(row, i), out);
        fputs(i + 1 < n ? "," : "\r\n", out);
    }
    while (sql_row(s, row, e))
        for (int i = 0; i < n; i++) {
            put_csv_cell(row, i, out);
            fputs(i + 1 < n ? "," : "\r\n", out);
        }
}

static void put_json_cell(jsontext *t, sqlite3_stmt *row, int column) {
    int type = sqlite3_column_type(row, column);
    char number[32];
    if (type == SQLITE_FLOAT && isfinite(sqlite3_column_double(row, column))) {
        number_shortest(number, sqlite3_column_double(row, column));
        jsontext_put(t, number);
    } else if (type == SQLITE_INTEGER)
        jsontext_put(t, sql_text(row, column));
    else
        jsontext_string(t, is_number(type) || type == SQLITE_NULL ? NULL : sql_text(row, column));
}

void query_put_members(jsontext *t, sqlite3_stmt *row, int first) {
    for (int i = first; i < sqlite3_column_count(row); i++) {
        jsontext_key(t, sqlite3_column_name(row, i));
        put_json_cell(t, row, i);
    }
}

void query_print_object(sqlite3_stmt *row, FILE *out) {
    arena *a = arena_new();
    jsontext t = {.arena = a};
    jsontext_put(&t, "{");
    query_put_members(&t, row, 0);
    jsontext_put(&t, "}");
    fputs(t.data, out);
    arena_free(a);
}

static void print_json(sql *s, sqlite3_stmt *row, FILE *out, error *e) {
    bool first = true;
    fputc('[', out);
    while (sql_row(s, row, e)) {
        fputs(first ? "\n" : ",\n", out);
        query_print_object(row, out);
        first = false;
    }
    fputs(first ? "]\n" : "\n]\n", out);
}

/* ---- table and markdown ----------------------------------------------------------------------*/

typedef struct grid {
    arena *arena;
    int columns, n, cap; /* n cells, the names of the columns first */
    char **cell;         /* [rows, columns] */
    int *width;          /* [columns] */
    bool *right;         /* [columns] only numbers in it */
} grid;

/* Characters, not bytes, so that columns stay aligned under UTF-8. */
static int width_of(const char *text) {
    int n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static char *shown(arena *a, sqlite3_stmt *row, int column) {
    if (sqlite3_column_type(row, column) == SQLITE_FLOAT) {
        double value = sqlite3_column_double(row, column);
        char number[32];
        number_shortest(number, value);
        return fabs(value) < 1e7 ? arena_printf(a, "%.7g", value) : arena_text(a, number);
    }
    return arena_text(a, sql_text(row, column));
}

/* Blanks for control characters: line breaks would end the row, escapes reach the terminal. */
static char *one_line(arena *a, const char *text, bool markdown) {
    jsontext t = {.arena = a};
    jsontext_put(&t, "");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '|' && markdown) jsontext_put(&t, "\\");
        jsontext_printf(&t, "%c", c < ' ' || c == 0x7f ? ' ' : c);
    }
    return t.data;
}

static void add_cell(grid *g, int column, const char *text, bool markdown) {
    ARENA_GROW(g->arena, g->cell, g->n, g->cap);
    g->cell[g->n++] = one_line(g->arena, text, markdown);
    int width = width_of(g->cell[g->n - 1]);
    if (width > g->width[column]) g->width[column] = width;
}

static void put_rule(jsontext *line, const grid *g, bool markdown) {
    for (int i = 0; i < g->columns; i++) {
        jsontext_put(line, i ? (markdown ? " | " : "  ") : (markdown ? "| " : ""));
        for (int k = 1; k < g->width[i]; k++) jsontext_put(line, "-");
        jsontext_put(line, markdown && g->right[i] ? ":" : "-");
    }
    jsontext_put(line, markdown ? " |\n" : "\n");
}

static void put_row(jsontext *line, const grid *g, char *const *cell, bool markdown) {
    for (int i = 0; i < g->columns; i++) {
        int pad = g->width[i] - width_of(cell[i]);
        jsontext_put(line, i ? (markdown ? " | " : "  ") : (markdown ? "| " : ""));
        if (g->right[i])
            jsontext_printf(line, "%*s%s", pad, "", cell[i]);
        else
            jsontext_printf(line, "%s%*s", cell[i], pad, "");
    }
    while (!markdown && line->n && line->data[line->n - 1] == ' ') line->n--;
    jsontext_put(line, markdown ? " |\n" : "\n");
}

static void put_grid(const grid *g, bool markdown, FILE *out) {
    jsontext line = {.arena = g->arena};
    for (int at = 0; at < g->n; at += g->columns) {
        put_row(&line, g, g->cell + at, markdown);
        if (at == 0) put_rule(&line, g, markdown);
        fputs(line.data, out);
        line.n = 0;
    }
}

static void print_grid(sql *s, sqlite3_stmt *row, bool markdown, FILE *out, error *e) {
    arena *a = arena_new();
    grid g = {.arena = a, .columns = sqlite3_column_count(row)};
    g.width = ARENA_NEW(a, int, g.columns);
    g.right = ARENA_NEW(a, bool, g.columns);
    for (int i = 0; i < g.columns; i++) {
        g.width[i] = markdown ? 3 : 1;
        g.right[i] = true;
        add_cell(&g, i, sqlite3_column_name(row, i), markdown);
    }
    while (sql_row(s, row, e))
        for (int i = 0; i < g.columns; i++) {
            int type = sqlite3_column_type(row, i);
            if (!is_number(type) && type != SQLITE_NULL) g.right[i] = false;
            add_cell(&g, i, shown(a, row, i), markdown);
        }
    if (!e->code) put_grid(&g, markdown, out);
    arena_free(a);
}

status query_print(sql *s, sqlite3_stmt *statement, query_format format, FILE *out, error *e) {
    if (format == QUERY_CSV)
        print_csv(s, statement, out, e);
    else if (format == QUERY_JSON)
        print_json(s, statement, out, e);
    else
        print_grid(s, statement, format == QUERY_MARKDOWN, out, e);
    if (fflush(out) != 0 || ferror(out))
        error_set(e, STATUS_ENVIRONMENT,
                  "the rows could not be written: the output is closed or "
                  "its disk is full.");
    return e->code;
}
