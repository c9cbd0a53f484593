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

enum { NEWEST, PREVIOUS, N_GENERATION };

static const char *path_of(arena *a, const char *folder, const char *run_id, int generation) {
    return arena_printf(a, "%s/%s%s.safetensors", folder, run_id,
                        generation == PREVIOUS ? ".previous" : "");
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
        {"cursor", arena_printf(a, "%ld %d %ld %a %ld %ld %a %ld %ld %lu", c->step, (int)c->phase,
                                c->phase_step, c->window_nll, c->window_scored, c->window_right,
                                c->first_loss, c->bad_step, c->mark.bytes, c->mark.crc)},
    };
    const stored_file file = {tensors, N_BUFFER, (stored_text *)meta, 3};
    status s = STATUS_OK;
    if (mkdir(folder, 0777) && errno != EEXIST)
        s = error_set(e, STATUS_ENVIRONMENT, "could not create %s: %s.", folder, strerror(errno));
    const char *newest = path_of(a, folder, j->run[run].run_id, NEWEST);
    if (!s && rename(newest, path_of(a, folder, j->run[run].run_id, PREVIOUS)) && errno != ENOENT)
        s = error_set(e, STATUS_ENVIRONMENT, "could not keep %s: %s.", newest, strerror(errno));
    if (!s) s = safetensors_write(newest, &file, e);
    arena_free(a);
    return s;
}

/* Reads what stands around the numbers; NULL, or why the file is of no use to this run. */
static const char *check(run_cursor *c, const stored_file *f, const job *j, const graph *g,
                         int run) {
    const char *id = stored_meta(f, "run"), *device = stored_meta(f, "backend"),
               *cursor = stored_meta(f, "cursor");
    if (!id || strcmp(id, j->run[run].run_id)) return "it belongs to another run";
    if (!device || strcmp(device, g->backend->name)) return "it was made on another device";
    long phase;
    c->mark = (journal_mark){0}; /* older files have none: a journal begins with nothing */
    const int n = cursor
                      ? sscanf(cursor, "%ld %ld %ld %la %ld %ld %la %ld %ld %lu", &c->step, &phase,
                               &c->phase_step, &c->window_nll, &c->window_scored, &c->window_right,
                               &c->first_loss, &c->bad_step, &c->mark.bytes, &c->mark.crc)
                      : 0;
    if (!stored_meta(f, "checksum")) return "it has no checksum";
    if ((n != 8 && n != 10) || c->mark.bytes < 0 || c->step < 0 || phase < PHASE_ACTIVE ||
        phase > PHASE_DIVERGED || c->phase_step < 0 || c->phase_step > c->step ||
        c->window_scored < 0 || c->window_right < 0 || c->window_right > c->window_scored ||
        c->bad_step < 0 || c->bad_step > c->step)
        return "its position is not readable";
    c->phase = (run_phase)phase;
    for (int i = 0; i < N_BUFFER; i++) {
        const stored_tensor *t = stored_find(f, buffer_name[i]);
        if (!t || t->bytes != g->param_n * g->backend->real_bytes) return "it has another size";
    }
    return NULL;
}

/* One sentence on a file that cannot be used; NULL: there is none, or it was read. */
static const char *read_file(stored_file *f, run_cursor *c, arena *a, const char *path,
                             const job *j, const graph *g, int run) {
    error e = {0};
    *c = (run_cursor){.step = -1};
    *f = (stored_file){0};
    if (access(path, F_OK) && errno == ENOENT) return NULL;
    if (safetensors_read(f, a, path, &e)) return arena_text(a, e.text);
    const char *why = check(c, f, j, g, run);
    if (!why) return NULL;
    *c = (run_cursor){.step = -1};
    return arena_printf(a, "the checkpoint %s is not used: %s.", path, why);
}

/* Loads one run at this step from the generation that has it, which becomes the newest. */
static bool load_at(long step, const char *folder, const job *j, optim *o, int run, run_cursor *c) {
    arena *a = arena_new();
    bool done = false;
    for (int k = 0; k < N_GENERATION && !done; k++) {
        const char *path = path_of(a, folder, j->run[run].run_id, k);
        stored_file f;
        read_file(&f, c, a, path, j, optim_model(o), run);
        if (c->step != step) continue;
        for (int i = 0; i < N_BUFFER; i++)
            optim_put_run(o, buffer_of(o, i), run, stored_find(&f, buffer_name[i])->data);
        /* or the next save would put a file that is damaged, or ahead, in its place */
        done = k == NEWEST || !rename(path, path_of(a, folder, j->run[run].run_id, NEWEST));
    }
    arena_free(a);
    return done;
}

/* The latest step of run 0 that all others have too; -1: none. */
static long common_step(const long (*step)[N_GENERATION], int runs) {
    long best = -1;
    for (int k = 0; k < N_GENERATION; k++) {
        bool all = true;
        for (int r = 0; r < runs; r++)
            all &= step[r][NEWEST] == step[0][k] || step[r][PREVIOUS] == step[0][k];
        if (all && step[0][k] > best) best = step[0][k];
    }
    return best;
}

bool checkpoint_resume(const char *folder, const job *j, optim *o, run_cursor *c) {
    arena *a = arena_new();
    long(*step)[N_GENERATION] = arena_alloc(a, (size_t)j->runs * sizeof *step);
    const char **why = ARENA_NEW(a, const char *, j->runs *N_GENERATION);
    for (int i = 0; i < j->runs * N_GENERATION; i++) {
        arena *files = arena_new();
        const int run = i / N_GENERATION, k = i % N_GENERATION;
        stored_file f;
        run_cursor at;
        const char *text = read_file(&f, &at, files, path_of(files, folder, j->run[run].run_id, k),
                                     j, optim_model(o), run);
        if (text) why[i] = arena_text(a, text);
        step[run][k] = at.step;
        arena_free(files);
    }
    const long best = common_step((const long(*)[N_GENERATION])step, j->runs);
    for (int i = 0; i < j->runs * N_GENERATION; i++)
        if (why[i] && best >= 0)
            fprintf(stderr, "mixgrid: %s The run goes on from step %ld.\n", why[i], best);
        else if (why[i])
            fprintf(stderr, "mixgrid: %s The run starts again.\n", why[i]);
    bool good = best >= 0;
    for (int r = 0; r < j->runs && good; r++) good = load_at(best, folder, j, o, r, &c[r]);
    if (!good) memset(c, 0, (size_t)j->runs * sizeof *c);
    arena_free(a);
    return good;
}

void checkpoint_remove(const char *folder, const char *run_id) {
    arena *a = arena_new();
    for (int k = 0; k < N_GENERATION; k++) unlink(path_of(a, folder, run_id, k));
    arena_free(a);
}
