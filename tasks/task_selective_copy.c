/* task_selective_copy.c - pick the data tokens out of the noise and repeat them in order.
 *
 * L = length, M = tokens, A = vocab. Ids: 0 noise, data 1 .. marker or separator.
 * Prefix: L+M positions, of which a uniformly random M-subset holds the data tokens d_1 .. d_M from
 * left to right, iid uniform (distinct: without replacement); the rest is 0.
 * markers:        then M markers A-1. T = L + 2M. Position L+M+k-1 is scored with label d_k: all
 *                 outputs in parallel.
 * autoregressive: then A-1, d_1 .. d_M. T = L + 2M + 1. Position L+M+k-1 (the separator for k = 1,
 *                 else d_{k-1}) is scored with label d_k; the last position predicts nothing.
 * The scored positions are the same in both forms.
 *
 * Source: Gu, Goel and Re (S4), ICLR 2022; Gu and Dao, "Mamba", 2023, section 4.1 (L = 4096,
 * M = 16, A = 16), no code; distinct: the theorem's setting. Ours: the subset is uniform over all
 * L+M places (the last one is not forced to hold data), the autoregressive form.
 * Longer evaluation: L grows, M and A stay. Cost: O(T). */
#include "tasks/display.h"

#include <math.h>

enum { FORM_MARKERS, FORM_AUTOREGRESSIVE, SLICE_ORDER = 0, SLICE_DISTANCE };

typedef struct selective_copy {
    int form;
    long length, tokens, vocab;
    bool distinct;
} selective_copy;

static const field fields[] = {
    {"form", FIELD_CHOICE, offsetof(selective_copy, form), "markers", 0, 0,
     "markers|autoregressive", "Answer markers in parallel, or continue the sequence.", false,
     false},
    {"length", FIELD_INT, offsetof(selective_copy, length), "4096", 1, 1 << 20, NULL,
     "Noise tokens (L); one example has L + 2 tokens + (autoregressive) 1 positions.", false,
     false},
    {"tokens", FIELD_INT, offsetof(selective_copy, tokens), "16", 1, 1 << 12, NULL,
     "Data tokens to copy (M).", false, false},
    {"vocab", FIELD_INT, offsetof(selective_copy, vocab), "16", 3, 1 << 24, NULL,
     "Token ids (A): noise, A-2 data tokens, marker.", false, false},
    {"distinct", FIELD_BOOL, offsetof(selective_copy, distinct), "false", 0, 0, NULL,
     "No data token twice in one example.", false, false},
};

static status selective_copy_open(task_set *s, const task_options *options, error *e) {
    const selective_copy *c = s->config;
    (void)options;
    if (c->distinct && c->tokens > c->vocab - 2)
        return error_set(e, STATUS_USAGE,
                         "task.tokens is %ld with task.distinct; task.vocab = %ld has %ld data "
                         "tokens, so task.vocab must be at least %ld.",
                         c->tokens, c->vocab, c->vocab - 2, c->tokens + 2);
    s->time = (int)(c->length + 2 * c->tokens + (c->form == FORM_AUTOREGRESSIVE));
    s->vocab = (int)c->vocab;
    s->n_slices = 2;
    s->slice_name[SLICE_ORDER] = "order";
    s->slice_name[SLICE_DISTANCE] = "distance";
    return STATUS_OK;
}

static void selective_copy_draw(const task_set *s, rng *g, task_example *out) {
    const selective_copy *c = s->config;
    const int tokens = (int)c->tokens, prefix = (int)c->length + tokens, marker = s->vocab - 1;
    int *x = out->ids, *data = out->labels + prefix;
    if (c->distinct)
        rng_sample(g, data, tokens, marker - 1);
    else
        for (int k = 0; k < tokens; k++) data[k] = (int)rng_below(g, (uint32_t)marker - 1);
    for (int k = 0; k < tokens; k++) data[k]++;

    /* Floyd's uniform subset; the marker id stands for "taken", so no set is needed. */
    for (int top = prefix - tokens; top < prefix; top++) {
        int pick = (int)rng_below(g, (uint32_t)top + 1);
        x[x[pick] == marker ? top : pick] = marker;
    }
    for (int t = 0, k = 0; t < prefix; t++) {
        if (x[t] != marker) continue;
        slice_set(s, out, SLICE_ORDER, prefix + k, bucket_of(k + 1));
        slice_set(s, out, SLICE_DISTANCE, prefix + k, bucket_of(prefix + k - t));
        x[t] = data[k++];
    }
    x[prefix] = marker;
    for (int k = 1; k < s->time - prefix; k++)
        x[prefix + k] = c->form == FORM_MARKERS ? marker : data[k - 1];
}

static const char *selective_copy_role(const task_set *s, const task_example *x, int t) {
    const selective_copy *c = s->config;
    const int prefix = (int)(c->length + c->tokens);
    if (t < prefix) return x->ids[t] ? "data" : "";
    if (c->form == FORM_MARKERS) return "mark";
    return t == prefix ? "sep" : "copy";
}

static void selective_copy_show(const task_set *s, const task_example *x, void *file) {
    show_columns(file, s, x, selective_copy_role);
}

static double selective_copy_log2(const task_set *s) {
    const selective_copy *c = s->config;
    double data = c->distinct ? log2_falling(c->vocab - 2, c->tokens)
                              : (double)c->tokens * log2((double)c->vocab - 2);
    return data + log2_falling(c->length + c->tokens, c->tokens) -
           log2_falling(c->tokens, c->tokens);
}

TASK(selective_copy) = {
    .name = "selective_copy",
    .summary = "repeat the data tokens scattered in noise, in order",
    .source = "Gu et al. 2022 (S4); Gu and Dao 2023 (Mamba), section 4.1; uniform subset ours",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(selective_copy),
    .open = selective_copy_open,
    .draw = selective_copy_draw,
    .show = selective_copy_show,
    .log2_examples = selective_copy_log2};
