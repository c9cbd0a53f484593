/* settings.c - see settings.h.
 *
 * The text is hashed into every key, so its format is frozen: integers as %ld, reals as %.17g
 * (which reads back to the same bits), choices by name, so that reordering the choices of a field
 * changes nothing. */
#include "tasks/settings.h"

#include <string.h>

static const void *at(const void *config, const field *f) {
    return (const char *)config + f->offset;
}

/* Name number i of "a|b|c", as a length in *n. */
static const char *choice_name(const char *choices, int i, int *n) {
    for (; i > 0; i--) {
        choices = strchr(choices, '|');
        if (!choices) BUG("a choice outside its list");
        choices++;
    }
    *n = (int)strcspn(choices, "|");
    return choices;
}

static const char *set_text(arena *a, const char *choices, unsigned set) {
    const char *text = "";
    for (int i = 0; set >> i; i++) {
        int n;
        if (!(set >> i & 1)) continue;
        const char *name = choice_name(choices, i, &n);
        text = arena_printf(a, "%s%.*s,", text, n, name);
    }
    return text;
}

static const char *value_text(arena *a, const field *f, const void *p) {
    const char *text = "";
    int n;
    switch (f->type) {
    case FIELD_INT: return arena_printf(a, "%ld", *(const long *)p);
    case FIELD_REAL: return arena_printf(a, "%.17g", *(const double *)p);
    case FIELD_BOOL: return *(const bool *)p ? "true" : "false";
    case FIELD_CHOICE:
        text = choice_name(f->choices, *(const int *)p, &n);
        return arena_printf(a, "%.*s", n, text);
    case FIELD_SET: return set_text(a, f->choices, *(const unsigned *)p);
    case FIELD_TEXT: return *(const char *const *)p ? *(const char *const *)p : "";
    case FIELD_INTS:
        for (int i = 0; i < ((const int_list *)p)->n; i++)
            text = arena_printf(a, "%s%ld,", text, ((const int_list *)p)->v[i]);
        return text;
    case FIELD_REALS:
        for (int i = 0; i < ((const real_list *)p)->n; i++)
            text = arena_printf(a, "%s%.17g,", text, ((const real_list *)p)->v[i]);
        return text;
    case FIELD_TEXTS:
        for (int i = 0; i < ((const text_list *)p)->n; i++)
            text = arena_printf(a, "%s%s,", text, ((const text_list *)p)->v[i]);
        return text;
    }
    BUG("field %s has no type", f->name);
}

const char *settings_text(arena *a, const task *t, const void *config) {
    const char *text = arena_printf(a, "%s\n", t->name);
    for (int i = 0; i < t->fields.n; i++) {
        const field *f = &t->fields.field[i];
        if (!f->no_id)
            text = arena_printf(a, "%s%s=%s\n", text, f->name, value_text(a, f, at(config, f)));
    }
    return text;
}

static status check_range(const task *t, const field *f, double value, error *e) {
    if (value >= f->min && value <= f->max) return STATUS_OK; /* false for NaN */
    return error_set(e, STATUS_USAGE,
                     "task.%s of task %s is %.17g; it must be from %.17g to %.17g.", f->name,
                     t->name, value, f->min, f->max);
}

static status check_field(const task *t, const field *f, const void *p, error *e) {
    status code = STATUS_OK;
    if (f->type == FIELD_INT) code = check_range(t, f, (double)*(const long *)p, e);
    if (f->type == FIELD_REAL) code = check_range(t, f, *(const double *)p, e);
    if (f->type == FIELD_INTS)
        for (int i = 0; i < ((const int_list *)p)->n && !code; i++)
            code = check_range(t, f, (double)((const int_list *)p)->v[i], e);
    if (f->type == FIELD_REALS)
        for (int i = 0; i < ((const real_list *)p)->n && !code; i++)
            code = check_range(t, f, ((const real_list *)p)->v[i], e);
    return code;
}

const void *settings_copy(arena *a, const task *t, const void *config, long length, error *e) {
    char *copy = arena_regrow(a, config, t->config_size, t->config_size);
    bool placed = !length;
    for (int i = 0; i < t->fields.n; i++) {
        const field *f = &t->fields.field[i];
        if (length && f->type == FIELD_INT && !strcmp(f->name, "length")) {
            memcpy(copy + f->offset, &length, sizeof length);
            placed = true;
        }
        if (check_field(t, f, copy + f->offset, e)) return NULL;
    }
    if (placed) return copy;
    error_set(e, STATUS_USAGE,
              "task %s has no field length, so it cannot be evaluated at length %ld; remove "
              "eval.lengths.",
              t->name, length);
    return NULL;
}
