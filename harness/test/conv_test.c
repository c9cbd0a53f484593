/* conv_test.c - kinds and places of convolutions: parameter counts against the published ones, what
 * a model with them is at the start, and settings that cannot work. */
#include "mixer_fixture.h"

/* ---- parameters -------------------------------------------------------------------------- */

typedef struct counted {
    const char *setting[4];
    long params;    /* exact, from the formulas of conv.h */
    double million; /* as published, one decimal */
} counted;

/* d = 1024, 16 layers, SwiGLU of 2752, 100,352 words, tied head, convolutions on q, k and v. */
enum { PLAIN = 305169408, STREAMS = 3 * 16, WIDE = 1024 };
#define RANKED(rank, width) (PLAIN + STREAMS * WIDE * ((rank) + ((rank) + 1L) * (width)))
#define HEADED(size)        (PLAIN + STREAMS * (4L * WIDE * WIDE / (size) + 4 * WIDE))
#define LOWRANK             "model.conv.kind=dynamic_lowrank"
#define HEAD                "model.conv.kind=dynamic_head"

static const counted counts[] = {
    {{"model.mixer=attention"}, PLAIN, 305.2},
    {{LOWRANK, "model.conv.width=1"}, RANKED(16, 1), 306.8},
    {{LOWRANK, "model.conv.width=2"}, RANKED(16, 2), 307.6},
    {{LOWRANK, "model.conv.width=3"}, RANKED(16, 3), 308.5},
    {{LOWRANK, "model.conv.width=4"}, RANKED(16, 4), 309.3},
    {{LOWRANK, "model.conv.width=5"}, RANKED(16, 5), 310.1},
    {{LOWRANK, "model.conv.width=6"}, RANKED(16, 6), 311.0},
    {{LOWRANK, "model.conv.width=4", "model.conv.rank=4"}, RANKED(4, 4), 306.3},
    {{LOWRANK, "model.conv.width=4", "model.conv.rank=8"}, RANKED(8, 4), 307.3},
    {{LOWRANK, "model.conv.width=4", "model.conv.rank=32"}, RANKED(32, 4), 313.2},
    {{LOWRANK, "model.conv.width=4", "model.conv.rank=64"}, RANKED(64, 4), 321.1},
    {{LOWRANK, "model.conv.width=4", "model.conv.rank=128"}, RANKED(128, 4), 336.8},
    {{HEAD, "model.conv.width=4", "model.conv.head_size=8"}, HEADED(8), 330.5},
    {{HEAD, "model.conv.width=4", "model.conv.head_size=128"}, HEADED(128), 306.9},
    {{"model.conv.kind=scalar"}, PLAIN + STREAMS * 16 * 3, 305.2},
    {{"model.conv.kind=depthwise"}, PLAIN + STREAMS *WIDE * 3, 305.3},
    {{"model.conv.kind=mixhead"}, PLAIN + STREAMS * 16 * 16 * 3, 305.2},
    {{"model.conv.kind=softmax"}, PLAIN + STREAMS * 16 * 3, 305.2},
    {{"model.conv.kind=dynamic_softmax"}, PLAIN + STREAMS *WIDE * 16 * 3, 307.5},
    {{"model.conv.kind=ssm", "model.conv.state=8"}, PLAIN + STREAMS *WIDE * 16, 306.0},
    {{"model.mixer=attention", "model.canon=[a,b,c,d]"},
     PLAIN + 16 * 4 * (5 * WIDE + 2 * 2752),
     305.8},
    {{"model.mixer=attention", "model.after_linear=depthwise", "model.linear_conv.width=4"},
     PLAIN + 16 * 4 * (5 * WIDE + 2 * 2752),
     305.8},
};

static void test_parameters_are_the_published_ones(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const char *setting[10] = {"model.mixer=cat",  "model.d_model=1024",   "model.layers=16",
                                   "model.ffn=swiglu", "model.ffn_inner=2752", "model.heads=16"};
        int n = 6;
        for (int k = 0; k < 4 && counts[i].setting[k]; k++) setting[n++] = counts[i].setting[k];
        const bool attention = !strcmp(setting[6], "model.mixer=attention");
        subject s;
        model_cost cost;
        error e = {0};
        read_subject(&s, attention ? setting + 1 : setting, attention ? n - 1 : n);
        s.spec.vocab = 100352;
        if (model_measure(&cost, &s.spec, T, &e)) fail_msg("%s: %s", s.name, e.text);
        if (cost.params != counts[i].params)
            fail_msg("%s: %ld parameters, not %ld", s.name, cost.params, counts[i].params);
        if (!(fabs((double)cost.params / 1e6 - counts[i].million) < .0501))
            fail_msg("%s: %ld parameters, not %.1f M", s.name, cost.params, counts[i].million);
        arena_free(s.arena);
    }
}

/* ---- models that are the same ------------------------------------------------------------ */

typedef struct pair {
    const char *setting[2][5];
} pair;

static void logits_of(double *logits, const char *const *setting) {
    subject s;
    rig r;
    int n = 0;
    while (n < 5 && setting[n]) n++;
    read_subject(&s, setting, n);
    make_rig(&r, &s, "f64", 1, 3, false, HEAD_LOGITS);
    graph_forward(r.tape.model.g);
    backend_get_reals(r.backend, logits, r.tape.model.logits->x, B * T * V);
    drop_rig(&r);
    arena_free(s.arena);
}

static bool same(const pair *p) {
    double logits[2][B * T * V], off = 0;
    for (int i = 0; i < 2; i++) logits_of(logits[i], p->setting[i]);
    for (int i = 0; i < B * T * V; i++)
        off = fmax(off, fabs(logits[0][i] - logits[1][i]) / (1 + fabs(logits[0][i])));
    return off < 1e-12;
}

static void expect_same(const pair *p, int n) {
    for (int i = 0; i < n; i++)
        if (!same(&p[i]))
            fail_msg("%s %s: is not its equal", p[i].setting[0][0], p[i].setting[0][1]);
}
#define EXPECT_SAME(pairs) expect_same(pairs, (int)(sizeof(pairs) / sizeof *(pairs)))

static void test_dynamic_taps_start_as_static_ones(void **state) {
    (void)state;
    static const pair pairs[] = {
        {{{"model.mixer=cat", "model.conv.kind=dynamic_lowrank", "model.conv.residual=true"},
          {"model.mixer=cat", "model.conv.kind=depthwise", "model.conv.residual=true"}}},
        {{{"model.mixer=cat", "model.conv.kind=dynamic_head", "model.conv.head_size=4",
           "model.conv.bias=true"},
          {"model.mixer=cat", "model.conv.kind=depthwise", "model.conv.bias=true"}}},
        {{{"model.mixer=deltanet", "model.conv_kind=dynamic_lowrank"}, {"model.mixer=deltanet"}}},
        {{{"model.mixer=gated_deltanet", "model.conv_kind=dynamic_head"},
          {"model.mixer=gated_deltanet"}}},
        {{{"model.mixer=mamba2", "model.conv_kind=dynamic_lowrank"}, {"model.mixer=mamba2"}}},
        {{{"model.after_linear=dynamic_head", "model.ffn=swiglu"},
          {"model.after_linear=depthwise", "model.ffn=swiglu"}}},
    };
    EXPECT_SAME(pairs);
}

static void test_kinds_that_coincide(void **state) {
    (void)state;
    static const pair pairs[] = {
        /* one head to mix; the softmax of one lag; one head of all channels */
        {{{"model.mixer=cat", "model.conv.kind=mixhead"}, {"model.mixer=cat"}}},
        {{{"model.mixer=cat", "model.conv.kind=softmax", "model.conv.width=1"},
          {"model.mixer=attention"}}},
        {{{"model.mixer=cat", "model.conv.kind=dynamic_softmax", "model.conv.width=1"},
          {"model.mixer=attention"}}},
        /* taps on the current token only */
        {{{"model.mixer=cat", "model.conv.kind=mixhead", "model.heads=4",
           "model.conv.init=identity"},
          {"model.mixer=attention", "model.heads=4"}}},
        {{{"model.mixer=cat", "model.conv.kind=long", "model.conv.init=identity"},
          {"model.mixer=attention"}}},
        /* layers whose convolution starts at 0 */
        {{{"model.mixer=cat", "model.canon=[a,b,c,d]", "model.ffn=swiglu"},
          {"model.mixer=cat", "model.ffn=swiglu"}}},
        {{{"model.after_linear=dynamic_lowrank", "model.linear_conv.init=zero"},
          {"model.layers=1"}}},
    };
    EXPECT_SAME(pairs);
}

static void test_models_that_differ_are_seen(void **state) {
    (void)state;
    static const pair pairs[] = {
        {{{"model.mixer=cat", "model.canon=[b]", "model.canon_init=uniform"}, {"model.mixer=cat"}}},
        {{{"model.after_linear=scalar"}, {"model.layers=1"}}},
        {{{"model.mixer=cat", "model.conv.kind=ssm"}, {"model.mixer=cat", "model.conv.kind=long"}}},
        {{{"model.mixer=cat", "model.conv.kind=long", "model.conv.implicit=true"},
          {"model.mixer=cat", "model.conv.kind=long"}}},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) assert_false(same(&pairs[i]));
}

/* ---- settings that cannot work ----------------------------------------------------------- */

static void expect_refusal(const char *const *setting, int n, const char *sentence) {
    const char *all[8] = {"task.name=nar", "model.d_model=12"};
    arena *a = arena_new();
    for (int i = 0; i < n; i++) all[2 + i] = setting[i];
    diag *d = diag_new(a);
    assert_null(config_from_settings(a, catalog_schema(), all, 2 + n, d));
    error e = {0};
    diag_first(d, &e);
    if (!strstr(e.text, sentence)) fail_msg("%s: %s", setting[0], e.text);
    arena_free(a);
}
#define EXPECT_REFUSAL(sentence, ...)                                                              \
    expect_refusal((const char *const[]){__VA_ARGS__},                                             \
                   (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), sentence)

static void test_refusals_name_setting_and_reason(void **state) {
    (void)state;
    EXPECT_REFUSAL("model.conv.head_size: 5 does not divide 12 channels", "model.mixer=cat",
                   "model.conv.kind=dynamic_head", "model.conv.head_size=5");
    EXPECT_REFUSAL("model.conv.init: identity has no finite logits", "model.mixer=cat",
                   "model.conv.kind=softmax", "model.conv.init=identity");
    EXPECT_REFUSAL("model.heads: 5 does not divide", "model.mixer=cat", "model.conv.kind=mixhead",
                   "model.heads=5");
    EXPECT_REFUSAL("model.conv_head_size: 8 does not divide 12 channels", "model.mixer=deltanet",
                   "model.conv_kind=dynamic_head", "model.conv_head_size=8");
    EXPECT_REFUSAL("model.linear_conv.head_size: 8 does not divide 12 channels",
                   "model.after_linear=dynamic_head", "model.linear_conv.head_size=8");
    EXPECT_REFUSAL("model.canon: places c and d need a feed-forward part", "model.canon=[d]");
}

/* What only building shows: the mixer has no place for it, a layer is of another width. */
static void test_refusals_of_the_builder(void **state) {
    (void)state;
    static const struct {
        const char *setting[4], *sentence;
    } wrong[] = {
        {{"model.mixer=mamba", "model.canon=[a,b]"}, "place b needs a mixer with queries"},
        {{"model.after_linear=dynamic_head", "model.linear_conv.head_size=4", "model.ffn=swiglu",
          "model.ffn_inner=18"},
         "layer 0, wg.conv: head_size: 4 does not divide 18 channels"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        subject s;
        model_cost cost;
        error e = {0};
        int n = 0;
        while (n < 4 && wrong[i].setting[n]) n++;
        read_subject(&s, wrong[i].setting, n);
        assert_int_equal(model_measure(&cost, &s.spec, T, &e), STATUS_USAGE);
        if (!strstr(e.text, wrong[i].sentence)) fail_msg("%s", e.text);
        arena_free(s.arena);
    }
}

static void test_state_counts_what_convolutions_keep(void **state) {
    (void)state;
    static const char *const setting[][2] = {
        {"model.layers=1"},
        {"model.canon=[a,b]"},            /* 4 streams of 8 channels, 3 tokens back */
        {"model.after_linear=depthwise"}, /* 4 streams, 2 tokens back */
        {"model.after_linear=ssm"},       /* 4 streams of 16 exponentials */
    };
    const double more[] = {0, 4 * 3 * 8, 4 * 2 * 8, 4 * 16 * 8};
    double plain = 0;
    for (int i = 0; i < 4; i++) {
        subject s;
        model_cost cost;
        error e = {0};
        read_subject(&s, setting[i], 1);
        assert_int_equal(model_measure(&cost, &s.spec, T, &e), STATUS_OK);
        if (!i) plain = cost.state_size;
        assert_true(cost.state_size == plain + more[i]);
        arena_free(s.arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters_are_the_published_ones),
        cmocka_unit_test(test_dynamic_taps_start_as_static_ones),
        cmocka_unit_test(test_kinds_that_coincide),
        cmocka_unit_test(test_models_that_differ_are_seen),
        cmocka_unit_test(test_refusals_name_setting_and_reason),
        cmocka_unit_test(test_refusals_of_the_builder),
        cmocka_unit_test(test_state_counts_what_convolutions_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
