/* diag.c - see diag.h. */
#include "diag.h"

#include "map.h"

#include <stdlib.h>
#include <string.h>

typedef struct message {
    place at;
    const char *line; /* as printed */
    bool is_error;
    int serial; /* order of arrival */
} message;

struct diag {
    arena *arena;
    map *seen;
    message *message;
    int n, cap, errors, n_sorted;
};

diag *diag_new(arena *a) {
    diag *d = ARENA_NEW(a, diag, 1);
    d->arena = a;
    d->seen = map_new(a);
    return d;
}

const char *place_text(arena *a, place at) {
    if (!at.file) return "";
    return at.line ? arena_printf(a, "%s:%d:%d", at.file, at.line, at.column)
                   : arena_text(a, at.file);
}

static void add(diag *d, place at, bool is_error, const char *format, va_list args) {
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    const char *where = place_text(d->arena, at);
    const char *line = arena_printf(d->arena, "%s%s%s: %s", where, *where ? ": " : "",
                                    is_error ? "error" : "warning", text);
    void **known = map_text(d->seen, line);
    if (*known) return;
    *known = d;
    ARENA_GROW(d->arena, d->message, d->n, d->cap);
    d->message[d->n] = (message){at, line, is_error, d->n};
    d->n++;
    d->errors += is_error;
}

void diag_error(diag *d, place at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add(d, at, true, format, args);
    va_end(args);
}

void diag_warning(diag *d, place at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add(d, at, false, format, args);
    va_end(args);
}

int diag_errors(const diag *d) { return d->errors; }
int diag_warnings(const diag *d) { return d->n - d->errors; }
status diag_status(const diag *d) { return d->errors ? STATUS_USAGE : STATUS_OK; }

static int compare(const void *left, const void *right) {
    const message *a = left, *b = right;
    const int by_file = strcmp(a->at.file ? a->at.file : "", b->at.file ? b->at.file : "");
    if (by_file) return by_file;
    if (a->at.line != b->at.line) return a->at.line < b->at.line ? -1 : 1;
    if (a->at.column != b->at.column) return a->at.column < b->at.column ? -1 : 1;
    return a->serial - b->serial;
}

static void sort(diag *d) {
    if (d->n_sorted != d->n) qsort(d->message, (size_t)d->n, sizeof *d->message, compare);
    d->n_sorted = d->n;
}

const char *diag_line(diag *d, int i) {
    sort(d);
    return i < d->n ? d->message[i].line : NULL;
}

void diag_print(diag *d, FILE *out) {
    sort(d);
    for (int i = 0; i < d->n && i < DIAG_SHOWN; i++) fprintf(out, "%s\n", d->message[i].line);
    if (d->n > DIAG_SHOWN) fprintf(out, "and %d more\n", d->n - DIAG_SHOWN);
}

status diag_first(diag *d, error *e) {
    sort(d);
    for (int i = 0; i < d->n; i++)
        if (d->message[i].is_error) return error_set(e, STATUS_USAGE, "%s", d->message[i].line);
    return STATUS_OK;
}
