/* only.c - see only.h. */
#include "only.h"

#include "suggest.h"

#include <stdlib.h>
#include <string.h>

typedef enum relation { LABEL, EQUAL, UNEQUAL, LESS, AT_MOST, MORE, AT_LEAST } relation;

static const struct {
    const char *sign;
    relation relation;
} signs[] = {{"!=", UNEQUAL}, {"<=", AT_MOST}, {">=", AT_LEAST},
             {"=", EQUAL},    {"<", LESS},     {">", MORE}};
enum { N_SIGN = sizeof signs / sizeof *signs };

typedef struct condition {
    relation relation;
    const char *key;    /* full; LABEL: unused */
    const char **value; /* [n] */
    int n;
} condition;

struct only {
    condition *condition;
    int n, cap;
};

static bool read_number(double *out, const char *text) {
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end;
}

static bool ends_with(const char *key, const char *word) {
    const size_t all = strlen(key), part = strlen(word);
    return all > part && key[all - part - 1] == '.' && !strcmp(key + all - part, word);
}

/* The full key a word means: of all keys that cells of this grid have. */
static const char *find_key(arena *a, const grid *g, const char *word, error *e) {
    const char **near = NULL, *found = NULL;
    int n = 0, cap = 0;
    for (int i = 0; i < g->n; i++) {
        const config *c = g->cell[i].config;
        for (int k = 0; k < c->n; k++) {
            const char *key = c->entry[k]->key;
            if (!strcmp(key, word)) return key;
            if (ends_with(key, word)) {
                if (found && strcmp(found, key)) {
                    error_set(e, STATUS_USAGE, "--only: %s may be %s or %s; write one of them.",
                              word, found, key);
                    return NULL;
                }
                found = key;
            }
            if (i) continue; /* for the suggestion, the keys of one cell will do */
            ARENA_GROW(a, near, n, cap);
            near[n++] = key;
        }
    }
    if (!found) {
        const char *tail = suggest_tail(a, word, near, n);
        error_set(e, STATUS_USAGE, "--only: no cell of %s has a setting %s%s.", g->file, word,
                  *tail ? tail : "; mixgrid run FILE --dry-run lists the cells");
    }
    return found;
}

/* Splits in place at any of these characters outside brackets; the next part that is not empty,
 * NULL after the last. */
static char *next_part(char **rest, const char *separators) {
    char *part = *rest, *p;
    while (*part && strchr(separators, *part)) part++;
    p = part;
    for (int depth = 0; *p && (depth || !strchr(separators, *p)); p++)
        depth += (*p == '[') - (*p == ']' && depth);
    *rest = *p ? p + 1 : p;
    *p = '\0';
    return *part ? part : NULL;
}

static status read_condition(condition *out, arena *a, const grid *g, char *text, error *e) {
    char *at = text + strcspn(text, "=!<>");
    int k = 0;
    while (k < N_SIGN && strncmp(at, signs[k].sign, strlen(signs[k].sign))) k++;
    if (*at && (k == N_SIGN || at == text))
        return error_set(e, STATUS_USAGE,
                         "--only: `%s` is no condition; write key=value, key!=value, key<number "
                         "and so on, without spaces inside.",
                         text);
    *out = (condition){.relation = LABEL};
    char *rest = text;
    if (*at) {
        out->relation = signs[k].relation;
        rest = at + strlen(signs[k].sign);
        *at = '\0';
        if (!(out->key = find_key(a, g, text, e))) return e->code;
    }
    int cap = 0;
    for (char *part; (part = next_part(&rest, out->key ? "|" : ""));) {
        ARENA_GROW(a, out->value, out->n, cap);
        out->value[out->n++] = part;
    }
    double number;
    if (!out->n)
        return error_set(e, STATUS_USAGE, "--only: %s%s lacks a value; write one right behind it.",
                         out->key, signs[k].sign);
    if (out->relation >= LESS && (out->n != 1 || !read_number(&number, out->value[0])))
        return error_set(e, STATUS_USAGE, "--only: %s%s takes one number, not %s%s.", out->key,
                         signs[k].sign, out->value[0], out->n > 1 ? "|..." : "");
    return STATUS_OK;
}

static bool is_same(const char *a, const char *b) {
    double x, y;
    return !strcmp(a, b) || (read_number(&x, a) && read_number(&y, b) && x == y);
}

static bool condition_holds(const condition *c, const grid_cell *cell) {
    if (c->relation == LABEL) return strstr(cell->label, c->value[0]) != NULL;
    const char *has = config_get(cell->config, c->key);
    if (c->relation <= UNEQUAL) {
        bool any = false;
        for (int i = 0; i < c->n && has; i++) any |= is_same(has, c->value[i]);
        return any == (c->relation == EQUAL);
    }
    double x, bound;
    if (!has || !read_number(&x, has)) return false;
    read_number(&bound, c->value[0]);
    switch (c->relation) {
    case LESS: return x < bound;
    case AT_MOST: return x <= bound;
    case MORE: return x > bound;
    default: return x >= bound;
    }
}

bool only_holds(const only *o, const grid_cell *cell) {
    for (int i = 0; i < o->n; i++)
        if (!condition_holds(&o->condition[i], cell)) return false;
    return true;
}

const only *only_read(arena *a, const grid *g, const char *text, error *e) {
    only *o = ARENA_NEW(a, only, 1);
    char *rest = arena_text(a, text ? text : "");
    for (char *part; (part = next_part(&rest, ", "));) {
        ARENA_GROW(a, o->condition, o->n, o->cap);
        if (read_condition(&o->condition[o->n++], a, g, part, e)) return NULL;
    }
    for (int i = 0; i < g->n; i++)
        if (only_holds(o, &g->cell[i])) return o;
    error_set(e, STATUS_USAGE, "--only %s fits no cell; labels look like \"%s\".", text,
              g->cell[0].label);
    return NULL;
}
