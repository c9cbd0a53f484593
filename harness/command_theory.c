/* command_theory.c - mixgrid theory: a table of predictions and what the engine measures. */
#include "cli.h"
#include "theory.h"

#include <math.h>
#include <stdio.h>
#include <strings.h>

static bool wanted(const theory_case *c, const cli_texts *checks) {
    for (int i = 0; i < checks->n; i++)
        if (!strcasecmp(checks->text[i], c->check)) return true;
    return !checks->n;
}

static status refuse_unknown(const cli_texts *checks, error *e) {
    for (int i = 0; i < checks->n; i++) {
        bool known = false;
        for (int k = 0; k < n_theory_cases; k++)
            known |= wanted(&theory_cases[k], &(cli_texts){1, 1, &checks->text[i]});
        if (!known)
            return error_set(e, STATUS_USAGE, "there is no check %s; say T1, T2, T3 or T4.",
                             checks->text[i]);
    }
    return STATUS_OK;
}

/* Adds 1 to *missed where the measurement is out of tolerance. */
static status print_case(int *missed, arena *a, const theory_case *c, const backend *b, error *e) {
    theory_result r;
    if (theory_measure(&r, c, b, 0, e)) return e->code;
    const bool good = fabs(r.measured - c->expected) <= c->tolerance;
    printf("%-5s %-14s %-40s %-19s %8.5f %8.5f %6ld  %s\n", c->check, c->name, theory_setting(a, c),
           theory_quantity_name[c->quantity], c->expected, r.measured, r.examples,
           good ? "yes" : "NO");
    fflush(stdout);
    *missed += !good;
    return STATUS_OK;
}

status command_theory(int argc, char **argv, error *e) {
    arena *a = arena_new();
    const char *device = "auto";
    int missed = 0, n = 0;
    const cli_option options[] = {
        {"device", CLI_TEXT, &device, "NAME",
         "auto, cuda, cuda:0, cpu, cpu-v3, cpu-v4 or f64 (default auto)"},
    };
    cli_texts checks = {0};
    status s = CLI_PARSE(a, argc, argv, options, &checks, e);
    if (!s) s = refuse_unknown(&checks, e);
    const backend *b = s ? NULL : backend_open(device, e);
    if (!s && !b) s = e->code;
    if (!s)
        printf("hand-built weights on %s\n%-5s %-14s %-40s %-19s %8s %8s %6s  %s\n", b->name,
               "check", "construction", "setting", "quantity", "expected", "measured", "n", "ok");
    for (int i = 0; i < n_theory_cases && !s; i++) {
        if (!wanted(&theory_cases[i], &checks)) continue;
        n++;
        s = print_case(&missed, a, &theory_cases[i], b, e);
    }
    if (!s && missed)
        s = error_set(e, STATUS_RUNS_FAILED,
                      "%d of %d measurements are out of tolerance; a kernel, a filter or a "
                      "generator does not do what its definition says.",
                      missed, n);
    arena_free(a);
    return s;
}
