/* error.c - see error.h. */
#include "error.h"

#include <stdio.h>
#include <stdlib.h>

status error_set(error *e, status code, const char *format, ...) {
    if (e->code != STATUS_OK) return e->code;
    e->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    return code;
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
