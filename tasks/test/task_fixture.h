/* task_fixture.h - opens task sets in tests from a text like "length=32 n=2", by the field table.
 */
#pragma once
#include "tasks/task.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct fixture {
    arena *a;
    task_set *s; /* NULL: opening failed with e */
    task_example x;
    error e;
} fixture;

static inline void field_place(arena *a, char *config, const field *f, const char *text) {
    char *p = config + f->offset, *end;
    int_list list = {0, ARENA_NEW(a, long, 64)};
    switch (f->type) {
    case FIELD_INT: *(long *)p = strtol(text, NULL, 10); break;
    case FIELD_REAL: *(double *)p = strtod(text, NULL); break;
    case FIELD_BOOL: *(bool *)p = !strncmp(text, "true", 4); break;
    case FIELD_CHOICE: {
        int choice = 0; /* number of bars before the name */
        const char *at = strstr(f->choices, arena_printf(a, "%.*s", (int)strcspn(text, " "), text));
        assert_non_null(at);
        for (const char *c = f->choices; c < at; c++) choice += *c == '|';
        *(int *)p = choice;
        break;
    }
    case FIELD_INTS: /* [1,2,3] */
        for (text++; *text != ']'; text = *end == ',' ? end + 1 : end)
            list.v[list.n++] = strtol(text, &end, 10);
        *(int_list *)p = list;
        break;
    case FIELD_TEXT:
        *(const char **)p = arena_printf(a, "%.*s", (int)strcspn(text, " "), text);
        break;
    default: fail_msg("no test needs the type of field %s", f->name);
    }
}

static inline const void *config_make(arena *a, const task *t, const char *settings) {
    char *config = arena_alloc(a, t->config_size);
    for (int i = 0; i < t->fields.n; i++)
        if (t->fields.field[i].value)
            field_place(a, config, &t->fields.field[i], t->fields.field[i].value);
    while (*settings) {
        const field *f = NULL;
        size_t n = strcspn(settings, "=");
        for (int i = 0; i < t->fields.n; i++)
            if (strlen(t->fields.field[i].name) == n &&
                !strncmp(t->fields.field[i].name, settings, n))
                f = &t->fields.field[i];
        if (!f) fail_msg("no field in %s", settings);
        field_place(a, config, f, settings + n + 1);
        settings += strcspn(settings, " ");
        settings += strspn(settings, " ");
    }
    return config;
}

static inline fixture set_try(const char *name, const char *settings, task_options options) {
    fixture f = {.a = arena_new()};
    const task *t = task_find(name);
    assert_non_null(t);
    f.s = task_open(f.a, t, config_make(f.a, t, settings), &options, &f.e);
    if (!f.s) return f;
    f.x = (task_example){ARENA_NEW(f.a, int, f.s->time), ARENA_NEW(f.a, int, f.s->time),
                         ARENA_NEW(f.a, int, (long)f.s->time *f.s->n_slices)};
    return f;
}

static inline fixture set_open(const char *name, const char *settings, task_options options) {
    fixture f = set_try(name, settings, options);
    if (!f.s) fail_msg("%s %s: %s", name, settings, f.e.text);
    return f;
}

static inline int slice_at(const fixture *f, int which, int t) {
    return f->x.slice[(long)which * f->s->time + t];
}

/* Opening must fail, with every one of the words in the sentence. */
static inline void expect_error(const char *name, const char *settings, task_options options,
                                const char *const *words, int n) {
    fixture f = set_try(name, settings, options);
    if (f.s) fail_msg("%s %s opened, but must not", name, settings);
    assert_int_equal(f.e.code, STATUS_USAGE);
    for (int i = 0; i < n; i++)
        if (!strstr(f.e.text, words[i])) fail_msg("no '%s' in: %s", words[i], f.e.text);
    arena_free(f.a);
}
#define EXPECT_ERROR(name, settings, options, ...)                                                 \
    expect_error(name, settings, options, (const char *const[]){__VA_ARGS__},                      \
                 (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

/* What every example must satisfy: ids and labels in range, slices only at scored positions. */
static inline void check_ranges(const fixture *f) {
    int scored = 0;
    for (int t = 0; t < f->s->time; t++) {
        assert_in_range(f->x.ids[t], 0, f->s->vocab - 1);
        assert_true(f->x.labels[t] >= -1 && f->x.labels[t] < f->s->vocab);
        scored += f->x.labels[t] >= 0;
        for (int k = 0; k < f->s->n_slices; k++)
            if (slice_at(f, k, t) >= 0) assert_true(f->x.labels[t] >= 0);
    }
    assert_true(scored > 0);
}

/* Pearson's statistic of counts [n] against a share [n] each (NULL: equal shares), in standard
 * deviations above its mean: beyond 5 the counts do not follow the shares. */
static inline double chi_square_excess(const long *count, const double *share, int n) {
    double total = 0, statistic = 0;
    for (int i = 0; i < n; i++) total += (double)count[i];
    for (int i = 0; i < n; i++) {
        double expected = total * (share ? share[i] : 1.0 / n);
        assert_true(expected >= 5); /* else the statistic means nothing */
        statistic += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
    }
    return (statistic - (n - 1)) / sqrt(2.0 * (n - 1));
}
