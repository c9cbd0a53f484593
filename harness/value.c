/* value.c - see value.h. */
#include "value.h"

#include "kernels/core/error.h"
#include "suggest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void buffer_add_bytes(text_buffer *b, const char *text, long n) {
    if (b->n + n + 1 > b->cap) {
        const long cap = b->cap * 2 > b->n + n + 1 ? b->cap * 2 : b->n + n + 64;
        b->text = arena_regrow(b->arena, b->text, (size_t)b->n, (size_t)cap);
        b->cap = cap;
    }
    memcpy(b->text + b->n, text, (size_t)n);
    b->n += n;
    b->text[b->n] = '\0';
}

void buffer_add(text_buffer *b, const char *text) { buffer_add_bytes(b, text, (long)strlen(text)); }

/* What stands at p and is to be written as \uXXXX; 0: nothing of that kind. Control characters, of
 * which some and the separators U+2028 and U+2029 end lines in YAML, where JSON knows no lines. */
static unsigned escaped_code(const char *p, int *bytes) {
    const unsigned char *c = (const unsigned char *)p;
    *bytes = 1;
    if (c[0] < 0x20 || c[0] == 0x7f) return c[0];
    *bytes = 2;
    if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) return c[1];
    *bytes = 3;
    if (c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9))
        return 0x2000u | (c[2] - 0x80u);
    if (c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf) return 0xfeff;
    if (c[0] == 0xef && c[1] == 0xbf && (c[2] == 0xbe || c[2] == 0xbf))
        return 0xff00u | (c[2] + 0x40u);
    return 0;
}

void buffer_add_json(text_buffer *b, const char *text) {
    if (!text) {
        buffer_add(b, "null");
        return;
    }
    buffer_add(b, "\"");
    int bytes = 1;
    for (const char *p = text; *p; p += bytes) {
        char code[8];
        const unsigned number = escaped_code(p, &bytes);
        if (!number) bytes = 1;
        if (*p == '"' || *p == '\\') {
            const char escaped[3] = {'\\', *p, '\0'};
            buffer_add(b, escaped);
        } else if (number) {
            snprintf(code, sizeof code, "\\u%04x", number);
            buffer_add(b, code);
        } else {
            buffer_add_bytes(b, p, 1);
        }
    }
    buffer_add(b, "\"");
}

void real_text(char out[32], double x) {
    if (isnan(x)) {
        snprintf(out, 32, "nan");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, x == 0 ? 0.0 : x); /* -0 is 0 */
        if (strtod(out, NULL) == x) return;
    }
}

/* JSON has no infinity: quoted, it is the text "inf". */
static void add_real(text_buffer *b, double x, bool quote) {
    char text[32];
    real_text(text, x);
    if (isfinite(x) || !quote)
        buffer_add(b, text);
    else
        buffer_add_json(b, text);
}

static void add_integer(text_buffer *b, long x) {
    char text[32];
    snprintf(text, sizeof text, "%ld", x);
    buffer_add(b, text);
}

void buffer_add_yaml(text_buffer *b, const yaml *y) {
    switch (y->kind) {
    case YAML_NULL: buffer_add(b, "null"); break;
    case YAML_BOOL: buffer_add(b, y->boolean ? "true" : "false"); break;
    case YAML_INT: add_integer(b, y->integer); break;
    case YAML_REAL: add_real(b, y->real, true); break;
    case YAML_TEXT: buffer_add_json(b, y->text); break;
    case YAML_LIST:
    case YAML_MAP:
        buffer_add(b, y->kind == YAML_LIST ? "[" : "{");
        for (int i = 0; i < y->n; i++) {
            if (i) buffer_add(b, ",");
            if (y->kind == YAML_MAP) {
                buffer_add_json(b, y->key[i]);
                buffer_add(b, ":");
            }
            buffer_add_yaml(b, y->item[i]);
        }
        buffer_add(b, y->kind == YAML_LIST ? "]" : "}");
        break;
    }
}

bool field_is_list(const field *f) {
    return f->type == FIELD_SET || f->type == FIELD_INTS || f->type == FIELD_REALS ||
           f->type == FIELD_TEXTS;
}

/* Length of the first of "a|b|c"; `*rest` is what follows the bar, or NULL. */
static long choice_length(const char *choices, const char **rest) {
    const char *bar = strchr(choices, '|');
    *rest = bar ? bar + 1 : NULL;
    return bar ? bar - choices : (long)strlen(choices);
}

/* The choices as an array of `*n` texts. */
static const char **choice_list(arena *a, const char *choices, int *n) {
    const char **list = NULL;
    int cap = 0;
    *n = 0;
    for (const char *rest; choices; choices = rest) {
        const long length = choice_length(choices, &rest);
        ARENA_GROW(a, list, *n, cap);
        list[(*n)++] = arena_printf(a, "%.*s", (int)length, choices);
    }
    return list;
}

static int choice_index(const char *choices, const char *text) {
    const long wanted = (long)strlen(text);
    int i = 0;
    for (const char *rest; choices; choices = rest, i++)
        if (choice_length(choices, &rest) == wanted && !memcmp(choices, text, (size_t)wanted))
            return i;
    return -1;
}

static bool has_range(const field *f) { return f->min != 0 || f->max != 0; }

static const char *range_text(arena *a, const field *f) {
    char low[32], high[32];
    if (!has_range(f)) return "";
    real_text(low, f->min);
    real_text(high, f->max);
    if (isinf(f->max)) return isinf(f->min) ? "" : arena_printf(a, " of at least %s", low);
    if (isinf(f->min)) return arena_printf(a, " of at most %s", high);
    return arena_printf(a, " from %s to %s", low, high);
}

static const char *choices_text(arena *a, const char *choices) {
    text_buffer b = {.arena = a};
    for (const char *rest; choices; choices = rest) {
        buffer_add_bytes(&b, choices, choice_length(choices, &rest));
        if (rest) buffer_add(&b, ", ");
    }
    return b.text;
}

const char *field_expects(arena *a, const field *f) {
    switch (f->type) {
    case FIELD_INT: return arena_printf(a, "an integer%s", range_text(a, f));
    case FIELD_REAL: return arena_printf(a, "a number%s", range_text(a, f));
    case FIELD_BOOL: return "true or false";
    case FIELD_CHOICE: return arena_printf(a, "one of %s", choices_text(a, f->choices));
    case FIELD_SET: return arena_printf(a, "a list out of %s", choices_text(a, f->choices));
    case FIELD_TEXT: return "text";
    case FIELD_INTS: return arena_printf(a, "a list of integers%s", range_text(a, f));
    case FIELD_REALS: return arena_printf(a, "a list of numbers%s", range_text(a, f));
    case FIELD_TEXTS: return "a list of texts";
    }
    BUG("field %s has type %d", f->name, (int)f->type);
}

/* What value_read works on. */
typedef struct typing {
    arena *arena;
    const char *key;
    const field *field;
    diag *diag;
} typing;

static bool refuse(const typing *t, const yaml *y, const char *tail) {
    const bool bare = y->kind == YAML_LIST || y->kind == YAML_MAP;
    const char *got = bare        ? yaml_kind_name[y->kind]
                      : !*y->text ? (y->quoted ? "''" : "empty")
                      : y->quoted ? arena_printf(t->arena, "'%s'", y->text)
                                  : y->text;
    diag_error(t->diag, y->at, "%s must be %s, not %.200s%s%s%s", t->key,
               field_expects(t->arena, t->field), got, tail, y->doubt ? "; " : "",
               y->doubt ? y->doubt : "");
    return false;
}

static bool in_range(const field *f, double x) {
    return !has_range(f) || (x >= f->min && x <= f->max);
}

static bool read_integer(const typing *t, const yaml *y, long *out) {
    const double exact = 9007199254740992.0; /* 2^53: every integer up to it is a double */
    if (y->kind == YAML_INT)
        *out = y->integer;
    else if (y->kind == YAML_REAL && fabs(y->real) <= exact && y->real == floor(y->real))
        *out = (long)y->real;
    else
        return refuse(t, y, "");
    return in_range(t->field, (double)*out) || refuse(t, y, "");
}

static bool read_real(const typing *t, const yaml *y, double *out) {
    const bool written_out = y->text && strpbrk(y->text, "0123456789");
    if (y->kind == YAML_INT || y->kind == YAML_REAL)
        *out = y->real;
    else if (y->quoted && !strcmp(y->text, "inf"))
        *out = (double)INFINITY;
    else if (y->quoted && !strcmp(y->text, "-inf"))
        *out = -(double)INFINITY;
    else
        return refuse(t, y, "");
    if (isinf(*out) && written_out) return refuse(t, y, ", which is too large for a double");
    return (!isnan(*out) && in_range(t->field, *out)) || refuse(t, y, "");
}

static bool read_string(const typing *t, const yaml *y, const char **out) {
    *out = y->text;
    if (y->kind == YAML_LIST || y->kind == YAML_MAP || y->kind == YAML_NULL)
        return refuse(t, y, "");
    if (y->doubt) diag_warning(t->diag, y->at, "%s: %s", t->key, y->doubt);
    return true;
}

static bool read_choice(const typing *t, const yaml *y, int *out) {
    if (!y->text) return refuse(t, y, "");
    *out = choice_index(t->field->choices, y->text);
    if (*out >= 0) return true;
    int n;
    const char *const *list = choice_list(t->arena, t->field->choices, &n);
    return refuse(t, y, suggest_tail(t->arena, y->text, list, n));
}

static bool read_set(const typing *t, const yaml *const *item, int n, value *v) {
    for (int i = 0; i < n; i++) {
        int index;
        if (!read_choice(t, item[i], &index)) return false;
        if (v->set >> index & 1) {
            diag_error(t->diag, item[i]->at, "%s names %s twice", t->key, item[i]->text);
            return false;
        }
        v->set |= 1u << index;
    }
    return true;
}

static bool read_list(const typing *t, const yaml *y, value *v) {
    const bool is_list = y->kind == YAML_LIST;
    if (y->kind == YAML_MAP || y->kind == YAML_NULL) return refuse(t, y, "");
    const yaml *const *item = is_list ? y->item : &y;
    const int n = is_list ? y->n : 1;
    bool good = true;
    switch (t->field->type) {
    case FIELD_SET: return read_set(t, item, n, v);
    case FIELD_INTS:
        v->ints = (int_list){n, ARENA_NEW(t->arena, long, n)};
        for (int i = 0; good && i < n; i++) good = read_integer(t, item[i], &v->ints.v[i]);
        return good;
    case FIELD_REALS:
        v->reals = (real_list){n, ARENA_NEW(t->arena, double, n)};
        for (int i = 0; good && i < n; i++) good = read_real(t, item[i], &v->reals.v[i]);
        return good;
    default:
        v->texts = (text_list){n, ARENA_NEW(t->arena, const char *, n)};
        for (int i = 0; good && i < n; i++) good = read_string(t, item[i], &v->texts.v[i]);
        return good;
    }
}

static bool read_any(const typing *t, const yaml *y, value *v) {
    switch (t->field->type) {
    case FIELD_INT: return read_integer(t, y, &v->integer);
    case FIELD_REAL: return read_real(t, y, &v->real);
    case FIELD_CHOICE: return read_choice(t, y, &v->choice);
    case FIELD_TEXT: return y->kind == YAML_NULL || read_string(t, y, &v->string);
    case FIELD_BOOL: v->boolean = y->boolean; return y->kind == YAML_BOOL || refuse(t, y, "");
    default: return read_list(t, y, v);
    }
}

/* Here and below, `quote`: as JSON, else as people write it. */
static void add_text(text_buffer *b, const char *text, bool quote) {
    if (quote)
        buffer_add_json(b, text);
    else
        buffer_add(b, text);
}

static void add_set(text_buffer *b, const field *f, unsigned set, bool quote) {
    int n;
    const char *const *choice = choice_list(b->arena, f->choices, &n);
    bool first = true;
    for (int i = 0; i < n; i++) {
        if (!(set >> i & 1)) continue;
        if (!first) buffer_add(b, ",");
        first = false;
        add_text(b, choice[i], quote);
    }
}

static void add_list(text_buffer *b, const field *f, const value *v, bool quote) {
    buffer_add(b, "[");
    if (f->type == FIELD_SET) add_set(b, f, v->set, quote);
    for (int i = 0; f->type == FIELD_INTS && i < v->ints.n; i++) {
        if (i) buffer_add(b, ",");
        add_integer(b, v->ints.v[i]);
    }
    for (int i = 0; f->type == FIELD_REALS && i < v->reals.n; i++) {
        if (i) buffer_add(b, ",");
        add_real(b, v->reals.v[i], quote);
    }
    for (int i = 0; f->type == FIELD_TEXTS && i < v->texts.n; i++) {
        if (i) buffer_add(b, ",");
        add_text(b, v->texts.v[i], quote);
    }
    buffer_add(b, "]");
}

static const char *spell(arena *a, const field *f, const value *v, bool quote) {
    text_buffer b = {.arena = a};
    int n;
    switch (f->type) {
    case FIELD_INT: add_integer(&b, v->integer); break;
    case FIELD_REAL: add_real(&b, v->real, quote); break;
    case FIELD_BOOL: buffer_add(&b, v->boolean ? "true" : "false"); break;
    case FIELD_CHOICE: add_text(&b, choice_list(a, f->choices, &n)[v->choice], quote); break;
    case FIELD_TEXT:
        if (!quote) return v->string;
        buffer_add_json(&b, v->string);
        break;
    default: add_list(&b, f, v, quote);
    }
    return b.text;
}

const value *value_read(arena *a, const char *key, const field *f, const yaml *y, diag *d) {
    const typing t = {a, key, f, d};
    value *v = ARENA_NEW(a, value, 1);
    if (!read_any(&t, y, v)) return NULL;
    v->json = spell(a, f, v, true);
    v->text = spell(a, f, v, false);
    v->is_number = f->type == FIELD_INT || f->type == FIELD_REAL || f->type == FIELD_BOOL;
    if (f->type == FIELD_INT) v->number = (double)v->integer;
    if (f->type == FIELD_REAL) v->number = v->real;
    if (f->type == FIELD_BOOL) v->number = v->boolean;
    return v;
}

void value_bind(void *config, const field *f, const value *v) {
    char *at = (char *)config + f->offset;
    switch (f->type) {
    case FIELD_INT: *(long *)(void *)at = v->integer; break;
    case FIELD_REAL: *(double *)(void *)at = v->real; break;
    case FIELD_BOOL: *(bool *)(void *)at = v->boolean; break;
    case FIELD_CHOICE: *(int *)(void *)at = v->choice; break;
    case FIELD_SET: *(unsigned *)(void *)at = v->set; break;
    case FIELD_TEXT: *(const char **)(void *)at = v->string; break;
    case FIELD_INTS: *(int_list *)(void *)at = v->ints; break;
    case FIELD_REALS: *(real_list *)(void *)at = v->reals; break;
    case FIELD_TEXTS: *(text_list *)(void *)at = v->texts; break;
    }
}
