/* mixer_test.c - whole models, for every mixer of the registry and the options that change its
 * math: gradient along random directions in double, causality, packed = alone. That mixers learn is
 * in learn_test.c. */
#include "kernels/core/op.h"
#include "mixer_fixture.h"

/* Beside the defaults of every mixer: settings that take another path through its code. */
static const char *const variants[][5] = {
    {"model.mixer=attention", "model.position=rope", "model.heads=2", "model.qk_norm=rms"},
    {"model.mixer=attention", "model.position=alibi", "model.heads=4", "model.qk_norm=l2"},
    {"model.mixer=attention", "model.position=learned", "model.window=5", "model.norm=layernorm"},
    {"model.mixer=attention", "model.position=sinusoidal", "model.bias=true", "model.ffn=gelu"},
    {"model.mixer=attention", "model.ffn=swiglu", "model.tie_head=false", "model.layers=2"},
    {"model.mixer=attention", "model.heads=4", "model.kv_heads=2", "model.qk_norm=l2",
     "model.position=rope"},
    {"model.mixer=based", "model.heads=2", "model.feature_dim=3"},
    {"model.mixer=performer", "model.heads=2", "model.features=9", "model.eps=0.001"},
    {"model.mixer=convplus", "model.offsets=[0, 5]", "model.metric=identity", "model.bias=true"},
    {"model.mixer=convplus", "model.offsets=[2]", "model.attend=false"},
    {"model.mixer=convplus", "model.offsets=[]"},
    {"model.mixer=acmix", "model.heads=2", "model.width=20", "model.position=rope",
     "model.qk_norm=rms"},
    {"model.mixer=lcat", "model.select=soft", "model.heads=2", "model.position=rope"},
    {"model.mixer=lcat", "model.select=soft", "model.block=5", "model.landmark_width=7",
     "model.conv.on=[]"},
    {"model.mixer=lcat", "model.straight_through=false", "model.heads=2", "model.block=3"},
    {"model.mixer=lcat", "model.straight_through=false", "model.top_k=2", "model.block=1"},
    {"model.mixer=lcat", "model.straight_through=false", "model.block=20"},
    {"model.mixers=[cat,cat,attention]", "model.layers=3", "model.heads@attention=2"},
    {"model.mixer=cat", "model.conv.kind=depthwise", "model.conv.width=4", "model.conv.bias=true"},
    {"model.mixer=cat", "model.conv.on=[q]", "model.heads=2", "model.conv.dilation=3"},
    {"model.mixer=cat", "model.conv.on=[k]", "model.conv.width=20", "model.qk_norm=pre"},
    {"model.mixer=cat", "model.conv.on=[v]", "model.conv.place=pre", "model.qk_norm=post"},
    {"model.mixer=cat", "model.conv.residual=true", "model.conv.activation=silu",
     "model.conv.init=identity"},
    {"model.mixer=cat", "model.conv.init=normal", "model.heads=2", "model.qk_norm=post",
     "model.position=rope"},
    {"model.mixer=cat", "model.conv.kind=mixhead", "model.heads=2", "model.conv.bias=true"},
    {"model.mixer=cat", "model.conv.kind=mixhead", "model.heads=4", "model.conv.init=identity"},
    {"model.mixer=cat", "model.conv.kind=dynamic_lowrank", "model.conv.rank=3",
     "model.conv.residual=true", "model.conv.dilation=2"},
    {"model.mixer=cat", "model.conv.kind=dynamic_lowrank", "model.conv.place=pre",
     "model.conv.width=20", "model.conv.bias=true"},
    {"model.mixer=cat", "model.conv.kind=dynamic_head", "model.conv.head_size=2", "model.heads=2",
     "model.conv.on=[k,v]"},
    {"model.mixer=cat", "model.conv.kind=softmax", "model.heads=2", "model.conv.init=zero"},
    {"model.mixer=cat", "model.conv.kind=dynamic_softmax", "model.heads=4", "model.conv.width=4"},
    {"model.mixer=cat", "model.conv.kind=long", "model.heads=2", "model.conv.on=[q,v]"},
    {"model.mixer=cat", "model.conv.kind=long", "model.conv.implicit=true", "model.conv.bias=true"},
    {"model.mixer=cat", "model.conv.kind=ssm", "model.conv.state=3", "model.conv.residual=true"},
    {"model.after_linear=dynamic_lowrank", "model.linear_conv.rank=2", "model.ffn=swiglu",
     "model.layers=2"},
    {"model.after_linear=dynamic_head", "model.linear_conv.head_size=4", "model.ffn=gelu",
     "model.bias=true"},
    {"model.after_linear=softmax", "model.mixer=mamba", "model.linear_conv.activation=silu"},
    {"model.canon=[a,b,c,d]", "model.ffn=swiglu", "model.canon_init=normal", "model.mixer=cat"},
    {"model.canon=[b,c,d]", "model.ffn=gelu", "model.mixer=linear", "model.canon_width=2"},
    {"model.canon=[a,b,d]", "model.ffn=rwkv", "model.mixer=deltanet", "model.heads=2"},
    {"model.mixer=deltanet", "model.conv_kind=dynamic_lowrank", "model.conv_rank=2"},
    {"model.mixer=gated_deltanet", "model.conv_kind=dynamic_head", "model.conv_head_size=2"},
    {"model.mixer=mamba2", "model.conv_kind=dynamic_lowrank", "model.state=6"},
    {"model.mixer=mamba2", "model.conv_kind=dynamic_head", "model.conv_head_size=4",
     "model.state=8"},
    {"model.ffn=moe", "model.aux_loss=0", "model.experts=5", "model.ffn_inner=6"},
    {"model.ffn=moe", "model.aux_loss=3", "model.top_k=1", "model.layers=2"},
    {"model.linear=bit158", "model.ffn=swiglu", "model.bias=true", "model.mixer=cat"},
    {"model.linear=bit158", "model.ffn=moe", "model.mixer=mamba"},
};
enum { N_VARIANT = sizeof variants / sizeof *variants };

static void for_all(void (*check)(const subject *)) {
    for (int i = 0; i < n_mixers + N_VARIANT; i++) {
        subject s;
        char mixer_setting[64];
        const char *only[1] = {mixer_setting};
        if (i < n_mixers) {
            snprintf(mixer_setting, sizeof mixer_setting, "model.mixer=%s", mixers[i]->name);
            read_subject(&s, only, 1);
        } else {
            int n = 0;
            while (n < 5 && variants[i - n_mixers][n]) n++;
            read_subject(&s, variants[i - n_mixers], n);
        }
        check(&s);
        arena_free(s.arena);
    }
}

/* A loss beside the cross-entropy joins the tape at a node `charge`, and lives no longer. */
static double charge_of(const node *n) {
    if (strcmp(n->op->name, "charge") != 0) return 0;
    const double *loss = n->in[1]->x;
    double sum = 0;
    for (size_t i = 0; i < n->in[1]->n; i++) sum += loss[i];
    return n->arg.scale * sum;
}

/* In double, through the root. */
static double loss_of(rig *r) {
    graph *g = r->tape.model.g;
    double nll[B * T], sum = 0;
    for (int i = 0; i < g->n_node; i++) {
        g->node[i].op->fwd(&g->node[i], r->backend->kernels);
        sum += charge_of(&g->node[i]);
    }
    backend_get_reals(r->backend, nll, r->tape.model.nll->x, B * T);
    for (int i = 0; i < B * T; i++) sum += .05 * nll[i];
    return sum;
}

/* Roundings of bit158 have no slope, and a straight-through gradient (the default of lcat) is a
 * surrogate, no derivative: these are checked op by op. */
static bool has_surrogate(const subject *s) {
    return s->spec.common.linear == LINEAR_BIT158 || !strcmp(s->name, "model.mixer=lcat ");
}

static void check_gradient(const subject *s) {
    rig r;
    if (has_surrogate(s)) return;
    make_rig(&r, s, "f64", 1, 3, true, HEAD_LOSS);
    graph *g = r.tape.model.g;
    double *p = r.param, *grad = r.grad;
    const long n = (long)g->param_n;
    rng move = rng_start(rng_key_make(9, "move", NULL, 0), 0, 0);
    for (int i = 0; i < g->n_param; i++) { /* where one factor starts at 0, gradients vanish */
        const tensor *t = g->param[i];
        for (size_t j = 0; j < t->n && t->start.kind == INIT_CONST && t->start.a == 0; j++)
            p[t->offset + j] = .4 * rng_uniform(&move) - .2;
    }
    graph_forward(g);
    graph_backward(g);
    double *direction = calloc((size_t)n, sizeof *direction);
    double *moves = calloc((size_t)n, sizeof *moves); /* 0: a parameter that is not trained */
    for (int i = 0; i < g->n_param; i++)
        for (size_t j = 0; j < g->param[i]->n; j++)
            moves[g->param[i]->offset + j] = !g->param[i]->fixed;
    for (int k = 0; k < 3; k++) {
        rng draw = rng_start(rng_key_make(7, "direction", NULL, 0), (uint64_t)k, 0);
        const double h = 1e-5;
        double predicted = 0;
        for (long i = 0; i < n; i++) {
            direction[i] = moves[i] * (2 * rng_uniform(&draw) - 1);
            predicted += direction[i] * grad[i];
        }
        for (long i = 0; i < n; i++) p[i] += h * direction[i];
        const double up = loss_of(&r);
        for (long i = 0; i < n; i++) p[i] -= 2 * h * direction[i];
        const double down = loss_of(&r);
        for (long i = 0; i < n; i++) p[i] += h * direction[i];
        const double measured = (up - down) / (2 * h);
        const double off = fabs(measured - predicted) / (1e-3 + fabs(measured) + fabs(predicted));
        if (!(off < 1e-6))
            fail_msg("%s: slope %.12g, gradient says %.12g", s->name, measured, predicted);
    }
    free(direction);
    free(moves);
    drop_rig(&r);
}

static void test_gradient_along_directions(void **state) {
    (void)state;
    for_all(check_gradient);
}

static void check_causality(const subject *s) {
    rig r;
    make_rig(&r, s, "f64", 1, 3, false, HEAD_LOGITS);
    graph *g = r.tape.model.g;
    const long n = (long)B * T * V;
    double *before = calloc((size_t)n, sizeof *before), *after = calloc((size_t)n, sizeof *after);
    graph_forward(g);
    backend_get_reals(r.backend, before, r.tape.model.logits->x, (size_t)n);
    const int changed = 7;
    int *ids = r.tape.model.ids->x;
    ids[changed] = (ids[changed] + 1) % V; /* of the first sequence */
    graph_forward(g);
    backend_get_reals(r.backend, after, r.tape.model.logits->x, (size_t)n);
    if (memcmp(before, after, (size_t)changed * V * sizeof *before))
        fail_msg("%s: token %d changes an earlier output", s->name, changed);
    if (memcmp(before + T * V, after + T * V, (size_t)T * V * sizeof *before))
        fail_msg("%s: a token of one sequence changes another", s->name);
    if (!memcmp(before + changed * V, after + changed * V, V * sizeof *before))
        fail_msg("%s: token %d changes nothing", s->name, changed);
    free(before);
    free(after);
    drop_rig(&r);
}

static void test_causality(void **state) {
    (void)state;
    for_all(check_causality);
}

static void check_pack(const subject *s) {
    rig pack;
    make_rig(&pack, s, "cpu", 3, 10, true, HEAD_LOSS);
    graph *g = pack.tape.model.g;
    graph_forward(g);
    graph_backward(g);
    for (int run = 0; run < 3; run++) {
        rig alone;
        make_rig(&alone, s, "cpu", 1, 10 + run, true, HEAD_LOSS);
        graph *one = alone.tape.model.g;
        graph_forward(one);
        graph_backward(one);
        for (int i = 0; i < one->n_param; i++) {
            const size_t bytes = one->param[i]->n * sizeof(float);
            if (memcmp(one->param[i]->g, (char *)g->param[i]->g + (size_t)run * bytes, bytes))
                fail_msg("%s: gradient of %s differs in a pack", s->name, one->param[i]->name);
        }
        drop_rig(&alone);
    }
    drop_rig(&pack);
}

static void test_packed_is_alone(void **state) {
    (void)state;
    for_all(check_pack);
}

/* A filter shared by all channels commutes with the projection. */
static void test_conv_place_is_free_for_a_shared_filter(void **state) {
    (void)state;
    const char *const settings[2][3] = {
        {"model.mixer=cat", "model.conv.place=pre", "model.conv.on=[q,k,v]"},
        {"model.mixer=cat", "model.conv.place=post", "model.conv.on=[q,k,v]"},
    };
    double logits[2][B * T * V];
    for (int i = 0; i < 2; i++) {
        subject s;
        rig r;
        read_subject(&s, settings[i], 3);
        make_rig(&r, &s, "f64", 1, 3, false, HEAD_LOGITS);
        graph_forward(r.tape.model.g);
        backend_get_reals(r.backend, logits[i], r.tape.model.logits->x, B * T * V);
        drop_rig(&r);
        arena_free(s.arena);
    }
    for (int i = 0; i < B * T * V; i++)
        assert_true(fabs(logits[0][i] - logits[1][i]) < 1e-12 * (1 + fabs(logits[0][i])));
}

/* The loss of a subject, and how far the gradient of a parameter is from zero. */
static double landmark_gradient(double *loss, const char *straight_through) {
    const char *const settings[] = {"model.mixer=lcat", "model.block=3", straight_through};
    subject s;
    rig r;
    read_subject(&s, settings, 3);
    make_rig(&r, &s, "f64", 1, 3, true, HEAD_LOSS);
    graph *g = r.tape.model.g;
    *loss = loss_of(&r);
    graph_forward(g);
    graph_backward(g);
    double sum = 0;
    for (int i = 0; i < g->n_param; i++)
        if (strstr(g->param[i]->name, ".landmark"))
            for (size_t j = 0; j < g->param[i]->n; j++) sum += fabs(((double *)g->param[i]->g)[j]);
    drop_rig(&r);
    arena_free(s.arena);
    return sum;
}

static void test_straight_through_changes_gradients_only(void **state) {
    (void)state;
    double with, without;
    assert_true(landmark_gradient(&with, "model.straight_through=true") > 1e-9);
    assert_true(landmark_gradient(&without, "model.straight_through=false") == 0);
    assert_true(with == without);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient_along_directions),
        cmocka_unit_test(test_causality),
        cmocka_unit_test(test_packed_is_alone),
        cmocka_unit_test(test_conv_place_is_free_for_a_shared_filter),
        cmocka_unit_test(test_straight_through_changes_gradients_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
