/* task_mqar.c - multi-query associative recall: many keys, each asked for once.
 *
 * T = length, even; P pairs; filler 0; keys from 1 .. V/2-1, values from V/2 .. V-1, both without
 * replacement. Context k_1 v_1 ... k_P v_P of C = 2P tokens, then S = (T-C)/2 slots of two tokens.
 * Slot i = 1 .. S has weight i^(power-1); P slots are drawn one after the other without replacement
 * by these weights; key j stands at C + 2 slot_j (slot from 0).
 * Scored: the query keys, label v_j (predicted right after reading the key; the value itself is
 * not put into the input).
 *
 * Weights are integers of sum about 2^31, at least 1 each: all later arithmetic is exact, and the
 * last bit of pow() reaches a draw with probability below 1e-6.
 * filler: random puts uniform tokens that are no key or value of this example where zeros are;
 * a random filler equal to a key would make rows ambiguous, as in the original code.
 * mix: entry m has its own length and pairs and is drawn with probability proportional to
 * mix.examples; T is the longest, shorter examples end in unscored zeros. Validation and test are
 * mixed alike and tell the entries apart by slices.
 * Longer or shorter evaluation: the mix is not used; `pairs` is kept, or cut to T/4 where they no
 * longer fit; the query slots spread over the whole length.
 *
 * Source: Arora et al., "Zoology", ICLR 2024, section 4 and its multiquery_ar data. Ours: integer
 * weights, the filler rule, mixing by example. Cost: O(T + P^2 + P S / log S). */
#include "tasks/display.h"

#include <math.h>

enum { FILLER_ZERO, FILLER_RANDOM, SLICE_PAIRS = 0, SLICE_GAP, SLICE_LENGTH };

typedef struct mqar {
    long length, vocab, pairs;
    double power;
    int filler;
    int_list mix_length, mix_pairs, mix_examples;
} mqar;

static const field fields[] = {
    {"length", FIELD_INT, offsetof(mqar, length), "64", 4, 1 << 20, NULL,
     "Tokens of one example, even.", false, false},
    {"vocab", FIELD_INT, offsetof(mqar, vocab), "8192", 6, 1 << 24, NULL,
     "Token ids, even: filler, keys, values.", false, false},
    {"pairs", FIELD_INT, offsetof(mqar, pairs), "4", 1, 1 << 12, NULL,
     "Key-value pairs, each asked for once.", false, false},
    {"power", FIELD_REAL, offsetof(mqar, power), "0.01", 0, 2, NULL,
     "Slot i is drawn with weight i^(power-1): 1 is uniform, small values ask early.", false,
     false},
    {"filler", FIELD_CHOICE, offsetof(mqar, filler), "zero", 0, 0, "zero|random",
     "What stands between the queries: token 0, or tokens that are no key or value here.", false,
     false},
    {"mix.length", FIELD_INTS, offsetof(mqar, mix_length), "[]", 4, 1 << 20, NULL,
     "Lengths of a mixture; replaces length.", false, false},
    {"mix.pairs", FIELD_INTS, offsetof(mqar, mix_pairs), "[]", 1, 1 << 12, NULL,
     "Pairs of each entry of the mixture; replaces pairs.", false, false},
    {"mix.examples", FIELD_INTS, offsetof(mqar, mix_examples), "[]", 1, 1 << 24, NULL,
     "Relative number of examples of each entry of the mixture.", false, false},
};

/* One kind of example. */
typedef struct entry {
    int time, pairs, n_slots;
    uint32_t *weight; /* [n_slots] */
    uint32_t total;   /* of the weights */
    uint32_t until;   /* examples of this entry and all before it */
} entry;

typedef struct mqar_state {
    int n;
    entry *entry; /* [n] */
} mqar_state;

/* `in` is where length and pairs come from: "" or "mix.". */
static status fill_entry(entry *m, arena *a, const mqar *c, const char *in, long length, long pairs,
                         error *e) {
    if (length % 2)
        return error_set(e, STATUS_USAGE, "task.%slength is %ld; mqar needs an even length.", in,
                         length);
    if (c->vocab % 2)
        return error_set(e, STATUS_USAGE,
                         "task.vocab is %ld; mqar needs an even vocabulary (half of it keys, half "
                         "values).",
                         c->vocab);
    if (c->vocab <= length)
        return error_set(e, STATUS_USAGE, "task.vocab is %ld; it must exceed task.%slength = %ld.",
                         c->vocab, in, length);
    if (4 * pairs > length)
        return error_set(e, STATUS_USAGE,
                         "task.%spairs is %ld; at task.%slength = %ld at most %ld pairs and their "
                         "queries fit (4 tokens each).",
                         in, pairs, in, length, length / 4);
    m->time = (int)length;
    m->pairs = (int)pairs;
    m->n_slots = (int)(length - 2 * pairs) / 2;
    m->weight = ARENA_NEW(a, uint32_t, m->n_slots);
    double sum = 0;
    for (int i = 1; i <= m->n_slots; i++) sum += pow(i, c->power - 1);
    for (int i = 0; i < m->n_slots; i++) {
        double share = pow(i + 1, c->power - 1) / sum;
        m->weight[i] = 1 + (uint32_t)floor(share * 0x1p31);
        m->total += m->weight[i];
    }
    return STATUS_OK;
}

static status open_mix(task_set *s, mqar_state *state, const mqar *c, error *e) {
    const int n = c->mix_length.n;
    if (c->mix_pairs.n != n || c->mix_examples.n != n)
        return error_set(e, STATUS_USAGE,
                         "task.mix.length has %d entries, task.mix.pairs %d and task.mix.examples "
                         "%d; they must be equally many.",
                         n, c->mix_pairs.n, c->mix_examples.n);
    long examples = 0;
    state->n = n;
    state->entry = ARENA_NEW(s->arena, entry, n);
    for (int i = 0; i < n; i++) {
        entry *m = &state->entry[i];
        examples += c->mix_examples.v[i];
        if (examples > INT32_MAX)
            return error_set(e, STATUS_USAGE,
                             "task.mix.examples sum to more than %d; only their ratios count, so "
                             "divide them all.",
                             INT32_MAX);
        m->until = (uint32_t)examples;
        if (fill_entry(m, s->arena, c, "mix.", c->mix_length.v[i], c->mix_pairs.v[i], e))
            return e->code;
        if (m->time > s->time) s->time = m->time;
    }
    return STATUS_OK;
}

static status mqar_open(task_set *s, const task_options *options, error *e) {
    const mqar *c = s->config;
    mqar_state *state = ARENA_NEW(s->arena, mqar_state, 1);
    const bool mixed = !options->length && c->mix_length.n + c->mix_pairs.n + c->mix_examples.n;
    s->state = state;
    s->vocab = (int)c->vocab;
    s->n_slices = mixed ? 3 : 2;
    s->slice_name[SLICE_PAIRS] = "pairs";
    s->slice_name[SLICE_GAP] = "gap";
    s->slice_name[SLICE_LENGTH] = mixed ? "length" : NULL;
    if (mixed) return open_mix(s, state, c, e);

    long pairs = c->pairs;
    if (options->length && 4 * pairs > c->length) pairs = c->length / 4;
    s->time = (int)c->length;
    state->n = 1;
    state->entry = ARENA_NEW(s->arena, entry, 1);
    return fill_entry(state->entry, s->arena, c, "", c->length, pairs, e);
}

/* Draws a slot that holds no key yet by the weights of the free ones, takes `remaining` down. The
 * walk from slot 0 is short on average, as early slots weigh most. */
static int take_slot(rng *g, const entry *m, uint32_t *remaining, const int *slots) {
    uint32_t u = rng_below(g, *remaining);
    for (int i = 0; i < m->n_slots; i++) {
        if (slots[2 * i]) continue;
        if (u < m->weight[i]) {
            *remaining -= m->weight[i];
            return i;
        }
        u -= m->weight[i];
    }
    BUG("mqar weights do not sum to their total");
}

static bool among(const int *x, int n, int value) {
    bool found = false; /* no early exit: this vectorises, and most values are not among x */
    for (int i = 0; i < n; i++) found |= x[i] == value;
    return found;
}

static void mqar_draw(const task_set *s, rng *g, task_example *out) {
    const mqar_state *state = s->state;
    const mqar *c = s->config;
    const entry *m = state->entry;
    if (state->n > 1) {
        uint32_t u = rng_below(g, state->entry[state->n - 1].until);
        while (u >= m->until) m++;
    }
    const int pairs = m->pairs, context = 2 * pairs, half = s->vocab / 2;
    int *x = out->ids, *keys = x + context, *values = keys + pairs; /* lent, and cleared below */
    rng_sample(g, keys, pairs, half - 1);
    rng_sample(g, values, pairs, half);
    for (int j = 0; j < pairs; j++) {
        x[2 * j] = 1 + keys[j];
        x[2 * j + 1] = half + values[j];
    }
    for (int t = context; t < 2 * context; t++) x[t] = 0;

    uint32_t remaining = m->total;
    for (int j = 0; j < pairs; j++) {
        int t = context + 2 * take_slot(g, m, &remaining, x + context);
        x[t] = x[2 * j];
        out->labels[t] = x[2 * j + 1];
        slice_set(s, out, SLICE_PAIRS, t, pairs);
        slice_set(s, out, SLICE_GAP, t, bucket_of(t - 2 * j));
        if (s->n_slices > SLICE_LENGTH) slice_set(s, out, SLICE_LENGTH, t, m->time);
    }
    for (int t = context; c->filler == FILLER_RANDOM && t < m->time; t++) {
        if (out->labels[t] >= 0) continue;
        do x[t] = (int)rng_below(g, (uint32_t)s->vocab);
        while (among(x, context, x[t]));
    }
}

static const char *mqar_role(const task_set *s, const task_example *x, int t) {
    int context = 0; /* pairs of this example = scored positions */
    for (int i = 0; i < s->time; i++) context += x->labels[i] >= 0 ? 2 : 0;
    if (t < context) return t % 2 ? "value" : "key";
    return x->labels[t] >= 0 ? "query" : "";
}

static void mqar_show(const task_set *s, const task_example *x, void *file) {
    show_columns(file, s, x, mqar_role);
}

/* Exact for one entry; of a mixture the richest entry, a bound from below. */
static double mqar_log2(const task_set *s) {
    const mqar_state *state = s->state;
    const mqar *c = s->config;
    double best = 0;
    for (int i = 0; i < state->n; i++) {
        const entry *m = &state->entry[i];
        double bits = log2_falling(c->vocab / 2 - 1, m->pairs) +
                      log2_falling(c->vocab / 2, m->pairs) + log2_falling(m->n_slots, m->pairs);
        if (c->filler == FILLER_RANDOM)
            bits += (m->time - 3 * m->pairs) * log2((double)c->vocab - 2 * m->pairs);
        best = bits > best ? bits : best;
    }
    return best;
}

TASK(mqar) = {.name = "mqar",
              .summary = "multi-query associative recall: the value of each key asked for",
              .source = "Arora et al. 2024 (Zoology), section 4; filler rule ours",
              .fields = FIELD_TABLE(fields),
              .config_size = sizeof(mqar),
              .open = mqar_open,
              .draw = mqar_draw,
              .show = mqar_show,
              .log2_examples = mqar_log2};
