/* convplus_test.c - the blend against its definition, written plainly, in double: all of it, and
 * the two mixers it contains (one shifted projection; attention between features alone). */
#include "kernels/core/op.h"
#include "kernels/core/rng.h"
#include "models/block.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka needs the three headers above */
#include <cmocka.h>

enum { B = 2, T = 9, C = 5, ROWS = B * T, LONGEST = 11 };

typedef struct blend {
    int n;
    long offset[3];
    bool attend, identity;
} blend;

/* Settings by name, as the struct is private to the mixer. */
static void set_fields(void *config, const mixer *m, blend *s) {
    for (int i = 0; i < m->fields.n; i++) {
        char *at = (char *)config + m->fields.field[i].offset;
        const char *name = m->fields.field[i].name;
        if (!strcmp(name, "offsets")) *(int_list *)at = (int_list){s->n, s->offset};
        if (!strcmp(name, "attend")) *(bool *)at = s->attend;
        if (!strcmp(name, "metric")) *(int *)at = s->identity;
    }
}

static const double *param(const graph *g, const char *name) {
    char full[64];
    snprintf(full, sizeof full, "layer.0.mixer.%s", name);
    for (int i = 0; i < g->n_param; i++)
        if (!strcmp(g->param[i]->name, full)) return g->param[i]->x;
    fail_msg("no parameter %s", full);
    return NULL;
}

/* out += share x w for a row. */
static void add_row(double *out, double share, const double *x, const double *w) {
    for (int o = 0; o < C; o++)
        for (int i = 0; i < C; i++) out[o] += share * x[i] * w[i * C + o];
}

static void add_attention(double *out, const graph *g, const blend *s, const double *x, int t) {
    double weight[T], total = 0;
    for (int j = 0; j <= t; j++) {
        double score = 0;
        for (int c = 0; c < C; c++) {
            const double m = s->identity ? 1 : param(g, "metric")[c];
            score += x[t * C + c] * m * x[j * C + c] / sqrt(C);
        }
        weight[j] = exp(score);
        total += weight[j];
    }
    for (int j = 0; j <= t; j++)
        add_row(out, *param(g, "b") * weight[j] / total, x + j * C, param(g, "wv"));
}

/* One sequence by the formula of the mixer's head comment. */
static void by_definition(double *out, const graph *g, const blend *s, const double *features) {
    double x[T * C];
    for (int i = 0; i < T * C; i++) x[i] = features[i] + param(g, "position")[i];
    memset(out, 0, T * C * sizeof *out);
    for (int t = 0; t < T; t++) {
        for (int k = 0; k < s->n; k++) {
            char weight[16], share[16];
            snprintf(weight, sizeof weight, "w%d", k);
            snprintf(share, sizeof share, "a%d", k);
            if (t >= s->offset[k])
                add_row(out + t * C, *param(g, share), x + (t - s->offset[k]) * C,
                        param(g, weight));
        }
        if (s->attend) add_attention(out + t * C, g, s, x, t);
    }
}

static void check_blend(blend s) {
    error e = {0};
    arena *a = arena_new();
    const backend *device = backend_find("f64", &e);
    const mixer *m = mixer_find("convplus");
    assert_non_null(device);
    assert_non_null(m);
    void *config = arena_alloc(a, m->config_size);
    set_fields(config, m, &s);
    model_spec spec = {.common = {.layers = 1, .d_model = C, .init_std = 0.7}, .max_time = LONGEST};
    graph *g = graph_new(a, device, 1);
    block b = {
        .g = g, .spec = &spec, .runs = 1, .batch = B, .time = T, .d_model = C, .part = "mixer"};
    tensor *x = graph_input(g, TENSOR_REAL, "x", DIM(1, B, T, C));
    tensor *y = m->build(&b, config, x);
    if (!y) fail_msg("%s", g->error.text);
    assert_int_equal(graph_plan(g, false, &e), STATUS_OK);
    void *memory = device->alloc(graph_arena_bytes(g), &e);
    double *values = device->alloc(graph_param_bytes(g), &e), want[T * C];
    graph_bind(g, memory, values, NULL);
    rng draw = rng_start(rng_key_make(2, "values", NULL, 0), 0, 0);
    for (size_t i = 0; i < g->param_n; i++) values[i] = rng_normal(&draw);
    for (int i = 0; i < ROWS * C; i++) ((double *)x->x)[i] = rng_normal(&draw);
    double kept[ROWS * C];
    memcpy(kept, x->x, sizeof kept);
    graph_forward(g);
    for (int i = 0; i < B; i++) {
        by_definition(want, g, &s, kept + i * T * C);
        for (int j = 0; j < T * C; j++) {
            const double got = ((double *)y->x)[i * T * C + j];
            if (!(fabs(got - want[j]) < 1e-11 * (1 + fabs(want[j]))))
                fail_msg("element %d: %.15g, not %.15g", i * T * C + j, got, want[j]);
        }
    }
    device->release(values);
    device->release(memory);
    arena_free(a);
}

static void test_one_offset_is_a_shifted_projection(void **state) {
    (void)state;
    check_blend((blend){.n = 1, .offset = {2}});
    check_blend((blend){.n = 1, .offset = {T + 3}});
}

static void test_no_offset_is_attention_on_features(void **state) {
    (void)state;
    check_blend((blend){.attend = true, .identity = true});
    check_blend((blend){.attend = true});
}

static void test_blend(void **state) {
    (void)state;
    check_blend((blend){.n = 3, .offset = {0, 4, 1}, .attend = true});
    check_blend((blend){.n = 2, .offset = {3, 3}, .attend = true, .identity = true});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_offset_is_a_shifted_projection),
        cmocka_unit_test(test_no_offset_is_attention_on_features),
        cmocka_unit_test(test_blend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
