/* jsontext.c - see jsontext.h. */
#include "jsontext.h"

#include "kernels/core/error.h"

#include <math.h>
#include <stdint.h>

static void reserve(jsontext *t, long more) {
    if (t->n + more < t->cap) return;
    long cap = t->cap ? t->cap : 256;
    while (cap <= t->n + more) cap *= 2;
    t->data = arena_regrow(t->arena, t->data, (size_t)t->n, (size_t)cap);
    t->cap = cap;
}

static void put_bytes(jsontext *t, const char *bytes, long n) {
    reserve(t, n);
    memcpy(t->data + t->n, bytes, (size_t)n);
    t->n += n;
    t->data[t->n] = '\0';
}

void jsontext_put(jsontext *t, const char *text) { put_bytes(t, text, (long)strlen(text)); }

void jsontext_printf(jsontext *t, const char *format, ...) {
    const long room = t->cap - t->n;
    va_list args;
    va_start(args, format);
    const long need = vsnprintf(room ? t->data + t->n : NULL, (size_t)room, format, args);
    va_end(args);
    if (need < 0) BUG("unprintable format: %s", format);
    if (need >= room) { /* a second time, where it fits */
        reserve(t, need);
        va_start(args, format);
        vsnprintf(t->data + t->n, (size_t)need + 1, format, args);
        va_end(args);
    }
    t->n += need;
}

/* Bytes of the UTF-8 character at s, 0 when it is not one (overlong, surrogate, cut short). */
static long utf8_length(const unsigned char *s) {
    if (s[0] < 0x80) return 1;
    long n = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : 4;
    if (s[0] < 0xc2 || s[0] > 0xf4) return 0;
    for (long i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return n;
}

void jsontext_string(jsontext *t, const char *text) {
    if (!text) {
        jsontext_put(t, "null");
        return;
    }
    put_bytes(t, "\"", 1);
    while (*text) {
        unsigned char c = (unsigned char)*text;
        long n = utf8_length((const unsigned char *)text);
        if (c == '"' || c == '\\')
            jsontext_printf(t, "\\%c", c);
        else if (c == '\n')
            jsontext_put(t, "\\n");
        else if (c == '\t')
            jsontext_put(t, "\\t");
        else if (c < 0x20 || c == 0x7f)
            jsontext_printf(t, "\\u%04x", c);
        else if (n == 0)
            jsontext_put(t, "\xef\xbf\xbd");
        else
            put_bytes(t, text, n);
        text += n ? n : 1;
    }
    put_bytes(t, "\"", 1);
}

/* printf writes the decimal sign of the locale. */
static void point_from_locale(char *number) {
    for (char *c = number; *c; c++)
        if (*c == ',') *c = '.';
}

void jsontext_number(jsontext *t, double value) {
    if (isnan(value))
        jsontext_put(t, "\"nan\"");
    else if (isinf(value))
        jsontext_put(t, value > 0 ? "\"inf\"" : "\"-inf\"");
    else {
        char number[32];
        snprintf(number, sizeof number, "%.17g", value);
        point_from_locale(number);
        jsontext_put(t, number);
    }
}

void jsontext_key(jsontext *t, const char *name) {
    char last = t->n ? t->data[t->n - 1] : '{';
    if (last != '{' && last != '[') put_bytes(t, ",", 1);
    jsontext_string(t, name);
    put_bytes(t, ":", 1);
}

void number_shortest(char out[32], double value) {
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value) break; /* both sides use the locale */
    }
    point_from_locale(out);
}
