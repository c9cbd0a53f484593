/* task.c - opening a set, its keys and splits; see task.h.
 *
 * Keys. One per split, and one for the training order: hash of the data seed, the split's name and
 * the canonical text of the settings (settings.h), in which `length` is the length opened at. So a
 * set evaluated at length 128 is the same whatever length was trained.
 *
 * Splits. Example i of a split is the first attempt 0, 1, 2 ... of stream (key of the split, i)
 * that is new: test examples are drawn first, then validation, each different from all before it;
 * a training example is redrawn while it equals a held-out one. The attempts of held-out examples
 * are remembered, so that fetching one later costs a single draw.
 *
 * Order. Endless training: position = index. Finite: position p is example perm(p mod count) of
 * epoch p / count, with one permutation per epoch.
 *
 * Does not batch, cache or score. Cost per example: one draw, one fingerprint, one look-up. */
#include "tasks/task.h"

#include "tasks/display.h"
#include "tasks/held_out.h"
#include "tasks/settings.h"

#include <math.h>
#include <string.h>

#define ENTRY(name) extern const task task_##name;
#include "task.def"
#undef ENTRY

#define ENTRY(name) &task_##name,
const task *const tasks[] = {
#include "task.def"
};
#undef ENTRY
const int n_tasks = sizeof tasks / sizeof *tasks;

const char *const split_name[N_SPLIT] = {"train", "val", "test"};

enum { MAX_ATTEMPTS = 1000, PROBES = 64, PROBES_FRESH = 8 };

/* What s->held_out points to. */
typedef struct split_state {
    held_out *prints;
    uint32_t *attempt[N_SPLIT]; /* [count], the attempt that was new; NULL for train */
} split_state;

const task *task_find(const char *name) {
    for (int i = 0; i < n_tasks; i++)
        if (!strcmp(tasks[i]->name, name)) return tasks[i];
    return NULL;
}

static void draw(const task_set *s, split which, uint64_t index, uint32_t attempt,
                 task_example *out) {
    long time = s->time;
    rng g = rng_start(s->key[which], index, attempt);
    for (long t = 0; t < time; t++) out->ids[t] = 0, out->labels[t] = -1;
    for (long t = 0; out->slice && t < time * s->n_slices; t++) out->slice[t] = -1;
    s->task->draw(s, &g, out);
}

/* Refuses sets larger than the space: the held-out sets may take half of it, so that redrawing
 * ends after two attempts on average. */
static status check_space(const task_set *s, error *e) {
    if (!s->task->log2_examples) return STATUS_OK;
    double bits = s->task->log2_examples(s), exist = bits < 1000 ? exp2(bits) : HUGE_VAL;
    double test = (double)s->count[SPLIT_TEST], val = (double)s->count[SPLIT_VAL];
    double train = (double)s->count[SPLIT_TRAIN];
    if (2 * (test + val) <= exist && test + val + train <= exist) return STATUS_OK;
    return error_set(e, STATUS_USAGE,
                     "task %s with these settings has only about %.0f distinct examples: too few "
                     "for %.0f test and %.0f validation examples (at most half of all) and %.0f "
                     "for training; use a longer sequence, a larger vocabulary or smaller sets.",
                     s->task->name, exist, test, val, train ? train : 1);
}

static status hold_out(task_set *s, split_state *state, split which, task_example *x, error *e) {
    state->attempt[which] = ARENA_NEW(s->arena, uint32_t, s->count[which]);
    for (uint64_t i = 0; i < s->count[which]; i++) {
        uint32_t attempt = 0;
        draw(s, which, i, attempt, x);
        while (!held_out_add(state->prints, fingerprint(x->ids, x->labels, s->time))) {
            if (++attempt == MAX_ATTEMPTS)
                return error_set(
                    e, STATUS_USAGE,
                    "task %s with these settings yields too few distinct examples: after %llu of "
                    "them, %d draws for the %s set gave no new one; use a longer sequence, a "
                    "larger vocabulary or smaller sets.",
                    s->task->name, (unsigned long long)state->prints->n, MAX_ATTEMPTS,
                    split_name[which]);
            draw(s, which, i, attempt, x);
        }
        state->attempt[which][i] = attempt;
    }
    return STATUS_OK;
}

/* Examples need not be equally likely: half of the space may carry nearly all of the draws. */
static status probe_training(const task_set *s, const split_state *state, task_example *x,
                             error *e) {
    int fresh = 0;
    for (uint64_t i = 0; i < PROBES; i++) {
        draw(s, SPLIT_TRAIN, i, 0, x);
        fresh += !held_out_has(state->prints, fingerprint(x->ids, x->labels, s->time));
    }
    if (fresh >= PROBES_FRESH) return STATUS_OK;
    return error_set(e, STATUS_USAGE,
                     "task %s with these settings has too few distinct examples: %d of %d training "
                     "draws are in the test or validation set of %llu; use a longer sequence, a "
                     "larger vocabulary or smaller held-out sets.",
                     s->task->name, PROBES - fresh, PROBES, (unsigned long long)state->prints->n);
}

static status make_splits(task_set *s, const task_options *options, error *e) {
    if (check_space(s, e)) return e->code;
    task_example x = {ARENA_NEW(s->arena, int, s->time), ARENA_NEW(s->arena, int, s->time), NULL};
    split_state *state = ARENA_NEW(s->arena, split_state, 1);
    state->prints = held_out_new(s->arena, s->count[SPLIT_VAL] + s->count[SPLIT_TEST]);
    s->held_out = state;
    if (hold_out(s, state, SPLIT_TEST, &x, e) || hold_out(s, state, SPLIT_VAL, &x, e))
        return e->code;
    return options->held_out_only ? STATUS_OK : probe_training(s, state, &x, e);
}

static status check_options(const task_options *options, error *e) {
    const struct {
        const char *name;
        long value;
    } count[] = {{"eval.lengths", options->length},
                 {"train.examples", options->train_count},
                 {"eval.val", options->val_count},
                 {"eval.test", options->test_count}};
    for (int i = 0; i < 4; i++)
        if (count[i].value < 0)
            return error_set(e, STATUS_USAGE, "%s is %ld; it must not be negative.", count[i].name,
                             count[i].value);
    return STATUS_OK;
}

task_set *task_open(arena *a, const task *t, const void *config, const task_options *options,
                    error *e) {
    if (check_options(options, e)) return NULL;
    task_set *s = ARENA_NEW(a, task_set, 1);
    *s = (task_set){.task = t,
                    .arena = a,
                    .data_seed = options->data_seed,
                    .count = {[SPLIT_TRAIN] = (uint64_t)options->train_count,
                              [SPLIT_VAL] = (uint64_t)options->val_count,
                              [SPLIT_TEST] = (uint64_t)options->test_count}};
    s->config = settings_copy(a, t, config, options->length, e);
    if (!s->config) return NULL;
    const char *text = settings_text(a, t, s->config);
    for (int i = 0; i < N_SPLIT; i++)
        s->key[i] = rng_key_make(options->data_seed, split_name[i], text, strlen(text));
    s->order = rng_key_make(options->data_seed, "order", text, strlen(text));
    if (t->open(s, options, e)) return NULL;
    if (t->draw && make_splits(s, options, e)) return NULL;
    return s;
}

static uint64_t example_at(const task_set *s, uint64_t position) {
    uint64_t count = s->count[SPLIT_TRAIN];
    if (!count) return position;
    rng g = rng_start(s->order, position / count, 0);
    rng_key epoch = {{rng_u32(&g)}};
    epoch.word[1] = rng_u32(&g);
    return rng_permute(epoch, count, position % count);
}

void task_get(const task_set *s, split which, uint64_t index, task_example *out) {
    if (which != SPLIT_TRAIN && index >= s->count[which])
        BUG("example %llu of the %s set of %llu", (unsigned long long)index, split_name[which],
            (unsigned long long)s->count[which]);
    if (which == SPLIT_TRAIN) index = example_at(s, index);
    if (s->task->fetch) {
        s->task->fetch(s, which, index, out);
        return;
    }
    const split_state *state = s->held_out;
    if (which != SPLIT_TRAIN) {
        draw(s, which, index, state->attempt[which][index], out);
        return;
    }
    /* Opening showed that a draw is fresh with probability well above 1 %, so this ends. */
    for (uint32_t attempt = 0; attempt < 100 * MAX_ATTEMPTS; attempt++) {
        draw(s, which, index, attempt, out);
        if (!held_out_has(state->prints, fingerprint(out->ids, out->labels, s->time))) return;
    }
    BUG("training example %llu of task %s is always held out", (unsigned long long)index,
        s->task->name);
}

uint64_t task_hash(const task_set *s, split which, uint64_t count) {
    arena *a = arena_new();
    task_example x = {ARENA_NEW(a, int, s->time), ARENA_NEW(a, int, s->time), NULL};
    uint64_t hash = 0;
    for (uint64_t i = 0; i < count; i++) {
        task_get(s, which, i, &x);
        hash = (hash ^ fingerprint(x.ids, x.labels, s->time)) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    arena_free(a);
    return hash;
}
