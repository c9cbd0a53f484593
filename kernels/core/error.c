/* error.c - see error.h. */
#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The end of a sentence that found no room, in place of the last characters, none of them cut. */
static void end_early(char *text, size_t size) {
    static const char end[] = "...";
    size_t n = size - sizeof end;
    while (n && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    memcpy(text + n, end, sizeof end);
}

status error_set(error *e, status code, const char *format, ...) {
    if (e->code != STATUS_OK) return e->code;
    e->code = code;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    if (n >= (int)sizeof e->text) end_early(e->text, sizeof e->text);
    return code;
}

status error_join(error *e, const error *beside) {
    return beside->code ? error_set(e, beside->code, "%s", beside->text) : e->code;
}

void bug_at(const char *file, int line, const char *format, ...) {
    fprintf(stderr, "mixgrid: bug at %s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
