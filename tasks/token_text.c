/* token_text.c - see token_text.h. One pass, no memory. Knows no vocabulary. */
#include "tasks/token_text.h"

#include <string.h>

const char *const token_rule_name[] = {"byte", "char", "word"};

enum { WRAP = 72, WRAP_HARD = 88 };

/* Not isspace: that depends on the locale. */
static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

int utf8_read(long *used, const char *text, long n) {
    static const int least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *)text;
    const int first = byte[0];
    const int bytes = first < 0x80 ? 1 : first < 0xC0 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    *used = 1;
    if (bytes == 1) return first;
    if (!bytes || bytes > n || first > 0xF4) return NOT_UTF8 + first;
    int code = first & (0x7F >> bytes);
    for (int i = 1; i < bytes; i++) {
        if ((byte[i] & 0xC0) != 0x80) return NOT_UTF8 + first;
        code = code << 6 | (byte[i] & 0x3F);
    }
    if (code < least[bytes] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return NOT_UTF8 + first;
    *used = bytes;
    return code;
}

static bool word_next(token_span *out, token_cursor *c, long cut) {
    static const token_span eos = {"<eos>", 5};
    const char *text = c->text;
    long at = c->at;
    while (at < c->end && text[at] != '\n' && is_space(text[at])) at++;
    c->at = at;
    if (at == c->end && cut == c->end && at && text[at - 1] != '\n' && !c->line_closed) {
        c->line_closed = true;
        *out = eos;
        return true;
    }
    if (at >= cut) return false;
    if (text[at] == '\n') {
        c->at++;
        *out = eos;
        return true;
    }
    while (at < c->end && !is_space(text[at])) at++;
    *out = (token_span){text + c->at, at - c->at};
    c->at = at;
    return true;
}

bool token_next(token_span *out, token_cursor *c, token_rule rule, long cut) {
    if (rule == TOKEN_WORD) return word_next(out, c, cut);
    if (c->at >= cut) return false;
    *out = (token_span){c->text + c->at, 1};
    if (rule == TOKEN_CHAR) utf8_read(&out->n, out->text, c->end - c->at);
    c->at += out->n;
    return true;
}

long word_count(const char *text, long n) {
    long words = 0;
    for (long i = 0; i < n; i++) words += !is_space(text[i]) && (!i || is_space(text[i - 1]));
    return words;
}

/* Columns printed. */
static int print_code(FILE *file, int code, const char *text, long n) {
    static const char plain[] = "\n\t\r\"\\", escaped[] = "ntr\"\\";
    const char *at = code && code < 0x80 ? strchr(plain, code) : NULL;
    if (at) return fprintf(file, "\\%c", escaped[at - plain]);
    if (code >= 0x20 && code < 0x7F) return fprintf(file, "%c", code);
    if (code >= 0xA0 && code < NOT_UTF8) return fwrite(text, 1, (size_t)n, file) ? 1 : 0;
    int columns = 0;
    for (long i = 0; i < n; i++) columns += fprintf(file, "\\x%02X", (unsigned char)text[i]);
    return columns;
}

void text_print(FILE *file, const char *text, long n, int indent) {
    int column = indent;
    for (long i = 0, used; i < n; i += used) {
        const int code = utf8_read(&used, text + i, n - i);
        column += print_code(file, code, text + i, used);
        if (i + used == n || column < (code == ' ' ? WRAP : WRAP_HARD)) continue;
        fprintf(file, "\n%*s", indent, "");
        column = indent;
    }
}
