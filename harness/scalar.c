/* scalar.c - see scalar.h. The regular expressions are those of YAML 1.2.2, section 10.3.2, except
 * that integers with leading zeros stay text: YAML 1.1 reads them as octal, 1.2 as decimal. */
#include "scalar.h"

#include "kernels/core/error.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool one_of(const char *text, const char *const *word) {
    for (; *word; word++)
        if (!strcmp(text, *word)) return true;
    return false;
}

static const char *skip_digits(const char *p) {
    while (isdigit((unsigned char)*p)) p++;
    return p;
}

/* [-+]? (\.[0-9]+ | [0-9]+(\.[0-9]*)?) ([eE][-+]?[0-9]+)?; `*whole`: digits alone. */
static bool is_number(const char *text, bool *whole) {
    const char *p = text + (*text == '-' || *text == '+'), *start = p;
    p = skip_digits(p);
    const bool digits = p > start;
    *whole = digits && !*p;
    if (*p == '.') {
        const char *fraction = ++p;
        p = skip_digits(p);
        if (!digits && p == fraction) return false;
    } else if (!digits) {
        return false;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+') p++;
        const char *exponent = p;
        p = skip_digits(p);
        if (p == exponent) return false;
    }
    return !*p;
}

static void set_integer(yaml *y, const char *digits, int base) {
    errno = 0;
    y->integer = strtol(digits, NULL, base);
    y->kind = errno ? YAML_REAL : YAML_INT;
    y->real = errno ? strtod(y->text, NULL) : (double)y->integer;
}

/* 0o17 and 0x1F. */
static bool classify_based(yaml *y) {
    const char *text = y->text;
    const int base = !strncmp(text, "0o", 2) ? 8 : !strncmp(text, "0x", 2) ? 16 : 0;
    if (!base || !text[2]) return false;
    if (strspn(text + 2, base == 8 ? "01234567" : "0123456789abcdefABCDEF") != strlen(text + 2))
        return false;
    if (base == 8 && strlen(text) > 2 + 21) return false;
    set_integer(y, text + 2, base);
    return true;
}

static bool classify_special(yaml *y) {
    static const char *const null[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    static const char *const inf[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nan[] = {".nan", ".NaN", ".NAN", NULL};
    const char *text = y->text;
    const bool sign = *text == '-' || *text == '+';
    if (one_of(text, null)) {
        y->kind = YAML_NULL;
    } else if (one_of(text, yes) || one_of(text, no)) {
        y->kind = YAML_BOOL;
        y->boolean = one_of(text, yes);
    } else if (one_of(text + sign, inf)) {
        y->kind = YAML_REAL;
        y->real = *text == '-' ? -(double)INFINITY : (double)INFINITY;
    } else if (one_of(text, nan)) {
        y->kind = YAML_REAL;
        y->real = (double)NAN;
    } else {
        return false;
    }
    return true;
}

static const char *digits_without(arena *a, const char *text, char unwanted) {
    char *out = arena_text(a, text);
    long n = 0;
    for (const char *p = text; *p; p++)
        if (*p != unwanted) out[n++] = *p;
    out[n] = '\0';
    return out;
}

/* Text that YAML 1.1 would have read as something else. */
static const char *doubt_of(arena *a, const char *text) {
    static const char *const yes[] = {"yes", "on", NULL}, *const no[] = {"no", "off", NULL};
    bool whole;
    for (int i = 0; i < 2; i++) {
        if (!strcasecmp(text, yes[i]))
            return arena_printf(a, "%s is text in YAML 1.2; write true, or quote it", text);
        if (!strcasecmp(text, no[i]))
            return arena_printf(a, "%s is text in YAML 1.2; write false, or quote it", text);
    }
    if (is_number(text, &whole))
        return arena_printf(a,
                            "%s is text because of its leading zero; write it without, or "
                            "quote it",
                            text);
    if (strchr(text, '_')) {
        const char *plain = digits_without(a, text, '_');
        if (isdigit((unsigned char)text[0]) && is_number(plain, &whole))
            return arena_printf(a, "%s is text in YAML 1.2; write %s, or quote it", text, plain);
    }
    return NULL;
}

void scalar_classify(arena *a, yaml *y) {
    bool whole = false;
    y->kind = YAML_TEXT;
    if (classify_special(y) || classify_based(y)) return;
    const char *digits = y->text + (*y->text == '-' || *y->text == '+');
    const bool leading_zero = digits[0] == '0' && isdigit((unsigned char)digits[1]);
    if (leading_zero || !is_number(y->text, &whole)) {
        y->doubt = doubt_of(a, y->text);
    } else if (whole) {
        set_integer(y, y->text, 10);
    } else {
        y->kind = YAML_REAL;
        y->real = strtod(y->text, NULL);
    }
}
