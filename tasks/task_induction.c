/* task_induction.c - induction head: what followed the special token the first time?
 *
 * Ids: 0 .. V-2 ordinary, V-1 special. T = length. The special token stands at a uniform position
 * i of 0 .. T-3 and at T-1; every other token is iid uniform over the ordinary ones.
 * Scored: position T-1, label x_{i+1}, which is always ordinary.
 *
 * Source: Fu et al., "Hungry hungry hippos", ICLR 2023, section 3 (length 30, vocabulary 20);
 * Gu and Dao, "Mamba", 2023, section 4.1 trains at length 256, vocabulary 16, and evaluates longer.
 * Ours: the special token is the last id, and the answer may be any ordinary token.
 * Longer evaluation: only the haystack grows. Cost: T draws. */
#include "tasks/display.h"

#include <math.h>

typedef struct induction {
    long length, vocab;
} induction;

static const field fields[] = {
    {"length", FIELD_INT, offsetof(induction, length), "30", 3, 1 << 20, NULL,
     "Tokens of one example, the special one at its end included.", false, false},
    {"vocab", FIELD_INT, offsetof(induction, vocab), "20", 3, 1 << 24, NULL,
     "Token ids; the last one is the special token.", false, false},
};

static status induction_open(task_set *s, const task_options *options, error *e) {
    const induction *c = s->config;
    (void)options;
    (void)e;
    s->time = (int)c->length;
    s->vocab = (int)c->vocab;
    s->n_slices = 1;
    s->slice_name[0] = "distance";
    return STATUS_OK;
}

static void induction_draw(const task_set *s, rng *g, task_example *out) {
    const int last = s->time - 1, special = s->vocab - 1;
    const int first = (int)rng_below(g, (uint32_t)last - 1);
    for (int t = 0; t < last; t++) out->ids[t] = (int)rng_below(g, (uint32_t)special);
    out->ids[first] = out->ids[last] = special;
    out->labels[last] = out->ids[first + 1];
    slice_set(s, out, 0, last, bucket_of(last - first));
}

static const char *induction_role(const task_set *s, const task_example *x, int t) {
    const int special = s->vocab - 1;
    if (x->ids[t] == special) return t == s->time - 1 ? "query" : "key";
    return t && x->ids[t - 1] == special ? "value" : "";
}

static void induction_show(const task_set *s, const task_example *x, void *file) {
    show_columns(file, s, x, induction_role);
}

static double induction_log2(const task_set *s) {
    return log2(s->time - 2) + (s->time - 2) * log2(s->vocab - 1);
}

TASK(induction) = {.name = "induction",
                   .summary = "repeat what followed the special token",
                   .source = "Fu et al. 2023 (H3), section 3; Gu and Dao 2023 (Mamba), section 4.1",
                   .fields = FIELD_TABLE(fields),
                   .config_size = sizeof(induction),
                   .open = induction_open,
                   .draw = induction_draw,
                   .show = induction_show,
                   .log2_examples = induction_log2};
