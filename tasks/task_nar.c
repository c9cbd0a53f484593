/* task_nar.c - N-gram associative recall: what followed the last N tokens the first time?
 *
 * T = length, last = T-1. x_0 = BOS = 0, all other tokens in 1 .. V-1. The query
 * q = x_{last-N+1 .. last} occurs as an N-gram exactly once earlier, ending at some i with
 * i+1 <= last-N; the answer is x_{i+1}. N = 1 is plain associative recall.
 *
 * Drawing. q is iid uniform, i is uniform over N .. last-N-1, and the other tokens are what iid
 * uniform tokens would be if redrawn until q occurs exactly twice. That distribution is drawn
 * directly, without redrawing (which would never end for small vocabularies): an automaton tracks
 * how much of q the last tokens match, its weights, computed from the end, say in how many ways a
 * state can be completed, and each token is drawn by the weights of the states it leads to.
 * distractors: the (N-1)-gram at the end of q occurs at least once more before the query, followed
 * by something else than the answer, so that an (N-1)-gram look-up cannot solve the task. One is
 * planted at a uniform place that does not overlap the first occurrence; more may arise by chance.
 *
 * Scored: position `last` with the answer; loss: all adds the next token at every position before.
 * The slices belong to the answer alone, so with loss: all read the recall accuracy there.
 * BOS matters: with causal zero padding and unit norms the first token a of a sequence would have
 * the same convolution signature as aa.
 *
 * Source: Li, Zhang, Huang and Oymak, "On the power of convolution augmented transformer" (CAT),
 * 2024, N-gram associative recall; no code was published. Ours: the exact drawing rule,
 * distractors, loss: all. Longer evaluation: only the haystack grows.
 * Cost: O(T N D) for D distinct tokens in q. */
#include "tasks/display.h"

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

/* The matcher of q: state j < N says that the last j tokens are the longest beginning of q. */
typedef struct matcher {
    int n, n_tokens, token[MAX_N]; /* the distinct tokens of q; all others lead to state 0 */
    int next[MAX_N][MAX_N];        /* [n, n_tokens] new state; n: q is complete */
    int border;                    /* the state to go on from when q is complete */
} matcher;

static int token_class(const matcher *m, int token) { /* n_tokens: not in q */
    int k = 0;
    while (k < m->n_tokens && m->token[k] != token) k++;
    return k;
}

static void build_matcher(matcher *m, const int *q, int n) {
    m->n = n, m->n_tokens = 0, m->border = 0;
    for (int j = 0; j < n; j++) {
        int k = token_class(m, q[j]);
        if (k == m->n_tokens) m->token[m->n_tokens++] = q[j];
    }
    for (int j = 0; j < n; j++) { /* border: of the first j tokens */
        int matching = token_class(m, q[j]);
        for (int k = 0; k < m->n_tokens; k++) m->next[j][k] = j ? m->next[m->border][k] : 0;
        int border = m->next[j][matching];
        m->next[j][matching] = j + 1;
        m->border = border;
    }
}

/* Weight left when the token of class k is read in state j: 0 where it completes q unplanned. */
static double weight_after(const matcher *m, const double *next_row, int j, int k, bool planned) {
    if (k == m->n_tokens) return next_row[0];
    int state = m->next[j][k];
    return state < m->n ? next_row[state] : planned ? next_row[m->border] : 0;
}

/* w [time+1, n]: w[t, j] is proportional, in each row, to the number of ways to fill the unset
 * places from t on, in state j before t, so that q is completed at i and last only. */
static void weigh(double *w, const int *x, const matcher *m, int i, int time, int vocab) {
    const int n = m->n;
    const double share = 1 / (double)(vocab - 1), others = (vocab - 1 - m->n_tokens) * share;
    for (int j = 0; j < n; j++) w[(long)time * n + j] = 1;
    for (int t = time - 1; t > 0; t--) {
        double *row = w + (long)t * n, *next_row = row + n, most = 0;
        const bool planned = t == i || t == time - 1;
        const int fixed = x[t] == UNSET ? UNSET : token_class(m, x[t]);
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = 0; fixed == UNSET && k < m->n_tokens; k++)
                sum += weight_after(m, next_row, j, k, planned);
            row[j] = fixed == UNSET ? sum * share + next_row[0] * others
                                    : weight_after(m, next_row, j, fixed, planned);
            most = row[j] > most ? row[j] : most;
        }
        for (int j = 0; most < 0x1p-500 && j < n; j++) row[j] *= 0x1p500; /* only ratios count */
    }
}

/* Draws one token in state j by the weights of the states it leads to. */
static int draw_token(rng *g, const matcher *m, const double *next_row, int j, int vocab) {
    const double others = (vocab - 1 - m->n_tokens) * next_row[0];
    double total = others;
    int k = 0, possible = 0;
    for (k = 0; k < m->n_tokens; k++) total += weight_after(m, next_row, j, k, false);
    double u = rng_uniform(g) * total - others;
    if (u < 0) {
        int token;
        do token = 1 + (int)rng_below(g, (uint32_t)vocab - 1);
        while (token_class(m, token) < m->n_tokens);
        return token;
    }
    for (k = 0; k < m->n_tokens; k++) {
        double weight = weight_after(m, next_row, j, k, false);
        if (weight > 0) possible = k; /* where rounding leaves u at the very end */
        if (u < weight) break;
        u -= weight;
    }
    return m->token[k < m->n_tokens ? k : possible];
}

/* Fills the unset places of x. False: there is no way to. */
static bool fill(rng *g, int *x, double *w, const int *q, int n, int i, int time, int vocab) {
    matcher m;
    build_matcher(&m, q, n);
    weigh(w, x, &m, i, time, vocab);
    if (w[n] <= 0) return false; /* row 1, state 0: BOS is in no query */
    for (int t = 1, j = 0; t < time - n; t++) {
        if (x[t] == UNSET) x[t] = draw_token(g, &m, w + (long)(t + 1) * n, j, vocab);
        int k = token_class(&m, x[t]);
        j = k < m.n_tokens ? m.next[j][k] : 0;
        if (j == n) j = m.border;
    }
    return true;
}

/* One attempt at x [time], with scratch w [time+1, n]; returns i, or 0 when the example must be
 * started anew: no way to fill it, or planted and first occurrence overlap or go on alike. */
static int nar_try(const nar *c, rng *g, int *x, double *w, int time) {
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
    if (!fill(g, x, w, q, n, i, time, vocab)) return 0;
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
    double *w = ARENA_NEW(s->arena, double, (s->time + 1) * c->n);
    rng g = rng_start(s->key[SPLIT_TEST], UINT64_MAX, 0); /* an index no example has */
    for (int i = 0; i < MAX_TRIES; i++)
        if (nar_try(c, &g, x, w, s->time)) return STATUS_OK;
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
    arena *scratch = arena_new();
    double *w = ARENA_NEW(scratch, double, (s->time + 1) * c->n);
    int i = 0;
    while (!i) i = nar_try(c, g, out->ids, w, s->time);
    arena_free(scratch);
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
             .source = "Li et al. 2024 (CAT), N-gram associative recall; drawing rule ours",
             .fields = FIELD_TABLE(fields),
             .config_size = sizeof(nar),
             .open = nar_open,
             .draw = nar_draw,
             .show = nar_show,
             .log2_examples = nar_log2};
