/* delta_test.c - the gated delta rule in chunks against its definition: token by token, one matrix
 * per state, gradients by the chain rule of one token, all in double. A gradient check cannot see a
 * formula that is wrong in forward and backward alike. */
#include "float_fixture.h"

enum { C = DELTA_CHUNK, BATCH = 2 };

typedef struct shape {
    int time, heads, key, value;
    double lowest; /* log decay; 0: no decay */
} shape;

enum { Q, KEY, V, BETA, G, INPUTS };

/* What delta_fwd and delta_bwd read and write. */
typedef struct data {
    long n[INPUTS];
    float *in[INPUTS], *grad[INPUTS], *o, *dO;
    double *want[INPUTS], *want_o;
} data;

static data data_make(const shape *s) {
    const long rows = (long)BATCH * s->time * s->heads;
    data d = {.n = {rows * s->key, rows * s->key, rows * s->value, rows, rows}};
    const double size = sqrt(3.0 / s->key); /* keys of length 1 */
    const double lo[] = {-size, -size, -1, .05, s->lowest}, hi[] = {size, size, 1, 1, 0};
    for (int i = 0; i < INPUTS; i++) {
        d.in[i] = draw(d.n[i], lo[i], hi[i], i);
        d.grad[i] = draw(d.n[i], .5, .5, 0); /* backward adds */
        d.want[i] = test_calloc((size_t)d.n[i], sizeof *d.want[i]);
    }
    d.dO = draw(d.n[V], -1, 1, INPUTS);
    d.o = draw(d.n[V], NAN, NAN, 0);
    d.want_o = test_calloc((size_t)d.n[V], sizeof *d.want_o);
    return d;
}

static void data_free(data *d) {
    for (int i = 0; i < INPUTS; i++)
        test_free(d->in[i]), test_free(d->grad[i]), test_free(d->want[i]);
    test_free(d->o), test_free(d->dO), test_free(d->want_o);
}

/* One head of one sequence, whose token t is row `one + t heads` of all inputs. */
static void reference(data *d, const shape *s, long one) {
    const int K = s->key, W = s->value;
    const size_t size = (size_t)K * (size_t)W;
    double *S = test_calloc((size_t)(s->time + 1) * size, sizeof *S); /* S_t is before token t */
    double *dS = test_calloc(size, sizeof *dS), *P = test_malloc(size * sizeof *P);
    double *miss = test_malloc((size_t)W * sizeof *miss), *du = test_malloc((size_t)W * sizeof *du);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < s->time; i++) {
            const int t = pass ? s->time - 1 - i : i;
            const long row = one + (long)t * s->heads;
            const float *q = d->in[Q] + row * K, *k = d->in[KEY] + row * K;
            const float *v = d->in[V] + row * W, *dO = d->dO + row * W;
            const double a = exp(s->lowest < 0 ? (double)d->in[G][row] : 0);
            const double beta = (double)d->in[BETA][row];
            const double *before = S + (size_t)t * size;
            for (size_t e = 0; e < size; e++) P[e] = a * before[e];
            for (int c = 0; c < W; c++) {
                miss[c] = (double)v[c];
                for (int r = 0; r < K; r++) miss[c] -= P[r * W + c] * (double)k[r];
            }
            if (!pass) {
                double *after = S + (size_t)(t + 1) * size;
                for (int r = 0; r < K; r++)
                    for (int c = 0; c < W; c++) {
                        after[r * W + c] = P[r * W + c] + (double)k[r] * beta * miss[c];
                        d->want_o[row * W + c] += after[r * W + c] * (double)q[r];
                    }
                continue;
            }
            const double *after = S + (size_t)(t + 1) * size;
            for (int c = 0; c < W; c++) {
                du[c] = 0;
                for (int r = 0; r < K; r++) {
                    d->want[Q][row * K + r] += after[r * W + c] * (double)dO[c];
                    dS[r * W + c] += (double)q[r] * (double)dO[c];
                    du[c] += dS[r * W + c] * (double)k[r];
                }
                d->want[V][row * W + c] = beta * du[c];
                d->want[BETA][row] += du[c] * miss[c];
            }
            for (int r = 0; r < K; r++)
                for (int c = 0; c < W; c++) {
                    const size_t e = (size_t)(r * W + c);
                    d->want[KEY][row * K + r] += dS[e] * beta * miss[c] - P[e] * beta * du[c];
                    const double dP = dS[e] - (double)k[r] * beta * du[c];
                    d->want[G][row] += dP * P[e];
                    dS[e] = a * dP;
                }
        }
    test_free(S), test_free(dS), test_free(P), test_free(miss), test_free(du);
}

static const char *text_of(const shape *s) {
    static char text[96];
    snprintf(text, sizeof text, "%d tokens, %d heads, %d x %d, decay %g", s->time, s->heads, s->key,
             s->value, s->lowest);
    return text;
}

static void check(const shape *s) {
    data d = data_make(s);
    for (int b = 0; b < BATCH; b++)
        for (int h = 0; h < s->heads; h++) reference(&d, s, (long)b * s->time * s->heads + h);
    const size_t n = delta_work(s->time, s->key, s->value);
    float *work = draw((long)n, NAN, NAN, 0);
    const float *g = s->lowest < 0 ? d.in[G] : NULL;
    cpu()->delta_fwd(d.o, d.in[Q], d.in[KEY], d.in[V], d.in[BETA], g, work, 1, BATCH, s->time,
                     s->heads, s->key, s->value);
    for (size_t i = 0; i < n; i++) work[i] = NAN;
    cpu()->delta_bwd(d.grad[Q], d.grad[KEY], d.grad[V], d.grad[BETA], g ? d.grad[G] : NULL, d.dO,
                     d.in[Q], d.in[KEY], d.in[V], d.in[BETA], g, work, 1, BATCH, s->time, s->heads,
                     s->key, s->value);
    static const char *const names[] = {"dq", "dk", "dv", "dbeta", "dg"};
    compare("o", d.o, 0, d.want_o, d.n[V], text_of(s));
    for (int i = 0; i < (g ? INPUTS : G); i++)
        compare(names[i], d.grad[i], .5, d.want[i], d.n[i], text_of(s));
    test_free(work);
    data_free(&d);
}

static void test_lengths_around_chunks(void **state) {
    (void)state;
    static const int times[] = {1, 2, C - 1, C, C + 1, 2 * C, 2 * C + 1, 5 * C + 3};
    static const double lowest[] = {0, -1, -30};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        for (size_t l = 0; l < sizeof lowest / sizeof *lowest; l++)
            check(&(shape){times[i], 2, 6, 10, lowest[l]});
}

static void test_widths(void **state) {
    (void)state;
    static const int widths[][2] = {{1, 1},   {1, 20},  {20, 1}, {16, 16},
                                    {33, 17}, {300, 4}, {3, 70}};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int heads = 1; heads <= 3; heads += 2)
            check(&(shape){2 * C + 1, heads, widths[i][0], widths[i][1], heads > 1 ? -1 : 0});
}

/* Decays whose product over a chunk underflows, and a log decay of minus infinity. */
static void test_a_state_can_be_forgotten(void **state) {
    (void)state;
    const shape s = {3 * C, 1, 5, 7, -1000};
    check(&s);
    data d = data_make(&s);
    float *work = draw((long)delta_work(s.time, s.key, s.value), NAN, NAN, 0);
    for (long i = 0; i < d.n[G]; i++) d.in[G][i] = i % 3 ? -.1F : -INFINITY;
    for (int b = 0; b < BATCH; b++) reference(&d, &s, (long)b * s.time);
    cpu()->delta_fwd(d.o, d.in[Q], d.in[KEY], d.in[V], d.in[BETA], d.in[G], work, 1, BATCH, s.time,
                     1, s.key, s.value);
    compare("o", d.o, 0, d.want_o, d.n[V], text_of(&s));
    test_free(work);
    data_free(&d);
}

/* A token's output has the same bits however many tokens follow, and whatever they are. */
static void test_later_tokens_do_not_matter(void **state) {
    (void)state;
    const shape s = {3 * C, 2, 33, 17, -1};
    data d = data_make(&s);
    const long row = s.heads * s.value;
    float *work = draw((long)delta_work(s.time, s.key, s.value), NAN, NAN, 0);
    float *part = draw(s.time * row, NAN, NAN, 0);
    for (int time = 1; time <= s.time; time += C / 4 + 1)
        for (int b = 0; b < 2; b++) {
            float *o = b ? part : d.o;
            cpu()->delta_fwd(o, d.in[Q], d.in[KEY], d.in[V], d.in[BETA], d.in[G], work, 1, 1,
                             b ? time : s.time, s.heads, s.key, s.value);
            if (b) assert_memory_equal(part, d.o, (size_t)(time * row) * sizeof *part);
        }
    test_free(work), test_free(part);
    data_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths_around_chunks),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_a_state_can_be_forgotten),
        cmocka_unit_test(test_later_tokens_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
