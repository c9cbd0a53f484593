/* cli_fixture.h - command lines that must fail: the exit code and the one sentence with its remedy.
 * The sentence is a line ended by a newline, without an escape sequence; stdout stays empty. */
#pragma once
#include "folder_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const char grid_text[] = "experiment: small\n"
                                "defaults:\n"
                                "  task: {name: mqar, length: 16, vocab: 64, pairs: 2}\n"
                                "  model: {d_model: 8}\n"
                                "  train: {steps: 4, batch: 8}\n"
                                "  eval: {examples: 16}\n"
                                "grid:\n"
                                "  model.mixer: [attention, cat]\n"
                                "seeds: 2\n";

typedef struct bad {
    const char *line;
    int code;
    const char *part[2]; /* of what is printed on stderr; the second is the remedy, or NULL */
} bad;

static inline int lines_of(const char *text) {
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

/* `lines`: of stderr; more than one where each is an error of its own. */
static inline void check_bad(const folder *f, const bad *c, int lines) {
    const outcome o = mixgrid(f, c->line);
    if (o.signal) fail_msg("mixgrid %s: signal %d\n%s", c->line, o.signal, o.err);
    if (o.code != c->code)
        fail_msg("mixgrid %s: exit code %d, not %d\n%s", c->line, o.code, c->code, o.err);
    for (int i = 0; i < 2; i++)
        if (c->part[i] && !strstr(o.err, c->part[i]))
            fail_msg("mixgrid %s: nothing of \"%s\" in:\n%s", c->line, c->part[i], o.err);
    const size_t n = strlen(o.err);
    if (lines_of(o.err) != lines || !n || o.err[n - 1] != '\n' || strchr(o.err, '\033'))
        fail_msg("mixgrid %s: not %d lines:\n%s", c->line, lines, o.err);
    if (*o.out) fail_msg("mixgrid %s: prints\n%s", c->line, o.out);
}
