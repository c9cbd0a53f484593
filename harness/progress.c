/* progress.c - see progress.h. */
#include "progress.h"

#include "cli.h"
#include "results/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REDRAW_MS = 200, PLAIN_S = 15 };

typedef struct slot_view {
    const char *label; /* NULL: idle */
    double cost;
    int runs;
    progress last;
    double start_s, first_s;
    long first_step; /* for the speed: since the first message of this attempt */
} slot_view;

struct progress_view {
    arena *arena;
    slot_view *slot;
    int slots, drawn; /* lines on the screen now */
    bool terminal, color;
    long total, done, running, failed, left;
    double cost_done, cost_left, start_s, drawn_s;
};

progress_view *progress_new(arena *a, int slots, long total) {
    progress_view *v = ARENA_NEW(a, progress_view, 1);
    *v = (progress_view){.arena = a,
                         .slot = ARENA_NEW(a, slot_view, slots),
                         .slots = slots,
                         .terminal = cli_is_terminal(STDERR_FILENO),
                         .color = cli_has_color(STDERR_FILENO),
                         .total = total,
                         .left = total,
                         .start_s = clock_steady_s()};
    v->drawn_s = v->start_s;
    return v;
}

void progress_slot(progress_view *v, int slot, const char *label, double cost, int runs) {
    slot_view *s = &v->slot[slot];
    if (!label && s->label) v->cost_done += s->cost;
    *s = (slot_view){
        .label = label, .cost = cost, .runs = runs, .start_s = clock_steady_s(), .first_step = -1};
}

void progress_update(progress_view *v, int slot, const progress *p) {
    slot_view *s = &v->slot[slot];
    s->last = *p;
    if (s->first_step < 0) {
        s->first_step = p->step;
        s->first_s = clock_steady_s();
    }
}

static void erase(progress_view *v) {
    if (v->drawn) fprintf(stderr, "\033[%dA\033[J", v->drawn);
    v->drawn = 0;
}

void progress_line(progress_view *v, bool bad, const char *format, ...) {
    erase(v);
    va_list args;
    va_start(args, format);
    if (bad && v->color) fputs("\033[31m", stderr);
    vfprintf(stderr, format, args);
    if (bad && v->color) fputs("\033[0m", stderr);
    fputc('\n', stderr);
    va_end(args);
}

void progress_totals(progress_view *v, long done, long running, long failed, long left,
                     double cost_left) {
    v->done = done;
    v->running = running;
    v->failed = failed;
    v->left = left;
    v->cost_left = cost_left;
}

static void print_duration(char *text, size_t size, double s) {
    const long t = (long)(s + 0.5);
    if (t < 90)
        snprintf(text, size, "%ld s", t);
    else if (t < 5400)
        snprintf(text, size, "%ld min %02ld s", t / 60, t % 60);
    else
        snprintf(text, size, "%ld h %02ld min", t / 3600, t / 60 % 60);
}

/* Cost finished so far, counting parts of running packs by their steps. */
static double cost_so_far(const progress_view *v, double *running_left) {
    double sum = v->cost_done;
    *running_left = 0;
    for (int i = 0; i < v->slots; i++) {
        const slot_view *s = &v->slot[i];
        if (!s->label) continue;
        const double share = s->last.steps ? (double)s->last.step / (double)s->last.steps : 0;
        sum += share * s->cost;
        *running_left += (1 - share) * s->cost;
    }
    return sum;
}

static void sweep_line(const progress_view *v, char *text, size_t size) {
    char eta[64] = "?", spent[64];
    double running_left;
    const double so_far = cost_so_far(v, &running_left), elapsed = clock_steady_s() - v->start_s;
    print_duration(spent, sizeof spent, elapsed);
    if (so_far > 0 && elapsed > 1)
        print_duration(eta, sizeof eta, elapsed / so_far * (v->cost_left + running_left));
    snprintf(text, size, "%ld done, %ld running, %ld failed, %ld left of %ld | %s, ETA %s", v->done,
             v->running, v->failed, v->left, v->total, spent, eta);
}

void progress_draw(progress_view *v, bool force) {
    const double at = clock_steady_s(), wait = v->terminal ? 1e-3 * REDRAW_MS : PLAIN_S;
    if (!force && at - v->drawn_s < wait) return;
    v->drawn_s = at;
    char line[512];
    if (!v->terminal) {
        sweep_line(v, line, sizeof line);
        fprintf(stderr, "%s\n", line);
        return;
    }
    erase(v);
    const int width = cli_screen(STDERR_FILENO, NULL) - 1;
    for (int i = 0; i < v->slots; i++) {
        const slot_view *s = &v->slot[i];
        if (!s->label) continue;
        const double dt = at - s->first_s;
        const long moved = s->first_step >= 0 ? s->last.step - s->first_step : 0;
        snprintf(line, sizeof line, "  %s  step %ld/%ld  loss %.4f  acc %.3f  %.0f steps/s",
                 s->label, s->last.step, s->last.steps, s->last.loss, s->last.token_acc,
                 dt > 0.1 ? (double)moved / dt : 0);
        fprintf(stderr, "%.*s\n", width, line);
        v->drawn++;
    }
    sweep_line(v, line, sizeof line);
    fprintf(stderr, "%.*s\n", width, line);
    v->drawn++;
}

void progress_end(progress_view *v) { erase(v); }
