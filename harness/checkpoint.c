/* checkpoint.c - see checkpoint.h. */
#include "checkpoint.h"

#include "safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const buffer_name[] = {"param", "first_moment", "second_moment"};
enum { N_BUFFER = 3 };

static void *buffer_of(optim *o, int i) {
    return i == 0 ? optim_param(o) : i == 1 ? optim_first(o) : optim_second(o);
}

static const char *path_of(arena *a, const char *folder, const char *run_id) {
    return arena_printf(a, "%s/%s.safetensors", folder, run_id);
}

status checkpoint_save(const char *folder, const job *j, optim *o, int run, const run_cursor *c,
                       error *e) {
    arena *a = arena_new();
    const graph *g = optim_model(o);
    const size_t real = g->backend->real_bytes, bytes = g->param_n * real;
    stored_tensor tensors[N_BUFFER];
    for (int i = 0; i < N_BUFFER; i++) {
        void *raw = arena_alloc(a, bytes);
        optim_get_run(o, buffer_of(o, i), run, raw);
        tensors[i] = (stored_tensor){.name = buffer_name[i],
                                     .dtype = real == 4 ? "F32" : "F64",
                                     .rank = 1,
                                     .dim = {(long)g->param_n},
                                     .data = raw,
                                     .bytes = bytes};
    }
    const stored_text meta[] = {
        {"run", j->run[run].run_id},
        {"backend", g->backend->name},
        {"cursor", arena_printf(a, "%ld %d %ld %a %ld %ld %a %ld", c->step, (int)c->phase,
                                c->phase_step, c->window_nll, c->window_scored, c->window_right,
                                c->first_loss, c->bad_step)},
    };
    const stored_file file = {tensors, N_BUFFER, (stored_text *)meta, 3};
    status s = STATUS_OK;
    if (mkdir(folder, 0777) && errno != EEXIST)
        s = error_set(e, STATUS_ENVIRONMENT, "could not create %s: %s.", folder, strerror(errno));
    if (!s) s = safetensors_write(path_of(a, folder, j->run[run].run_id), &file, e);
    arena_free(a);
    return s;
}

static const char *apply(const stored_file *f, const job *j, optim *o, int run, run_cursor *c) {
    const graph *g = optim_model(o);
    const char *id = stored_meta(f, "run"), *device = stored_meta(f, "backend"),
               *cursor = stored_meta(f, "cursor");
    if (!id || strcmp(id, j->run[run].run_id)) return "it belongs to another run";
    if (!device || strcmp(device, g->backend->name)) return "it was made on another device";
    int phase;
    if (!cursor ||
        sscanf(cursor, "%ld %d %ld %la %ld %ld %la %ld", &c->step, &phase, &c->phase_step,
               &c->window_nll, &c->window_scored, &c->window_right, &c->first_loss,
               &c->bad_step) != 8 ||
        c->step < 0 || phase < PHASE_ACTIVE || phase > PHASE_DIVERGED)
        return "its position is not readable";
    c->phase = (run_phase)phase;
    for (int i = 0; i < N_BUFFER; i++) {
        const stored_tensor *t = stored_find(f, buffer_name[i]);
        if (!t || t->bytes != g->param_n * g->backend->real_bytes) return "it has another size";
    }
    for (int i = 0; i < N_BUFFER; i++)
        optim_put_run(o, buffer_of(o, i), run, stored_find(f, buffer_name[i])->data);
    return NULL;
}

void checkpoint_load(const char *folder, const job *j, optim *o, int run, run_cursor *c,
                     bool *found) {
    arena *a = arena_new();
    const char *path = path_of(a, folder, j->run[run].run_id);
    stored_file file;
    error e = {0};
    *found = false;
    if (access(path, F_OK) == 0) {
        const char *why = NULL;
        if (safetensors_read(&file, a, path, &e))
            fprintf(stderr, "mixgrid: %s The run starts again.\n", e.text);
        else if ((why = apply(&file, j, o, run, c)))
            fprintf(stderr, "mixgrid: the checkpoint %s is not used: %s. The run starts again.\n",
                    path, why);
        *found = !e.code && !why;
        if (!*found) *c = (run_cursor){0};
    }
    arena_free(a);
}

void checkpoint_remove(const char *folder, const char *run_id) {
    arena *a = arena_new();
    unlink(path_of(a, folder, run_id));
    arena_free(a);
}
