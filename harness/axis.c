/* axis.c - see axis.h. */
#include "axis.h"

#include "suggest.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One call of a function, being evaluated onto the end of an axis. */
typedef struct call {
    arena *arena;
    axis *out;
    const char *key, *name;
    const yaml *source;
    const yaml *args; /* a list */
    diag *diag;
} call;

static bool fail(const call *c, const char *what) {
    diag_error(c->diag, c->source->at, "%s: %.200s: %s", c->key, c->source->text, what);
    return false;
}

static void append(arena *a, axis *out, const yaml *y) {
    ARENA_GROW(a, out->value, out->n, out->cap);
    out->value[out->n++] = y;
}

static double rounded(double x, int digits) {
    char text[32];
    snprintf(text, sizeof text, "%.*g", digits, x);
    return strtod(text, NULL);
}

/* All arguments as finite numbers into x[n]. */
static bool numbers(const call *c, double *x, bool *whole) {
    *whole = true;
    for (int i = 0; i < c->args->n; i++) {
        const yaml *y = c->args->item[i];
        if ((y->kind != YAML_INT && y->kind != YAML_REAL) || !isfinite(y->real))
            return fail(c, "its arguments are finite numbers");
        x[i] = y->real;
        *whole &= y->kind == YAML_INT;
    }
    return true;
}

static bool make_range(const call *c) {
    double x[3] = {0};
    bool whole;
    if (!numbers(c, x, &whole)) return false;
    const double start = c->args->n > 1 ? x[0] : 0, stop = c->args->n > 1 ? x[1] : x[0];
    const double step = c->args->n > 2 ? x[2] : 1;
    if (step == 0) return fail(c, "the step is 0");
    const double slack = whole ? 0 : 1e-9; /* 0, 0.1, 0.2 ends before 0.3 */
    const double count = ceil((stop - start) / step - slack);
    if (count < 1) return fail(c, "no value lies in this range");
    if (count > AXIS_MAX_VALUES) return fail(c, "that is more than 100000 values");
    for (int i = 0; i < (int)count; i++) {
        const double v = start + i * step;
        append(c->arena, c->out, yaml_number(c->arena, whole ? v : rounded(v, 12), c->source->at));
    }
    return true;
}

static bool make_space(const call *c) {
    double x[3] = {0};
    bool whole;
    const bool geometric = c->name[1] == 'o';
    if (!numbers(c, x, &whole)) return false;
    if (x[2] < 1 || x[2] > AXIS_MAX_VALUES || x[2] != floor(x[2]))
        return fail(c, "the third argument is how many values, an integer from 1 to 100000");
    if (geometric && (x[0] <= 0 || x[1] <= 0)) return fail(c, "both ends must be greater than 0");
    const int n = (int)x[2];
    for (int i = 0; i < n; i++) {
        const double share = n > 1 ? (double)i / (n - 1) : 0;
        const double between =
            geometric ? x[0] * pow(x[1] / x[0], share) : x[0] + (x[1] - x[0]) * share;
        const double v = !i ? x[0] : i == n - 1 ? x[1] : rounded(between, 12);
        append(c->arena, c->out, yaml_number(c->arena, v, c->source->at));
    }
    return true;
}

static bool make_choice(const call *c) {
    for (int i = 0; i < c->args->n; i++) append(c->arena, c->out, c->args->item[i]);
    return true;
}

static bool make_draws(const call *c) {
    double x[2] = {0};
    bool whole;
    if (!numbers(c, x, &whole)) return false;
    if (c->out->n) return fail(c, "a distribution stands alone, not among other values");
    c->out->kind = c->name[0] == 'u'   ? AXIS_UNIFORM
                   : c->name[0] == 'l' ? AXIS_LOG_UNIFORM
                                       : AXIS_INTEGER;
    c->out->low = x[0];
    c->out->high = x[1];
    if (x[0] > x[1]) return fail(c, "the lower end comes first");
    if (c->out->kind == AXIS_LOG_UNIFORM && x[0] <= 0)
        return fail(c, "both ends must be greater than 0");
    if (c->out->kind == AXIS_INTEGER && (!whole || x[1] - x[0] >= 4294967295.0))
        return fail(c, "both ends are integers less than 2^32 apart");
    return true;
}

static const struct function {
    const char *name;
    int least, most; /* arguments */
    bool draws;
    bool (*make)(const call *c);
} functions[] = {
    {"range", 1, 3, false, make_range},      {"logspace", 3, 3, false, make_space},
    {"linspace", 3, 3, false, make_space},   {"choice", 1, 1 << 20, false, make_choice},
    {"uniform", 2, 2, true, make_draws},     {"log_uniform", 2, 2, true, make_draws},
    {"int_uniform", 2, 2, true, make_draws},
};
enum { N_FUNCTIONS = sizeof functions / sizeof *functions };

/* Plain text of the form NAME(...). */
static bool is_call(const yaml *y) {
    if (y->kind != YAML_TEXT || y->quoted) return false;
    const char *p = y->text;
    while (isalnum((unsigned char)*p) || *p == '_') p++;
    return p > y->text && *p == '(' && y->text[strlen(y->text) - 1] == ')';
}

static bool evaluate(arena *a, axis *out, const char *key, const yaml *y, bool draws, diag *d) {
    const int name_n = (int)strcspn(y->text, "(");
    const char *name = arena_printf(a, "%.*s", name_n, y->text);
    const char *inner =
        arena_printf(a, "%.*s", (int)strlen(y->text) - name_n - 2, y->text + name_n + 1);
    const char *known[N_FUNCTIONS];
    for (int i = 0; i < N_FUNCTIONS; i++) {
        const struct function *f = &functions[i];
        known[i] = f->name;
        if (strcmp(f->name, name)) continue;
        const call c = {a, out, key, name, y, yaml_read_items(a, inner, y->at, d), d};
        if (!c.args) return false;
        if (f->draws && !draws) return fail(&c, "distributions need \"method: random\"");
        if (c.args->n < f->least) return fail(&c, "it needs more arguments");
        if (c.args->n > f->most) return fail(&c, "it has too many arguments");
        return f->make(&c);
    }
    diag_error(
        d, y->at,
        "%s: unknown function %.50s(); there are range, linspace, logspace, choice, uniform, "
        "log_uniform and int_uniform, and text with parentheses is quoted%s",
        key, name, suggest_tail(a, name, known, N_FUNCTIONS));
    return false;
}

static bool add(arena *a, axis *out, const char *key, const yaml *y, bool draws, diag *d) {
    if (is_call(y)) return evaluate(a, out, key, y, draws, d);
    if (y->kind == YAML_MAP) {
        diag_error(d, y->at, "%s: a map is not a value; use zip to vary settings together", key);
        return false;
    }
    if (out->kind != AXIS_VALUES) {
        diag_error(d, y->at, "%s: a distribution stands alone, not among other values", key);
        return false;
    }
    append(a, out, y);
    return true;
}

bool axis_read(arena *a, axis *out, const char *key, const yaml *y, bool spread, bool draws,
               diag *d) {
    *out = (axis){.at = y->at};
    if (y->kind != YAML_LIST || !spread) return add(a, out, key, y, draws, d);
    bool good = true;
    for (int i = 0; i < y->n; i++) good &= add(a, out, key, y->item[i], draws, d);
    if (y->n) return good;
    diag_error(d, y->at, "%s has an empty list of values, so there are no cells", key);
    return false;
}

rng axis_rng(uint64_t seed, const char *key, uint64_t index) {
    return rng_start(rng_key_make(seed, "sample", key, strlen(key)), index, 0);
}

const yaml *axis_draw(arena *a, const axis *x, rng *g) {
    const double width = x->high - x->low;
    double v = 0;
    switch (x->kind) {
    case AXIS_VALUES: return x->value[rng_below(g, (uint32_t)x->n)];
    case AXIS_INTEGER: v = x->low + rng_below(g, (uint32_t)width + 1); break;
    case AXIS_UNIFORM: v = rounded(x->low + width * rng_uniform(g), 6); break;
    case AXIS_LOG_UNIFORM: v = rounded(x->low * pow(x->high / x->low, rng_uniform(g)), 6); break;
    }
    return yaml_number(a, fmin(fmax(v, x->low), x->high), x->at);
}
