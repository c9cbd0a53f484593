/* checkpoint_fuzz.c - damaged checkpoints of a real run.
 *
 * An input holds the JSON headers of the newest and of the previous checkpoint, divided by a line
 * break, in which @ stands for the run id, # for the number of parameters, and $0 to $3 for so many
 * times the bytes of a buffer. What is behind a header is as much as the run needs, so that
 * whatever a header says is tried. (safetensors_fuzz does the bytes around it.) A checkpoint that
 * is taken is within the run, and what is saved from it is taken again. */
#include "harness/catalog.h"
#include "harness/checkpoint.h"
#include "harness/safetensors.h"
#include "harness/trainer.h"
#include "kernels/test/fuzz.h"

#include <fcntl.h>
#include <stdlib.h>

static const char *const settings[] = {"task.name=mqar", "task.length=8",   "task.vocab=32",
                                       "task.pairs=2",   "model.d_model=4", "model.mixer=attention",
                                       "train.steps=40", "train.batch=1",   "train.threads=1",
                                       "eval.examples=1"};

static job the_job;
static optim *the_optim;
static const char *folder;

static void begin(void) {
    arena *a = arena_new(); /* as long as the program */
    error e = {0};
    diag *d = diag_new(a);
    const config *c =
        config_from_settings(a, catalog_schema(), settings, sizeof settings / sizeof *settings, d);
    if (!c) BUG("%s", diag_line(d, 0));
    job_bind(&the_job, a, &c, 1);
    job_data data;
    if (job_open_data(&data, &the_job, 0, &e)) BUG("%s", e.text);
    the_job.model.vocab = data.trained->vocab;
    const backend *b = backend_find("f64", &e);
    if (!b || b->open(NULL, NUMERICS_STRICT, &e)) BUG("%s", e.text);
    const task_set *const sets[] = {data.trained};
    trainer *t = trainer_new(a, &the_job, b, sets, &e);
    if (!t) BUG("%s", e.text);
    the_optim = trainer_optim(t);
    folder = fuzz_folder();
}

/* The header with what its signs stand for. */
static char *filled_in(size_t *out_n, const uint8_t *header, size_t n) {
    const graph *g = optim_model(the_optim);
    char *text = NULL;
    FILE *file = open_memstream(&text, out_n);
    CHECK(file != NULL);
    for (size_t i = 0; i < n; i++) {
        if (header[i] == '@')
            fputs(the_job.run[0].run_id, file);
        else if (header[i] == '#')
            fprintf(file, "%zu", g->param_n);
        else if (header[i] == '$' && i + 1 < n && header[i + 1] >= '0' && header[i + 1] <= '3')
            fprintf(file, "%zu", (size_t)(header[++i] - '0') * g->param_n * g->backend->real_bytes);
        else
            fputc(header[i], file);
    }
    fclose(file);
    return text;
}

/* A safetensors file of this header, and zeros for three buffers. */
static void write_file(const char *suffix, const uint8_t *raw, size_t raw_n) {
    const graph *g = optim_model(the_optim);
    const size_t zeros = 3 * g->param_n * g->backend->real_bytes;
    size_t n;
    char *header = filled_in(&n, raw, raw_n);
    char path[256];
    unsigned char little[8];
    for (int i = 0; i < 8; i++) little[i] = (unsigned char)((uint64_t)n >> (8 * i));
    snprintf(path, sizeof path, "%s/%s%s.safetensors", folder, the_job.run[0].run_id, suffix);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    CHECK(fd >= 0 && write(fd, little, 8) == 8 && write(fd, header, n) == (ssize_t)n);
    CHECK(!ftruncate(fd, (off_t)(8 + n + zeros)));
    close(fd);
    free(header);
    arena *a = arena_new(); /* a checksum that fits, or nothing behind it would be tried */
    stored_file f;
    error e = {0};
    if (!safetensors_read(&f, a, path, &e) && safetensors_write(path, &f, &e)) BUG("%s", e.text);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!the_optim) begin();
    if (size > FUZZ_MAX_BYTES / 4) return 0;
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    const size_t n = end ? (size_t)(end - data) : size;
    checkpoint_remove(folder, the_job.run[0].run_id);
    write_file("", data, n);
    if (end) write_file(".previous", end + 1, size - n - 1);
    run_cursor c, again;
    fuzz_hush(true);
    const bool taken = checkpoint_resume(folder, &the_job, the_optim, &c);
    fuzz_hush(false);
    if (!taken) {
        CHECK(!c.step && !c.phase);
        return 0;
    }
    error e = {0};
    CHECK(c.step >= 0 && c.phase_step >= 0 && c.phase_step <= c.step && c.bad_step <= c.step);
    if (checkpoint_save(folder, &the_job, the_optim, 0, &c, &e)) BUG("%s", e.text);
    CHECK(checkpoint_resume(folder, &the_job, the_optim, &again));
    CHECK(again.step == c.step && again.phase == c.phase && again.phase_step == c.phase_step &&
          again.window_scored == c.window_scored && again.window_right == c.window_right &&
          again.bad_step == c.bad_step);
    CHECK(again.window_nll == c.window_nll || c.window_nll != c.window_nll);
    CHECK(again.first_loss == c.first_loss || c.first_loss != c.first_loss);
    return 0;
}
