/* watch.c - see watch.h. */
#include "watch.h"

#include "cli.h"
#include "results/clock.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* looks that may fail one after the other while somebody is writing */
enum { PATIENCE = 5, SLICE_MS = 100 };

static volatile sig_atomic_t stopped;

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

/* The second signal ends the process, should a look hang. */
static void catch_signals(void) {
    static const int number[] = {SIGINT, SIGTERM};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    stopped = 0;
    for (int i = 0; i < 2; i++) sigaction(number[i], &action, NULL);
}

static void wait_until(double until_s) {
    while (!stopped && clock_steady_s() < until_s) poll(NULL, 0, SLICE_MS);
}

/* The length of the first `width` characters of a line. */
static int cut(const char *line, int length, int width) {
    int n = 0;
    for (; n < length; n++)
        if (((unsigned char)line[n] & 0xc0) != 0x80 && --width < 0) break;
    return n;
}

/* Draws what fits on the screen, so that all of it can be erased again; returns the lines. */
static int draw(const char *text) {
    int rows, lines = 0, total = 0;
    const int width = cli_screen(STDOUT_FILENO, &rows) - 1;
    for (const char *p = text; *p; p++) total += *p == '\n';
    const int most = total < rows ? total : rows - 2;
    for (; lines < most; lines++) {
        const int length = (int)strcspn(text, "\n");
        printf("%.*s\n", cut(text, length, width), text);
        text += length + 1;
    }
    if (lines < total) printf("... and %d more lines\n", total - lines);
    return lines + (lines < total);
}

static void erase(int lines) {
    if (lines) printf("\033[%dA\033[J", lines);
}

status watch_until_over(status (*see)(watch_look *out, arena *a, const void *user, error *e),
                        const void *user, bool is_lines, error *e) {
    const bool in_place = !is_lines && cli_is_terminal(STDOUT_FILENO);
    char *before = NULL; /* the key that was printed last */
    int drawn = 0, failures = 0;
    bool over = false, said = false;
    catch_signals();
    while (!over && !stopped && !e->code) {
        arena *a = arena_new();
        watch_look look = {0};
        error bad = {0};
        const double start_s = clock_steady_s();
        see(&look, a, user, &bad);
        if (!bad.code) failures = 0;
        if (bad.code && !stopped && (!look.may_be_replaced || ++failures > PATIENCE)) *e = bad;
        if (!bad.code && !look.text && !said) {
            fprintf(stderr, "mixgrid: waiting for %s, which is not there yet\n", look.awaited);
            said = true;
            drawn = 0;
        }
        if (!bad.code && look.text) {
            const char *key = look.key ? look.key : look.text;
            over = look.is_over;
            if (in_place) {
                erase(drawn);
                drawn = over ? 0 : draw(look.text);
                if (over) fputs(look.text, stdout);
            } else if (!before || strcmp(before, key)) {
                printf("%s%s", before && !is_lines ? "\n" : "", look.text);
                free(before);
                before = strdup(key);
                if (!before) error_set(e, STATUS_ENVIRONMENT, "out of memory.");
            }
            cli_flush(e);
        }
        arena_free(a);
        if (!over && !e->code) wait_until(start_s + look.again_s);
    }
    free(before);
    return e->code ? e->code : over ? STATUS_OK : STATUS_INTERRUPTED;
}
