/* task_nar.c - N-gram associative recall: what followed the last N tokens the first time?
 *
 * T = length, last = T-1. x_0 = BOS = 0, all other tokens in 1 .. V-1. The query
 * q = x_{last-N+1 .. last} occurs as an N-gram exactly once earlier, ending at some i with
 * i+1 <= last-N; the answer is x_{i+1}. N = 1 is plain associative recall.
 *
 * Drawing. q is iid uniform, i is uniform over N .. last-N-1. The other tokens are drawn left to
 * right, each uniform over the tokens that do not complete a further occurrence of q with the
 * tokens already in place (a dead end, possible only for tiny vocabularies, starts the example
 * anew). For N = 1 this is exactly the distribution of "redraw all other tokens until q occurs
 * twice"; for N > 1 it differs from it only through chains of near occurrences, by about
 * T V^-N, and unlike it it ends for every vocabulary.
 * distractors: the (N-1)-gram at the end of q occurs at least once more before the query, followed
 * by something else than the answer, so that an (N-1)-gram look-up cannot solve the task. One is
 * planted at a uniform place that does not overlap the first occurrence; more may arise by chance.
 *
 * Scored: position `last` with the answer; loss: all adds the next token at every position before.
 * The slices belong to the answer alone, so with loss: all read the recall accuracy there.
 * BOS matters: with causal zero padding and unit norms the first token a of a sequence would have
 * the same convolution signature as aa.
 *
 * Source: the CAT paper (convolution-augmented transformer), N-gram associative recall; no code was
 * published. Ours: the drawing rule, distractors, loss: all. Longer evaluation: only the haystack
 * grows. Cost: O(T) on average, O(T N) at worst. */
#include "tasks/draw.h"

#include <math.h>
#include <string.h>

enum { MAX_N = 32, UNSET = -1, BOS = 0, MAX_TRIES = 4096 };
enum { LOSS_LAST, LOSS_ALL };

typedef struct nar {
    long length, vocab, n;
    bool distractors;
    int loss;
} nar;

static const field fields[] = {
    {"length", FIELD_INT, offsetof(nar, length), "64", 4, 1 << 20, NULL,
     "Tokens of one example, BOS and the query included.", false, false},
    {"vocab", FIELD_INT, offsetof(nar, vocab), "64", 3, 1 << 24, NULL,
     "Token ids, BOS (0) included.", false, false},
    {"n", FIELD_INT, offsetof(nar, n), "1", 1, MAX_N, NULL, "Tokens of the query (N).", false,
     false},
    {"distractors", FIELD_BOOL, offsetof(nar, distractors), "false", 0, 0, NULL,
     "Also show the last N-1 tokens of the query with another continuation.", false, false},
    {"loss", FIELD_CHOICE, offsetof(nar, loss), "last", 0, 0, "last|all",
     "Score the answer only, or the next token at every position.", false, false},
};

static bool same(const int *x, const int *y, int n) {
    for (int k = 0; k < n; k++)
        if (x[k] != y[k]) return false;
    return true;
}

static bool contains(const int *x, int n, int value) {
    for (int k = 0; k < n; k++)
        if (x[k] == value) return true;
    return false;
}

/* Fills the unset places of x[1 .. q), where q [n] is the query, further right in x. False: no
 * token fits somewhere. A window counts as soon as its last unset place is drawn, so the windows
 * to look at end at t, or right of t while the places up to there are already set. */
static bool fill(rng *g, int *x, const int *q, int n, int vocab) {
    for (int t = 1; x + t < q; t++) {
        int forbidden[MAX_N], n_forbidden = 0;
        if (x[t] != UNSET) continue;
        for (int end = t; end < t + n && (end == t || x[end] != UNSET); end++) {
            if (end < n) continue; /* would reach BOS, which is in no query */
            const int *window = x + end - n + 1;
            int hole = n - 1 - (end - t);
            if (!same(window, q, hole) || !same(window + hole + 1, q + hole + 1, end - t)) continue;
            if (!contains(forbidden, n_forbidden, q[hole])) forbidden[n_forbidden++] = q[hole];
        }
        if (n_forbidden == vocab - 1) return false;
        do x[t] = 1 + (int)rng_below(g, (uint32_t)vocab - 1);
        while (contains(forbidden, n_forbidden, x[t]));
    }
    return true;
}

static int occurrences(const int *x, const int *q, int n) { /* the query itself included */
    int count = 0;
    for (const int *window = x + 1; window <= q; window++) count += same(window, q, n);
    return count;
}

/* One attempt at x [time]; returns i, or 0 when the example must be started anew. */
static int nar_try(const nar *c, rng *g, int *x, int time) {
    const int n = (int)c->n, vocab = (int)c->vocab, query = time - n;
    int *q = x + query;
    x[0] = BOS;
    for (int t = 1; t < query; t++) x[t] = UNSET;
    for (int t = query; t < time; t++) x[t] = 1 + (int)rng_below(g, (uint32_t)vocab - 1);
    const int i = n + (int)rng_below(g, (uint32_t)(query - 1 - n));
    memcpy(x + i - n + 1, q, sizeof *q * (size_t)n);
    int planted = 0; /* where the distractor ends */
    if (c->distractors) {
        planted = n - 1 + (int)rng_below(g, (uint32_t)(query - n));
        if (planted - n + 2 <= i && planted > i - n) return 0;
        memcpy(x + planted - n + 2, q + 1, sizeof *q * (size_t)(n - 1));
    }
    if (!fill(g, x, q, n, vocab) || occurrences(x, q, n) != 2) return 0;
    return planted && x[planted + 1] == x[i + 1] ? 0 : i;
}

static status nar_open(task_set *s, const task_options *options, error *e) {
    const nar *c = s->config;
    const long least = c->distractors ? 3 * c->n + 2 : 2 * c->n + 2;
    (void)options;
    if (c->distractors && c->n < 2)
        return error_set(e, STATUS_USAGE,
                         "task.distractors is true with task.n = %ld; distractors are (n-1)-grams, "
                         "so task.n must be at least 2.",
                         c->n);
    if (c->length < least)
        return error_set(e, STATUS_USAGE,
                         "task.length is %ld; with task.n = %ld%s it must be at least %ld, to hold "
                         "BOS, the N-gram, its answer%s and the query.",
                         c->length, c->n, c->distractors ? " and distractors" : "", least,
                         c->distractors ? ", a distractor" : "");
    s->time = (int)c->length;
    s->vocab = (int)c->vocab;
    s->n_slices = 3;
    s->slice_name[0] = "n";
    s->slice_name[1] = "distance";
    s->slice_name[2] = "distractors";

    int *x = ARENA_NEW(s->arena, int, s->time);
    rng g = rng_start(s->key[SPLIT_TEST], UINT64_MAX, 0); /* an index no example has */
    for (int i = 0; i < MAX_TRIES; i++)
        if (nar_try(c, &g, x, s->time)) return STATUS_OK;
    return error_set(e, STATUS_USAGE,
                     "task.vocab is %ld; with task.n = %ld and task.length = %ld no valid sequence "
                     "was found in %d tries; raise task.vocab.",
                     c->vocab, c->n, c->length, MAX_TRIES);
}

/* Is the (N-1)-gram at the end of the query also at .. j, before the query, without being part of
 * an occurrence, and followed by another token than the answer? */
static bool is_distractor(const int *x, int n, int time, int i, int j) {
    return n > 1 && j != i && x[j + 1] != x[i + 1] && same(x + j - n + 2, x + time - n + 1, n - 1);
}

static int count_distractors(const int *x, int n, int time, int i) {
    int count = 0;
    for (int j = n - 1; j < time - n - 1; j++) count += is_distractor(x, n, time, i, j);
    return count;
}

static void nar_draw(const task_set *s, rng *g, task_example *out) {
    const nar *c = s->config;
    const int n = (int)c->n, last = s->time - 1;
    int i = 0;
    while (!i) i = nar_try(c, g, out->ids, s->time);
    for (int t = 0; c->loss == LOSS_ALL && t < last; t++) out->labels[t] = out->ids[t + 1];
    out->labels[last] = out->ids[i + 1];
    if (!out->slice) return;
    slice_set(s, out, 0, last, n);
    slice_set(s, out, 1, last, bucket_of(last - i));
    slice_set(s, out, 2, last, bucket_of(count_distractors(out->ids, n, s->time, i)));
}

static int first_occurrence(const int *x, int n, int time) { /* its end, i */
    int i = n;
    while (!same(x + i - n + 1, x + time - n, n)) i++;
    return i;
}

static const char *nar_role(const task_set *s, const task_example *x, int t) {
    const int n = (int)((const nar *)s->config)->n, i = first_occurrence(x->ids, n, s->time);
    if (!t) return "BOS";
    if (t >= s->time - n) return "query";
    if (t > i - n && t <= i) return "key";
    if (t == i + 1) return "value";
    for (int j = t; n > 1 && j < t + n - 1 && j < s->time - n - 1; j++)
        if (j >= n - 1 && is_distractor(x->ids, n, s->time, i, j)) return "near";
    return "";
}

static void nar_show(const task_set *s, const task_example *x, void *file) {
    show_columns(file, s, x, nar_role);
}

/* Counts, by dynamic programming, the examples whose query is a..ab with b != a (for N = 1: any
 * token): most of all examples, and a bound from below. State: tokens a seen last, capped at N-1;
 * twice, before and after the first occurrence. With distractors, the planted one is put first. */
static double nar_log2(const task_set *s) {
    const nar *c = s->config;
    const int n = (int)c->n, context = s->time - 1 - n - (c->distractors ? n : 0);
    const double others = (double)c->vocab - (n > 1 ? 3 : 2);
    double count[2][MAX_N] = {{1}}, scale = 0; /* counts are times 2^scale */
    for (int t = 1; t <= context; t++) {
        double next[2][MAX_N] = {{0}}, total = 0;
        for (int seen = 0; seen < 2; seen++)
            for (int j = 0; j < n; j++) {
                double ways = count[seen][j];
                bool full = j == n - 1;
                next[seen][0] += ways * others;                       /* neither a nor b */
                if (n > 1) next[seen][full ? j : j + 1] += ways;      /* a */
                if (!full) next[seen][0] += ways;                     /* b, no occurrence */
                if (full && !seen && t < context) next[1][0] += ways; /* b, the occurrence */
            }
        for (int j = 0; j < n; j++) total += next[0][j] + next[1][j];
        int exponent = ilogb(total);
        scale += exponent;
        for (int j = 0; j < n; j++)
            for (int seen = 0; seen < 2; seen++) count[seen][j] = scalbn(next[seen][j], -exponent);
    }
    double sum = 0, queries = (double)(c->vocab - 1) * (n > 1 ? (double)(c->vocab - 2) : 1);
    for (int j = 0; j < n; j++) sum += count[1][j];
    return log2(sum * queries) + scale;
}

TASK(nar) = {.name = "nar",
             .summary = "N-gram associative recall: repeat what followed the last N tokens",
             .source = "CAT paper, N-gram associative recall; drawing rule ours",
             .fields = FIELD_TABLE(fields),
             .config_size = sizeof(nar),
             .open = nar_open,
             .draw = nar_draw,
             .show = nar_show,
             .log2_examples = nar_log2};
