/* command_probe.c - mixgrid probe: a model's logits, loss and gradients on given tokens, and its
 * weights in and out: the door through which anyone can compare a mixer with their own code.
 *
 * Loss: mean cross-entropy over labels >= 0; without --labels the label of a position is the next
 * token, and the last position is not scored. Tensor names and layouts: models/README.md. */
#include "catalog.h"
#include "cli.h"
#include "safetensors.h"
#include "tape.h"
#include "tasks/npy.h"

#include <stdio.h>
#include <string.h>

enum { MAX_VOCAB = 1 << 24 };

typedef struct probe {
    const char *tokens, *labels, *weights, *logits, *grads, *save_weights, *device;
    long vocab;
    cli_texts set;
    arena *arena;
    model_spec spec;
    uint64_t seed;
    double init_scale;
    const backend *backend;
    int batch, time;
    const int *ids, *label;
    void *param;
} probe;

static status read_spec(probe *p, error *e) {
    const char **setting = ARENA_NEW(p->arena, const char *, p->set.n + 1);
    setting[0] = "task.name=nar"; /* a configuration has a task; this one is not looked at */
    for (int i = 0; i < p->set.n; i++) setting[i + 1] = p->set.text[i];
    diag *d = diag_new(p->arena);
    const config *c = config_from_settings(p->arena, catalog_schema(), setting, p->set.n + 1, d);
    diag_print(d, stderr);
    if (!c) return e->code = STATUS_USAGE; /* its sentences are printed */
    job j;
    job_bind(&j, p->arena, &c, 1);
    p->spec = j.model;
    p->seed = j.run[0].seed;
    p->init_scale = j.run[0].init_scale;
    return STATUS_OK;
}

static status read_ints(const int **out, probe *p, const char *path, int from, error *e) {
    const npy *x = npy_read(p->arena, path, e);
    if (!x) return e->code;
    if (x->type != NPY_INT32 || x->n_dims < 1 || x->n_dims > 2)
        return error_set(e, STATUS_USAGE, "%s must hold int32 of shape [T] or [B,T].", path);
    const int batch = x->n_dims == 2 ? (int)x->dim[0] : 1, time = (int)x->dim[x->n_dims - 1];
    if (p->batch && (batch != p->batch || time != p->time))
        return error_set(e, STATUS_USAGE, "%s is [%d,%d], the tokens are [%d,%d].", path, batch,
                         time, p->batch, p->time);
    if (batch < 1 || time < 1) return error_set(e, STATUS_USAGE, "%s holds no tokens.", path);
    p->batch = batch;
    p->time = time;
    *out = x->data;
    for (long i = 0; i < (long)batch * time; i++)
        if ((*out)[i] < from)
            return error_set(e, STATUS_USAGE, "%s holds %d at position %ld; the least is %d.", path,
                             (*out)[i], i, from);
    return STATUS_OK;
}

static status find_vocab(probe *p, const stored_file *weights, error *e) {
    const stored_tensor *table = stored_find(weights, "embed");
    long most = 0;
    for (long i = 0; i < (long)p->batch * p->time; i++) {
        if (p->ids[i] > most) most = p->ids[i];
        if (p->label[i] > most) most = p->label[i];
    }
    const long vocab = p->vocab ? p->vocab : table && table->rank ? table->dim[0] : most + 1;
    if (most >= vocab)
        return error_set(e, STATUS_USAGE,
                         "token %ld does not fit the vocabulary of %ld; give a larger --vocab.",
                         most, vocab);
    if (vocab > MAX_VOCAB)
        return error_set(e, STATUS_USAGE, "a vocabulary of %ld is too large; at most %d.", vocab,
                         MAX_VOCAB);
    p->spec.vocab = (int)vocab;
    p->spec.max_time = p->time;
    p->spec.batch = p->batch;
    return STATUS_OK;
}

static void next_tokens(probe *p) {
    int *label = ARENA_NEW(p->arena, int, (long)p->batch * p->time);
    for (long b = 0; b < p->batch; b++)
        for (long t = 0; t < p->time; t++)
            label[b * p->time + t] = t + 1 < p->time ? p->ids[b * p->time + t + 1] : -1;
    p->label = label;
}

static const char *shape_text(arena *a, int rank, const long *dim) {
    const char *text = "[";
    for (int i = 0; i < rank; i++) text = arena_printf(a, i ? "%s,%ld" : "%s%ld", text, dim[i]);
    return arena_printf(a, "%s]", text);
}

/* A parameter as it is stored: without the run axis, in the backend's own type. */
static stored_tensor describe(const probe *p, const tensor *t, const void *data) {
    stored_tensor s = {.name = t->name,
                       .dtype = p->backend->real_bytes == 4 ? "F32" : "F64",
                       .rank = t->rank - 1,
                       .data = data,
                       .bytes = t->n * p->backend->real_bytes};
    for (int i = 0; i < s.rank; i++) s.dim[i] = t->dim[i + 1];
    return s;
}

static status load_weights(probe *p, const graph *g, const stored_file *weights, error *e) {
    for (int i = 0; i < g->n_param; i++) {
        const tensor *t = g->param[i];
        const stored_tensor want = describe(p, t, NULL), *have = stored_find(weights, t->name);
        if (!have)
            return error_set(e, STATUS_USAGE, "%s has no tensor %s %s.", p->weights, t->name,
                             shape_text(p->arena, want.rank, want.dim));
        if (have->rank != want.rank ||
            memcmp(have->dim, want.dim, (size_t)want.rank * sizeof *want.dim))
            return error_set(e, STATUS_USAGE, "%s: %s is %s, the model needs %s.", p->weights,
                             t->name, shape_text(p->arena, have->rank, have->dim),
                             shape_text(p->arena, want.rank, want.dim));
        double *values = ARENA_NEW(p->arena, double, t->n);
        const bool single = !strcmp(have->dtype, "F32");
        if (!single && strcmp(have->dtype, "F64"))
            return error_set(e, STATUS_USAGE, "%s: %s is %s; F32 or F64 is needed.", p->weights,
                             t->name, have->dtype);
        for (size_t k = 0; k < t->n; k++) { /* file data may be unaligned */
            float f;
            memcpy(single ? (void *)&f : (void *)&values[k],
                   (const char *)have->data + k * (single ? sizeof f : sizeof *values),
                   single ? sizeof f : sizeof *values);
            if (single) values[k] = (double)f;
        }
        backend_put_reals(p->backend, t->x, values, t->n);
    }
    for (int i = 0; i < weights->n_tensors; i++) {
        bool used = false;
        for (int k = 0; k < g->n_param; k++)
            used |= !strcmp(g->param[k]->name, weights->tensor[i].name);
        if (!used)
            return error_set(e, STATUS_USAGE, "%s: the model has no parameter %s.", p->weights,
                             weights->tensor[i].name);
    }
    return STATUS_OK;
}

static void init_weights(probe *p, const graph *g) {
    double *values = ARENA_NEW(p->arena, double, g->param_n);
    graph_init(g, p->seed, p->init_scale, values);
    backend_put_reals(p->backend, p->param, values, g->param_n);
}

/* n reals from the device, in the probe's arena. */
static void *fetch(const probe *p, const void *device, size_t n) {
    void *host = arena_alloc(p->arena, n * p->backend->real_bytes);
    p->backend->get(host, device, n * p->backend->real_bytes);
    return host;
}

static status write_params(probe *p, const graph *g, const char *path, bool gradients, error *e) {
    stored_tensor *tensors = ARENA_NEW(p->arena, stored_tensor, g->n_param);
    for (int i = 0; i < g->n_param; i++)
        tensors[i] = describe(
            p, g->param[i], fetch(p, gradients ? g->param[i]->g : g->param[i]->x, g->param[i]->n));
    return safetensors_write(path, &(stored_file){tensors, g->n_param, NULL, 0}, e);
}

static status write_logits(probe *p, error *e) {
    tape t;
    status s =
        tape_new(&t, p->backend, &p->spec, 1, p->batch, p->time, false, false, HEAD_LOGITS, e);
    if (s) return s;
    graph_bind(t.model.g, t.memory, p->param, NULL);
    p->backend->put(t.model.ids->x, p->ids, t.model.ids->n * sizeof *p->ids);
    graph_forward(t.model.g);
    npy x = {p->backend->real_bytes == 4 ? NPY_FLOAT32 : NPY_FLOAT64,
             3,
             {p->batch, p->time, p->spec.vocab},
             fetch(p, t.model.logits->x, t.model.logits->n)};
    s = p->backend->sync(e);
    if (!s) s = npy_write(p->logits, &x, e);
    tape_free(&t);
    return s;
}

/* Forward and backward; prints the loss, writes gradients and weights where asked. */
static status run_loss(probe *p, const stored_file *weights, error *e) {
    tape t;
    void *grad = NULL;
    status s = tape_new(&t, p->backend, &p->spec, 1, p->batch, p->time, false, true, HEAD_LOSS, e);
    if (s) return s;
    graph *g = t.model.g;
    p->param = p->backend->alloc(graph_param_bytes(g), e);
    grad = p->backend->alloc(graph_param_bytes(g), e);
    s = e->code;
    if (!s) {
        graph_bind(g, t.memory, p->param, grad);
        if (p->weights)
            s = load_weights(p, g, weights, e);
        else
            init_weights(p, g);
    }
    if (!s) {
        const long rows = (long)p->batch * p->time;
        long scored = 0;
        for (long i = 0; i < rows; i++) scored += p->label[i] >= 0;
        const double scale = scored ? 1.0 / (double)scored : 0;
        p->backend->put(t.model.ids->x, p->ids, (size_t)rows * sizeof *p->ids);
        p->backend->put(t.model.label->x, p->label, (size_t)rows * sizeof *p->label);
        backend_put_reals(p->backend, t.model.scale->x, &scale, 1);
        graph_forward(g);
        graph_backward(g);
        double *nll = ARENA_NEW(p->arena, double, rows), loss = 0;
        backend_get_reals(p->backend, nll, t.model.nll->x, (size_t)rows);
        for (long i = 0; i < rows; i++) loss += nll[i];
        s = p->backend->sync(e);
        if (!s)
            printf("parameters %zu, scored positions %ld, loss %.9g\n", g->param_n, scored,
                   scored ? loss * scale : 0);
        if (!s && p->grads) s = write_params(p, g, p->grads, true, e);
        if (!s && p->save_weights) s = write_params(p, g, p->save_weights, false, e);
    }
    p->backend->release(grad);
    tape_free(&t);
    return s;
}

status command_probe(int argc, char **argv, error *e) {
    probe p = {.device = "auto", .arena = arena_new()};
    const cli_option options[] = {
        {"set", CLI_LIST, &p.set, "KEY=VALUE", "a setting, such as model.mixer=cat; repeat it"},
        {"tokens", CLI_TEXT, &p.tokens, "FILE.npy", "int32 [T] or [B,T]"},
        {"labels", CLI_TEXT, &p.labels, "FILE.npy", "int32 like tokens, -1: not scored"},
        {"vocab", CLI_COUNT, &p.vocab, "V",
         "vocabulary (default: from weights, or largest token + 1)"},
        {"weights", CLI_TEXT, &p.weights, "FILE",
         "safetensors to load (default: train.seed's init)"},
        {"logits", CLI_TEXT, &p.logits, "FILE.npy", "write logits [B,T,V]"},
        {"grads", CLI_TEXT, &p.grads, "FILE", "write the gradients of the loss, safetensors"},
        {"save-weights", CLI_TEXT, &p.save_weights, "FILE", "write the weights, safetensors"},
        {"device", CLI_TEXT, &p.device, "NAME", "auto, cuda, cuda:0, cpu, cpu-v3, cpu-v4 or f64"},
    };
    cli_texts words = {0};
    stored_file weights = {0};
    status s = CLI_PARSE(p.arena, argc, argv, options, &words, e);
    if (!s && (!p.tokens || words.n))
        s = error_set(e, STATUS_USAGE,
                      "mixgrid probe needs --tokens FILE.npy and options; see --help.");
    if (!s && !(p.backend = backend_open(p.device, e))) s = e->code;
    if (!s) s = read_spec(&p, e);
    if (!s) s = read_ints(&p.ids, &p, p.tokens, 0, e);
    if (!s && p.labels) s = read_ints(&p.label, &p, p.labels, -1, e);
    if (!s && !p.labels) next_tokens(&p);
    if (!s && p.weights) s = safetensors_read(&weights, p.arena, p.weights, e);
    if (!s) s = find_vocab(&p, &weights, e);
    if (!s) s = run_loss(&p, &weights, e);
    if (!s && p.logits) s = write_logits(&p, e);
    if (p.param) p.backend->release(p.param);
    arena_free(p.arena);
    return s;
}
