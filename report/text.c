/* text.c - see text.h.
 *
 * Escapes are tables of what to replace, longest use first, searched at every byte: a report is a
 * few hundred kilobytes, and a table is checked by reading it. All characters of a table are whole
 * UTF-8 sequences, so bytes can be compared without decoding. */
#include "text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <sys/stat.h>

text text_new(arena *a) {
    text t = {.arena = a, .cap = 256};
    t.s = arena_alloc(a, (size_t)t.cap);
    return t;
}

/* Appends n bytes, doubling the buffer; the old one stays in the arena. */
static void text_bytes(text *t, const char *s, long n) {
    if (t->n + n + 1 > t->cap) {
        while (t->n + n + 1 > t->cap) t->cap *= 2;
        t->s = arena_regrow(t->arena, t->s, (size_t)t->n, (size_t)t->cap);
    }
    memcpy(t->s + t->n, s, (size_t)n);
    t->n += (int)n;
    t->s[t->n] = 0;
}

void text_put(text *t, const char *s) {
    if (s) text_bytes(t, s, (long)strlen(s));
}

void text_add(text *t, const char *format, ...) {
    char small[512];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n < 0) BUG("unprintable format: %s", format);
    if ((size_t)n < sizeof small) {
        text_bytes(t, small, n);
    } else {
        char *big = arena_alloc(t->arena, (size_t)n + 1);
        vsnprintf(big, (size_t)n + 1, format, again);
        text_bytes(t, big, n);
    }
    va_end(again);
}

typedef struct escape {
    const char *from, *to;
} escape;

/* Copies s, replacing the first matching entry at every place; control bytes become blanks unless
 * they are line ends and `keep_lines`. */
static void text_escape(text *t, const char *s, const escape *table, int n, bool keep_lines) {
    if (!s) return;
    while (*s) {
        int i = 0;
        while (i < n &&
               (*s != *table[i].from || strncmp(s, table[i].from, strlen(table[i].from)) != 0))
            i++;
        if (i < n) {
            text_put(t, table[i].to);
            s += strlen(table[i].from);
            continue;
        }
        unsigned char byte = (unsigned char)*s;
        bool keep = byte >= 32 ? byte != 127 : keep_lines && (byte == '\n' || byte == '\t');
        text_bytes(t, keep ? s : " ", 1);
        s++;
    }
}

#define ESCAPE(t, s, table, keep)                                                                  \
    text_escape(t, s, table, (int)(sizeof(table) / sizeof *(table)), keep)

void text_html(text *t, const char *s) {
    static const escape table[] = {
        {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}};
    ESCAPE(t, s, table, true);
}

void text_latex(text *t, const char *s) {
    static const escape table[] = {{"\\", "\\textbackslash{}"},
                                   {"~", "\\textasciitilde{}"},
                                   {"^", "\\textasciicircum{}"},
                                   {"&", "\\&"},
                                   {"%", "\\%"},
                                   {"$", "\\$"},
                                   {"#", "\\#"},
                                   {"_", "\\_"},
                                   {"{", "\\{"},
                                   {"}", "\\}"},
                                   {"<", "\\textless{}"},
                                   {">", "\\textgreater{}"},
                                   {"\"", "\\textquotedbl{}"},
                                   {"±", "$\\pm$"},
                                   {"≥", "$\\geq$"},
                                   {"≤", "$\\leq$"},
                                   {"−", "$-$"},
                                   {"×", "$\\times$"},
                                   {"–", "--"},
                                   {"—", "---"},
                                   {"·", "$\\cdot$"},
                                   {"…", "\\ldots{}"}};
    ESCAPE(t, s, table, false);
}

void text_markdown(text *t, const char *s) {
    static const escape table[] = {{"\\", "\\\\"}, {"|", "\\|"},  {"*", "\\*"}, {"_", "\\_"},
                                   {"`", "\\`"},   {"<", "&lt;"}, {"[", "\\["}, {"]", "\\]"},
                                   {"$", "\\$"},   {"&", "&amp;"}};
    ESCAPE(t, s, table, false);
}

void text_csv(text *t, const char *s) {
    if (!s) return;
    if (!strpbrk(s, ",\"\r\n") && s[0] != ' ') {
        text_put(t, s);
        return;
    }
    text_put(t, "\"");
    for (; *s; s++) text_bytes(t, *s == '"' ? "\"\"" : s, *s == '"' ? 2 : 1);
    text_put(t, "\"");
}

void text_gnuplot(text *t, const char *s) {
    static const escape table[] = {{"'", "''"}};
    text_put(t, "'");
    ESCAPE(t, s, table, false);
    text_put(t, "'");
}

int text_width(const char *s) {
    int n = 0;
    for (; s && *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

const char *text_slug(arena *a, const char *s) {
    char *out = arena_alloc(a, strlen(s) + 1);
    int n = 0;
    for (; *s; s++) {
        char c = *s;
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            out[n++] = c;
        else if (n && out[n - 1] != '_')
            out[n++] = '_';
    }
    while (n && out[n - 1] == '_') n--;
    out[n] = 0;
    return n ? out : "x";
}

const char *text_key(arena *a, const char *key) {
    const char *dot = strrchr(key, '.');
    if (!dot || !dot[1]) return key;
    if (strcmp(dot, ".name") != 0) return dot + 1;
    return text_key(a, arena_printf(a, "%.*s", (int)(dot - key), key));
}

const char *text_short(arena *a, const char *s, int width) {
    if (text_width(s) <= width) return s;
    int bytes = 0;
    for (int columns = 0; columns < width; bytes++)
        columns += ((unsigned char)s[bytes] & 0xC0) != 0x80;
    /* The column counted last gives way to the ellipsis. */
    return arena_printf(a, "%.*s…", bytes - 1, s);
}

const char *text_capital(arena *a, const char *s) {
    char *copy = arena_text(a, s);
    if (copy[0] >= 'a' && copy[0] <= 'z') copy[0] = (char)(copy[0] - 'a' + 'A');
    return copy;
}

const char *text_real(arena *a, double v) {
    char s[40];
    if (fabs(v) < 1e15 && v == floor(v)) return arena_printf(a, "%.0f", v + 0.0);
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, v);
        if (strtod(s, NULL) == v || isnan(v)) break;
    }
    return arena_text(a, s);
}

const char *text_count(arena *a, double v) {
    static const struct {
        double unit;
        const char *name;
    } scale[] = {{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}};
    if (!isfinite(v)) return "–";
    for (int i = 0; fabs(v) >= 1e4 && i < 4; i++)
        if (fabs(v) >= scale[i].unit) {
            double x = v / scale[i].unit;
            int decimals = fabs(x) < 9.995 ? 2 : fabs(x) < 99.95 ? 1 : 0;
            return arena_printf(a, "%.*f%s", decimals, x, scale[i].name);
        }
    return text_real(a, v);
}

const char *text_duration(arena *a, double wall_s) {
    if (!isfinite(wall_s)) return "–";
    if (wall_s < 9.95) return arena_printf(a, "%.1f s", wall_s);
    long s = lround(wall_s);
    if (s < 60) return arena_printf(a, "%ld s", s);
    if (s < 3600) return arena_printf(a, "%ld min %02ld s", s / 60, s % 60);
    return arena_printf(a, "%ld h %02ld min", s / 3600, s % 3600 / 60);
}

status folder_make(const char *path, error *e) {
    char part[4096];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return error_set(e, STATUS_USAGE, "the folder name '%.80s' is empty or too long", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0777) == 0 || errno == EEXIST || errno == EISDIR) continue;
        return error_set(e, STATUS_ENVIRONMENT,
                         "cannot create the folder %s: %s; give a folder you can write with --out.",
                         part, strerror(errno));
    }
    return STATUS_OK;
}

status file_write(const char *path, const char *bytes, long n, error *e) {
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, (size_t)n, f) == (size_t)n;
    int cause = errno;
    if (f && fclose(f) != 0) {
        if (ok) cause = errno;
        ok = false;
    }
    if (ok) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "cannot write %s: %s; give a folder you can write with --out.", path,
                     strerror(cause));
}

char *file_read(arena *a, const char *path, long *n) {
    *n = 0;
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    text t = text_new(a);
    char block[8192];
    for (size_t got; (got = fread(block, 1, sizeof block, f)) > 0;)
        text_bytes(&t, block, (long)got);
    fclose(f);
    *n = t.n;
    return t.s;
}
