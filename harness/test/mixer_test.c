/* mixer_test.c - whole models, for every mixer of the registry and the options that change its
 * math: gradient along random directions in double, causality, packed = alone, learning a copy
 * task. */
#include "harness/catalog.h"
#include "harness/trainer.h"
#include "kernels/core/op.h"

// cmocka needs these four before it
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// and is last
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Beside the defaults of every mixer: settings that take another path through its code. */
static const char *const variants[][5] = {
    {"model.mixer=attention", "model.position=rope", "model.heads=2", "model.qk_norm=rms"},
    {"model.mixer=attention", "model.position=alibi", "model.heads=4", "model.qk_norm=l2"},
    {"model.mixer=attention", "model.position=learned", "model.window=5", "model.norm=layernorm"},
    {"model.mixer=attention", "model.position=sinusoidal", "model.bias=true", "model.ffn=gelu"},
    {"model.mixer=attention", "model.ffn=swiglu", "model.tie_head=false", "model.layers=2"},
    {"model.mixers=[cat,cat,attention]", "model.layers=3", "model.heads@attention=2"},
    {"model.mixer=cat", "model.conv.kind=depthwise", "model.conv.width=4", "model.conv.bias=true"},
    {"model.mixer=cat", "model.conv.on=[q]", "model.heads=2", "model.conv.dilation=3"},
    {"model.mixer=cat", "model.conv.on=[k]", "model.conv.width=20", "model.qk_norm=pre"},
    {"model.mixer=cat", "model.conv.on=[v]", "model.conv.place=pre", "model.qk_norm=post"},
    {"model.mixer=cat", "model.conv.residual=true", "model.conv.activation=silu",
     "model.conv.init=identity"},
    {"model.mixer=cat", "model.conv.init=normal", "model.heads=2", "model.qk_norm=post",
     "model.position=rope"},
    {"model.ffn=moe", "model.aux_loss=0", "model.experts=5", "model.ffn_inner=6"},
    {"model.ffn=moe", "model.aux_loss=3", "model.top_k=1", "model.layers=2"},
    {"model.linear=bit158", "model.ffn=swiglu", "model.bias=true", "model.mixer=cat"},
    {"model.linear=bit158", "model.ffn=moe", "model.mixer=mamba"},
};
enum { N_VARIANT = sizeof variants / sizeof *variants, T = 12, B = 2, V = 11, D = 8 };

typedef struct subject {
    char name[160];
    model_spec spec;
    arena *arena;
} subject;

static void read_subject(subject *s, const char *const *setting, int n) {
    const char *all[16] = {"task.name=nar", "model.d_model=8", "model.init_std=0.3"};
    s->arena = arena_new();
    s->name[0] = 0;
    for (int i = 0; i < n; i++) {
        all[3 + i] = setting[i];
        size_t used = strlen(s->name);
        snprintf(s->name + used, sizeof s->name - used, "%s ", setting[i]);
    }
    diag *d = diag_new(s->arena);
    const config *c = config_from_settings(s->arena, catalog_schema(), all, 3 + n, d);
    diag_print(d, stderr);
    assert_non_null(c);
    job j;
    job_bind(&j, s->arena, &c, 1);
    s->spec = j.model;
    s->spec.vocab = V;
    s->spec.max_time = T;
}

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

typedef struct rig { /* a bound tape with random tokens */
    tape tape;
    const backend *backend;
    void *param, *grad;
    int runs;
} rig;

static void make_rig(rig *r, const subject *s, const char *device, int runs, int first_seed,
                     bool training, head_mode head) {
    error e = {0};
    r->backend = backend_find(device, &e);
    r->runs = runs;
    assert_non_null(r->backend);
    if (tape_new(&r->tape, r->backend, &s->spec, runs, B, T, false, training, head, &e))
        fail_msg("%s: %s", s->name, e.text);
    graph *g = r->tape.model.g;
    r->param = r->backend->alloc(graph_param_bytes(g), &e);
    r->grad = r->backend->alloc(graph_param_bytes(g), &e);
    graph_bind(g, r->tape.memory, r->param, r->grad);
    double *values = calloc(g->param_n, sizeof *values);
    for (int run = 0; run < runs; run++) {
        graph_init(g, (uint64_t)(first_seed + run), 1, values);
        for (int i = 0; i < g->n_param; i++) {
            const size_t n = g->param[i]->n / (size_t)runs;
            backend_put_reals(r->backend,
                              (char *)g->param[i]->x + (size_t)run * n * r->backend->real_bytes,
                              values + g->param[i]->offset, n);
        }
    }
    free(values);
    rng draw = rng_start(rng_key_make(5, "tokens", NULL, 0), 0, 0);
    int ids[B * T], labels[B * T];
    for (int i = 0; i < B * T; i++) {
        ids[i] = (int)rng_below(&draw, V);
        labels[i] = i % 3 ? (int)rng_below(&draw, V) : -1;
    }
    const double scale[4] = {.05, .05, .05, .05};
    for (int run = 0; run < runs; run++) {
        memcpy((int *)r->tape.model.ids->x + run * B * T, ids, sizeof ids);
        if (head == HEAD_LOSS)
            memcpy((int *)r->tape.model.label->x + run * B * T, labels, sizeof labels);
    }
    if (head == HEAD_LOSS)
        backend_put_reals(r->backend, r->tape.model.scale->x, scale, (size_t)runs);
}

static void drop_rig(rig *r) {
    r->backend->release(r->param);
    r->backend->release(r->grad);
    tape_free(&r->tape);
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

/* Roundings of bit158 have no slope: its gradients are checked op by op. */
static void check_gradient(const subject *s) {
    rig r;
    if (s->spec.common.linear == LINEAR_BIT158) return;
    make_rig(&r, s, "f64", 1, 3, true, HEAD_LOSS);
    graph *g = r.tape.model.g;
    double *p = r.param, *grad = r.grad;
    const long n = (long)g->param_n;
    graph_forward(g);
    graph_backward(g);
    double *direction = calloc((size_t)n, sizeof *direction);
    for (int k = 0; k < 3; k++) {
        rng draw = rng_start(rng_key_make(7, "direction", NULL, 0), (uint64_t)k, 0);
        const double h = 1e-5;
        double predicted = 0;
        for (long i = 0; i < n; i++) {
            direction[i] = 2 * rng_uniform(&draw) - 1;
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient_along_directions),
        cmocka_unit_test(test_causality),
        cmocka_unit_test(test_packed_is_alone),
        cmocka_unit_test(test_conv_place_is_free_for_a_shared_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
