/* bench_model.c - see bench_model.h. */
#include "bench_model.h"

#include "results/clock.h"
#include "trainer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_SAMPLES = 4096, WARM_UP = 4 /* by then both staging blocks are recorded */ };
enum { LEAST = BENCH_LEAST_STEPS - WARM_UP - 1 /* which says how many to time at once */ };
static const double SAMPLE_S = 0.004; /* short steps are timed several at once: they are queued */

typedef struct noise { /* settings of the task below */
    int time, vocab, scored;
} noise;

/* Random tokens, labels on evenly spread positions: what a recall task looks like to the machine.
 */
static void draw(const task_set *s, rng *g, task_example *x) {
    const noise *n = s->config;
    for (int t = 0; t < n->time; t++) {
        x->ids[t] = (int)rng_below(g, (uint32_t)n->vocab);
        const bool scored = (long)(t + 1) * n->scored / n->time != (long)t * n->scored / n->time;
        x->labels[t] = scored ? (int)rng_below(g, (uint32_t)n->vocab) : -1;
    }
}

static status open_noise(task_set *s, const task_options *options, error *e) {
    (void)options;
    (void)e;
    const noise *n = s->config;
    s->time = n->time;
    s->vocab = n->vocab;
    return STATUS_OK;
}

static const task noise_task = {
    .name = "noise", .config_size = sizeof(noise), .open = open_noise, .draw = draw};

const task_set *bench_noise(arena *a, int time, int vocab, int scored, error *e) {
    noise *n = ARENA_NEW(a, noise, 1);
    *n = (noise){time, vocab, scored};
    const task_options options = {.val_count = 1, .test_count = 1};
    return task_open(a, &noise_task, n, &options, e);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of n steps from the first draw to the last result; scored: positions of the last one. */
static double run_steps(trainer *t, long *step, int n, const optim_run *run, long *scored,
                        error *e) {
    const step_result *result;
    const double from = clock_steady_s();
    int steps;
    for (int i = 0; i < n; i++) trainer_step(t, (*step)++, 1, run);
    if (!trainer_collect(t, &result, &steps, e))
        *scored = result[(long)(steps - 1) * trainer_graph(t)->runs].scored;
    return clock_steady_s() - from;
}

status bench_steps(step_time *out, const job *j, const backend *b, const task_set *set,
                   double seconds, error *e) {
    arena *a = arena_new();
    *out = (step_time){0};
    const task_set **sets = ARENA_NEW(a, const task_set *, j->runs);
    optim_run *run = ARENA_NEW(a, optim_run, j->runs);
    for (int r = 0; r < j->runs; r++) {
        sets[r] = set;
        run[r] = (optim_run){1e-3, 0.1, true};
    }
    trainer *t = trainer_new(a, j, b, sets, e);
    if (t) {
        double *sample = ARENA_NEW(a, double, MAX_SAMPLES);
        long step = 0, scored = 0;
        double took = run_steps(t, &step, WARM_UP, run, &scored, e);
        took = run_steps(t, &step, 1, run, &scored, e);
        const int group = took < SAMPLE_S ? (int)fmin(SAMPLE_S / took + 1, TRAINER_PENDING) : 1;
        const double end = clock_steady_s() + seconds;
        while (out->steps < MAX_SAMPLES && (out->steps < LEAST || clock_steady_s() < end) &&
               !e->code)
            sample[out->steps++] = run_steps(t, &step, group, run, &scored, e) / group;
        qsort(sample, (size_t)out->steps, sizeof *sample, by_value);
        out->median_s = sample[out->steps / 2];
        out->min_s = sample[0];
        model_cost cost;
        if (!model_measure(&cost, &j->model, set->time, e)) {
            const double tokens = (double)j->train.batch * set->time,
                         head = 6.0 * (double)j->model.common.d_model * j->model.vocab;
            out->flops = j->runs * (tokens * (cost.flops_per_token - head) + (double)scored * head);
        }
    }
    trainer_free(t);
    arena_free(a);
    return e->code;
}

status bench_peak(double *flops_per_s, const backend *b, error *e) {
    enum { ROWS = 256, SIZE = 512 };
    arena *a = arena_new();
    graph *g = graph_new(a, b, 1);
    tensor *x = graph_input(g, TENSOR_REAL, "x", DIM(1, ROWS, SIZE)),
           *w = graph_input(g, TENSOR_REAL, "w", DIM(1, SIZE, SIZE));
    APPLY(g, linear, IN(x, w));
    status s = graph_plan(g, false, e);
    if (!s) s = b->reserve(graph_scratch(g), e);
    void *memory = s ? NULL : b->alloc(graph_arena_bytes(g), e);
    if (memory) {
        graph_bind(g, memory, NULL, NULL);
        double best = 1e9;
        for (const double end = clock_steady_s() + 0.05; clock_steady_s() < end;) {
            const double from = clock_steady_s();
            graph_forward(g);
            b->sync(e);
            const double took = clock_steady_s() - from;
            if (took < best) best = took;
        }
        *flops_per_s = graph_flops(g) / best;
        b->release(memory);
    }
    arena_free(a);
    return e->code;
}

status bench_side_by_side(step_time *out, const job *j, const backend *b, const task_set *set,
                          const char *device, double seconds, int copies, error *e) {
    int ends[2];
    if (pipe(ends))
        return error_set(e, STATUS_ENVIRONMENT, "could not open a pipe: %s.", strerror(errno));
    fflush(NULL);
    int started = 0;
    for (; started < copies; started++) {
        pid_t pid = fork();
        if (pid < 0) break;
        if (pid) continue;
        step_time mine;
        error failed = {0};
        bool good = !b->open(device, (numerics)j->train.numerics, &failed) &&
                    !bench_steps(&mine, j, b, set, seconds, &failed);
        if (!good) fprintf(stderr, "mixgrid: %s\n", failed.text);
        good = good && write(ends[1], &mine, sizeof mine) == (ssize_t)sizeof mine;
        fflush(stderr);
        _exit(!good);
    }
    close(ends[1]);
    *out = (step_time){0};
    step_time one;
    int n = 0;
    while (read(ends[0], &one, sizeof one) == (ssize_t)sizeof one) {
        out->median_s += one.median_s;
        out->min_s += one.min_s;
        out->flops = one.flops;
        out->steps += one.steps;
        n++;
    }
    close(ends[0]);
    while (started-- > 0) wait(NULL);
    if (n < copies)
        return error_set(e, STATUS_ENVIRONMENT, "%d of %d benchmark processes gave no result.",
                         copies - n, copies);
    out->median_s /= n;
    out->min_s /= n;
    return STATUS_OK;
}
