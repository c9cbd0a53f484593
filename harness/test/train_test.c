/* train_test.c - what a run must never depend on: its pack, its threads, interruptions, the cadence
 * of its log; and that a broken one among these is seen. */
#include "harness/checkpoint.h"
#include "harness/evaluate.h"
#include "harness/plan_sweep.h"
#include "harness/safetensors.h"
#include "harness/trainer.h"
#include "memory_fixture.h"

#include <math.h>

/* ---- every heap allocation of this process is counted ----------------------------------------*/

static volatile long allocations; /* compilers think that malloc changes nothing */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
static void count_malloc(const volatile void *p, size_t n) {
    (void)p, (void)n;
    __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
}
static void count_free(const volatile void *p) { (void)p; }
static void count_allocations(void) {
    __sanitizer_install_malloc_and_free_hooks(count_malloc, count_free);
}
#else
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
static void count_one(void) { __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED); }
void *malloc(size_t n) { return count_one(), __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return count_one(), __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return count_one(), __libc_realloc(p, n); }
void *aligned_alloc(size_t alignment, size_t n) {
    return count_one(), __libc_memalign(alignment, n);
}
static void count_allocations(void) {}
#endif

/* ---- packs -----------------------------------------------------------------------------------*/

static void packed_runs_equal_runs_alone(void **state) {
    (void)state;
    static const char *const own[] = {
        "train.seed=0 model.dropout=0.1",
        "train.seed=1 train.lr=0.01 train.wd=0 model.dropout=0.3 model.init_scale=2",
        "train.seed=2 train.data_seed=7 model.embed_dropout=0.2 train.lr=1e-4",
    };
    compare_pack(NULL, SMALL, own, 3, "SELECT count(*) = 3 FROM run WHERE state = 'done'");
}

static void runs_without_dropout_keep_their_bits_beside_one_with_it(void **state) {
    (void)state;
    static const char *const own[] = {"train.seed=0", "train.seed=0 model.dropout=0.2"};
    /* a width at which the batch is taken in parts */
    compare_pack(NULL,
                 SMALL "model.d_model=64 model.layers=2 task.length=64 train.batch=16 "
                       "train.steps=8",
                 own, 2, "SELECT count(*) = 2 FROM run WHERE state = 'done'");
}

static void diverged_run_leaves_its_pack_alone(void **state) {
    (void)state;
    static const char *const own[] = {"train.lr=1e-3", "train.lr=1000 model.init_scale=30",
                                      "train.lr=1e-2"};
    compare_pack(NULL, SMALL "train.clip=0 train.warmup=0 model.norm=layernorm", own, 3,
                 "SELECT sum(state = 'diverged') = 1 AND sum(state = 'done') = 2 FROM run");
}

static void early_stop_leaves_the_pack_alone(void **state) {
    (void)state;
    static const char *const own[] = {"train.lr=3e-2", "train.lr=1e-5"};
    compare_pack(NULL,
                 SMALL "task.vocab=24 eval.lengths=[16] train.steps=120 train.stop_at=0.2 "
                       "train.eval_every=10 train.warmup=0",
                 own, 2,
                 "SELECT (SELECT min(m) < 120 AND max(m) = 120 FROM (SELECT max(step) AS m FROM "
                 "param_hash GROUP BY run))");
}

static void finite_sets_and_epochs_work_in_packs(void **state) {
    (void)state;
    static const char *const own[] = {"train.seed=3", "train.seed=4 train.data_seed=3"};
    compare_pack(NULL,
                 SMALL "train.examples=30 train.epochs=3 train.schedule_by=epoch model.ffn=swiglu "
                       "model.mixer=attention model.position=rope",
                 own, 2, "SELECT count(*) = 2 FROM run WHERE state = 'done'");
}

/* ---- threads, devices, cadence ---------------------------------------------------------------*/

static void threads_do_not_change_a_bit(void **state) {
    (void)state;
    arena *a = arena_new();
    const char *shared = SMALL "model.d_model=64 model.layers=2 task.length=64 train.batch=32 "
                               "train.steps=6 model.dropout=0.1 ";
    job j = job_of(a, shared, &(const char *){""}, 1);
    /* more than one lane, or there is nothing to test */
    assert_true(tape_micro_batch(backend_at(0), &j.model, 64, 32, true) < 32);
    const char *first = NULL;
    for (int threads = 1; threads <= 4; threads++) {
        const char *own = arena_printf(a, "train.threads=%d", threads);
        const char *hash = hash_of(a, shared, &own, 1, NULL);
        if (first) assert_string_equal(hash, first);
        first = hash;
    }
    arena_free(a);
}

static void doubles_train_too(void **state) {
    (void)state;
    arena *a = arena_new();
    const char *own = "";
    const char *one = hash_of(a, SMALL "train.steps=12 ", &own, 1, "f64"),
               *two = hash_of(a, SMALL "train.steps=12 ", &own, 1, "f64"),
               *single = hash_of(a, SMALL "train.steps=12 ", &own, 1, NULL);
    assert_string_equal(one, two);
    assert_string_not_equal(one, single);
    arena_free(a);
}

static void run_id_covers_results_and_nothing_else(void **state) {
    (void)state;
    arena *a = arena_new();
    const char *id = config_of(a, SMALL)->id;
    static const char *const same[] = {"train.log_every=7", "train.threads=4",
                                       "train.max_minutes=3", "train.batch=8", "train.data_seed=0"};
    static const char *const other[] = {"train.lr=2e-3",     "train.seed=1",
                                        "train.data_seed=1", "eval.lengths=[16]",
                                        "model.dropout=0.1", "train.eval_every=4"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_string_equal(config_of(a, arena_printf(a, SMALL "%s", same[i]))->id, id);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_string_not_equal(config_of(a, arena_printf(a, SMALL "%s", other[i]))->id, id);
    arena_free(a);
}

static void cadence_of_the_log_does_not_reach_the_parameters(void **state) {
    (void)state;
    arena *a = arena_new();
    double last[2];
    for (int i = 0; i < 2; i++) {
        folder f = folder_new();
        job j =
            job_of(a, SMALL, &(const char *){i ? "train.log_every=1" : "train.log_every=40"}, 1);
        training how = {0};
        assert_int_equal(train_in(&f, &j, &how), STATUS_OK);
        assert_true(ask(&f, "SELECT count(*) FROM param_hash") == (i ? 40 : 1));
        last[i] = ask(&f, "SELECT value FROM final WHERE split = 'test' AND name = 'loss'");
        folder_remove(&f);
    }
    assert_true(last[0] == last[1]);
    arena_free(a);
}

/* ---- interruption ----------------------------------------------------------------------------*/

#define RESUMED SMALL "model.dropout=0.1 train.wd=0.3 "

static const char *const pair[] = {"train.seed=0", "train.seed=1 train.lr=0.01"};

/* Interrupts at each transfer of the list in turn, then trains to the end. `damage` is done to the
 * folder before the last attempt; NULL: nothing. */
static const char *hash_interrupted(arena *a, const long *at, int n,
                                    void (*damage)(const folder *f, const job *j),
                                    const char **message, double *resumed_from) {
    folder f = folder_new();
    job j = job_of(a, RESUMED, pair, 2);
    training how = {0};
    for (int i = 0; i < n; i++) {
        how = (training){.interrupt_at = at[i], .attempt = i + 1};
        assert_int_equal(train_in(&f, &j, &how), STATUS_INTERRUPTED);
        assert_true(ask(&f, "SELECT count(*) FROM run WHERE state = 'preempted'") == 2);
    }
    if (damage) damage(&f, &j);
    how = (training){.attempt = n + 1};
    const int s = train_in(&f, &j, &how);
    if (s) print_error("%s\n", how.message);
    assert_int_equal(s, STATUS_OK);
    if (message) *message = arena_text(a, how.message);
    if (resumed_from)
        *resumed_from = ask(
            &f, arena_printf(a, "SELECT min(resumed_from) FROM attempt WHERE number = %d", n + 1));
    if (!damage) /* it went on, rather than starting again */
        assert_true(ask(&f, "SELECT min(resumed_from) FROM attempt WHERE number > 1") > 0);
    const char *hash = arena_text(a, results_hash(&f));
    assert_int_equal(rmdir(folder_at(&f, "checkpoint")), 0); /* nothing is left behind */
    folder_remove(&f);
    return hash;
}

static void interrupted_runs_end_with_the_same_bits(void **state) {
    (void)state;
    arena *a = arena_new();
    const char *undisturbed = hash_of(a, RESUMED, pair, 2, NULL);
    static const long points[][2] = {{30, 0}, {41, 0}, {52, 0}, {68, 0}, {40, 41}, {35, 35}};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        assert_string_equal(
            hash_interrupted(a, points[i], 1 + (points[i][1] > 0), NULL, NULL, NULL), undisturbed);
    arena_free(a);
}

static void run_interrupted_before_its_first_step_has_done_nothing(void **state) {
    (void)state;
    arena *a = arena_new();
    folder f = folder_new();
    job j = job_of(a, RESUMED, pair, 2);
    training how = {.interrupt_at = 1};
    assert_int_equal(train_in(&f, &j, &how), STATUS_INTERRUPTED);
    assert_int_equal(access(folder_at(&f, "journal"), F_OK), -1);
    how = (training){0};
    assert_int_equal(train_in(&f, &j, &how), STATUS_OK);
    assert_string_equal(results_hash(&f), hash_of(a, RESUMED, pair, 2, NULL));
    folder_remove(&f);
    arena_free(a);
}

static void worker_waits_for_one_that_is_still_writing(void **state) {
    (void)state;
    arena *a = arena_new();
    folder f = folder_new();
    job j = job_of(a, SMALL, &(const char *){""}, 1);
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    const pid_t holder = fork();
    if (!holder) {
        error e = {0};
        const bool held = journal_open(folder_at(&f, "journal"), j.run[0].run_id, &e) != NULL;
        if (!held || write(ready[1], &byte, 1) != 1) _exit(1);
        usleep(300000);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    training how = {0};
    assert_int_equal(train_in(&f, &j, &how), STATUS_OK);
    int ended;
    assert_int_equal(waitpid(holder, &ended, WNOHANG), holder); /* it was waited for */
    assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    close(ready[0]), close(ready[1]);
    folder_remove(&f);
    arena_free(a);
}

static const char *checkpoint_of(const folder *f, const job *j, int run) {
    return folder_at(f, arena_printf(f->arena, "checkpoint/%s.safetensors", j->run[run].run_id));
}

/* The planted fault: a restore that forgets the moments of one buffer. */
static void forget(const folder *f, const job *j, const char *buffer) {
    error e = {0};
    stored_file file;
    if (safetensors_read(&file, f->arena, checkpoint_of(f, j, 1), &e)) fail_msg("%s", e.text);
    const stored_tensor *t = stored_find(&file, buffer);
    assert_non_null(t);
    memset((void *)t->data, 0, t->bytes);
    if (safetensors_write(checkpoint_of(f, j, 1), &file, &e)) fail_msg("%s", e.text);
}
static void forget_first(const folder *f, const job *j) { forget(f, j, "first_moment"); }
static void forget_second(const folder *f, const job *j) { forget(f, j, "second_moment"); }

static void broken_restore_is_seen(void **state) {
    (void)state;
    arena *a = arena_new();
    const char *undisturbed = hash_of(a, RESUMED, pair, 2, NULL), *message;
    const long at = 45;
    assert_string_not_equal(hash_interrupted(a, &at, 1, forget_first, &message, NULL), undisturbed);
    assert_string_equal(message, ""); /* the file itself was in order */
    assert_string_not_equal(hash_interrupted(a, &at, 1, forget_second, &message, NULL),
                            undisturbed);
    assert_string_equal(message, "");
    arena_free(a);
}

static void flip_byte(const folder *f, const job *j) {
    FILE *file = fopen(checkpoint_of(f, j, 0), "r+");
    assert_non_null(file);
    fseek(file, -5, SEEK_END);
    const int byte = fgetc(file);
    fseek(file, -5, SEEK_END);
    fputc(byte ^ 1, file);
    fclose(file);
}
static void cut_short(const folder *f, const job *j) {
    struct stat info;
    assert_int_equal(stat(checkpoint_of(f, j, 1), &info), 0);
    assert_int_equal(truncate(checkpoint_of(f, j, 1), info.st_size / 2), 0);
}
static void cut_to_nothing(const folder *f, const job *j) {
    assert_int_equal(truncate(checkpoint_of(f, j, 0), 0), 0);
}
static void take_another_runs(const folder *f, const job *j) {
    assert_int_equal(rename(checkpoint_of(f, j, 0), checkpoint_of(f, j, 1)), 0);
}
static void lose(const folder *f, const job *j) {
    assert_int_equal(unlink(checkpoint_of(f, j, 0)), 0);
}
/* One digit of the position in the header: still JSON, still a position. */
static void change_position(const folder *f, const job *j) {
    FILE *file = fopen(checkpoint_of(f, j, 0), "r+");
    char header[4096];
    assert_non_null(file);
    const size_t n = fread(header, 1, sizeof header - 1, file);
    header[n] = 0;
    char *digit = strstr(header + 8, "\"cursor\":\"") + strlen("\"cursor\":\"");
    fseek(file, digit - header, SEEK_SET);
    fputc(*digit == '1' ? '2' : '1', file);
    fclose(file);
}
/* The whole entry stays, under another name. */
static void lose_checksum(const folder *f, const job *j) {
    FILE *file = fopen(checkpoint_of(f, j, 0), "r+");
    char header[4096];
    assert_non_null(file);
    const size_t n = fread(header, 1, sizeof header - 1, file);
    header[n] = 0;
    char *key = strstr(header + 8, "\"checksum\":");
    fseek(file, key + 1 - header, SEEK_SET);
    fputc('C', file);
    fclose(file);
}
/* Every field of the header stays readable, but the position makes no sense. */
static void move_position(const folder *f, const job *j) {
    error e = {0};
    stored_file file;
    if (safetensors_read(&file, f->arena, checkpoint_of(f, j, 0), &e)) fail_msg("%s", e.text);
    for (int i = 0; i < file.n_meta; i++)
        if (!strcmp(file.meta[i].key, "cursor")) file.meta[i].text = "-3 9 0 0x0p+0 0 0 0x0p+0";
    if (safetensors_write(checkpoint_of(f, j, 0), &file, &e)) fail_msg("%s", e.text);
}

static const struct {
    void (*damage)(const folder *f, const job *j);
    const char *sentence;
} damages[] = {
    {flip_byte, "its checksum does not fit its contents. "},
    {change_position, "its checksum does not fit its contents. "},
    {lose_checksum, "it has no checksum. "},
    {cut_short, "data_offsets lie outside the file. "},
    {cut_to_nothing, "it is shorter than its header. "},
    {take_another_runs, "it belongs to another run. "},
    {move_position, "its position is not readable. "},
    {lose, ""},
};
enum { N_DAMAGE = sizeof damages / sizeof *damages };

/* One sentence, once: without the same words twice. */
static void assert_said(const char *message, const char *sentence, const char *then) {
    if (*sentence && !(strstr(message, sentence) && strstr(message, then)))
        fail_msg("%s%s is not in %s", sentence, then, message);
    if (!*sentence) assert_string_equal(message, "");
    const char *twice = strstr(message, "safetensors");
    assert_true(!twice || !strstr(strchr(twice, '\n'), "mixgrid:"));
}

static void damaged_checkpoint_is_refused_and_the_run_starts_again(void **state) {
    (void)state;
    arena *a = arena_new();
    const char *undisturbed = hash_of(a, RESUMED, pair, 2, NULL);
    for (int i = 0; i < N_DAMAGE; i++) {
        const long at = 45;
        const char *message;
        double from;
        assert_string_equal(hash_interrupted(a, &at, 1, damages[i].damage, &message, &from),
                            undisturbed);
        assert_said(message, damages[i].sentence, "The run starts again.");
        assert_true(from == -1);
    }
    arena_free(a);
}

static void damaged_checkpoint_leaves_the_one_before(void **state) {
    (void)state;
    arena *a = arena_new();
    const char *undisturbed = hash_of(a, RESUMED, pair, 2, NULL);
    for (int i = 0; i < N_DAMAGE; i++) {
        static const long at[] = {45, 40};
        const char *message;
        double from;
        assert_string_equal(hash_interrupted(a, at, 2, damages[i].damage, &message, &from),
                            undisturbed);
        assert_true(from > 0);
        assert_said(message, damages[i].sentence,
                    arena_printf(a, "The run goes on from step %.0f.", from));
    }
    arena_free(a);
}

/* Nothing but the newest of each run: the steps of a pack that was killed while it saved. */
static void keep_different_steps(const folder *f, const job *j) {
    for (int run = 0; run < 2; run++) {
        const char *newest = checkpoint_of(f, j, run),
                   *previous = arena_printf(f->arena, "%s/checkpoint/%s.previous.safetensors",
                                            f->path, j->run[run].run_id);
        assert_int_equal(run ? rename(previous, newest) : unlink(previous), 0);
    }
}

static void pack_whose_runs_share_no_step_starts_again(void **state) {
    (void)state;
    arena *a = arena_new();
    static const long at[] = {45, 40};
    double from;
    assert_string_equal(hash_interrupted(a, at, 2, keep_different_steps, NULL, &from),
                        hash_of(a, RESUMED, pair, 2, NULL));
    assert_true(from == -1);
    arena_free(a);
}

/* The limit is of each attempt: a run that ran out of time goes on where it was. */
static void timed_out_run_goes_on_when_it_is_asked_to(void **state) {
    (void)state;
    arena *a = arena_new();
    folder f = folder_new();
    const char *const own = "train.seed=3";
    training how = {.attempt = 1};
    long attempts = 0;
    for (bool done = false; !done; how.attempt++) {
        /* long enough for some steps on any machine, if not the first time then the next */
        const char *limit =
            arena_printf(a, "%s train.max_minutes=%g ", RESUMED, how.attempt == 1 ? 1e-9 : 1e-3);
        job j = job_of(a, limit, &own, 1);
        assert_int_equal(train_in(&f, &j, &how), STATUS_OK);
        done = ask(&f, "SELECT state = 'done' FROM run") == 1;
        assert_true(done || ask(&f, "SELECT state = 'timeout' FROM run") == 1);
        assert_true(++attempts < 100);
    }
    assert_true(attempts > 1 &&
                ask(&f, "SELECT resumed_from > 0 FROM attempt WHERE number = 2") == 1);
    assert_int_equal(rmdir(folder_at(&f, "checkpoint")), 0);
    assert_string_equal(results_hash(&f), hash_of(a, RESUMED, &own, 1, NULL));
    folder_remove(&f);
    arena_free(a);
}

/* ---- memory ----------------------------------------------------------------------------------*/

static void planned_memory_is_what_is_allocated(void **state) {
    (void)state;
    static const char *const shapes[] = {
        "",
        "eval.lengths=[8,24,64]",
        "model.d_model=64 task.length=64 train.batch=32 eval.lengths=[32]",
        "model.d_model=48 task.length=64 train.batch=48 eval.lengths=[66,96] model.ffn=swiglu",
        "model.position=learned eval.lengths=[48] model.dropout=0.1",
    };
    static const char *const device[] = {"auto", "f64"};
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        for (int runs = 1; runs <= 3; runs += 2)
            assert_memory_as_planned(shapes[i / 2], device[i % 2], runs);
    }
}

static void training_step_allocates_nothing(void **state) {
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        arena *a = arena_new();
        const char *own = arena_printf(a, "train.threads=%d", threads);
        job j = job_of(a,
                       SMALL "model.d_model=64 model.layers=2 task.length=64 train.batch=16 "
                             "train.examples=50 ",
                       &own, 1);
        job_data data;
        error e = {0};
        if (job_open_data(&data, &j, 0, &e)) fail_msg("%s", e.text);
        j.model.vocab = data.trained->vocab;
        j.model.max_time = data.trained->time;
        backend b = counting_backend("auto");
        const task_set *set = data.trained;
        trainer *t = trainer_new(a, &j, &b, &set, &e);
        if (!t) fail_msg("%s", e.text);
        const optim_run run = {1e-3, 0.1, true};
        const step_result *result;
        int steps;
        for (long step = 0; step < 8; step++) { /* over the end of an epoch */
            const long before = allocations, device = device_bytes;
            trainer_step(t, step, 1, &run);
            if (step % 3 == 2 && trainer_collect(t, &result, &steps, &e)) fail_msg("%s", e.text);
            /* threads may still be coming up in step 0, which sanitizers allocate for */
            if (step || threads == 1) assert_int_equal(allocations - before, 0);
            assert_int_equal(device_bytes, device);
        }
        assert_int_equal(trainer_pending(t), 2); /* 0..2 and 3..5 are collected */
        if (trainer_collect(t, &result, &steps, &e)) fail_msg("%s", e.text);
        assert_int_equal(steps, 2);
        for (int i = 0; i < steps; i++)
            assert_true(isfinite(result[i].nll_sum) && result[i].scored > 0);
        trainer_free(t);
        arena_free(a);
    }
    long before = allocations;        /* the counter counts */
    void *volatile kept = malloc(10); /* or the compiler drops the pair */
    free(kept);
    assert_true(allocations > before);
}

/* ---- schedules: numbers worked out by hand ---------------------------------------------------*/

static double at(train_config c, long step, long steps, long epoch) {
    return schedule_at(&c, step, steps, epoch);
}
#define ASSERT_NEAR(x, y) assert_true(fabs((x) - (y)) < 1e-12)

static void schedules_have_the_stated_values(void **state) {
    (void)state;
    /* 10 % of 100 steps warm up: steps 0..9 are 1/11 .. 10/11, and step 10 is the peak */
    train_config c = {.schedule = SCHEDULE_COSINE, .warmup = 0.1};
    ASSERT_NEAR(at(c, 0, 100, 0), 1.0 / 11);
    ASSERT_NEAR(at(c, 4, 100, 0), 5.0 / 11);
    ASSERT_NEAR(at(c, 9, 100, 0), 10.0 / 11);
    ASSERT_NEAR(at(c, 10, 100, 0), 1);
    ASSERT_NEAR(at(c, 55, 100, 0), 0.5);                   /* half of the way: cos 90 */
    ASSERT_NEAR(at(c, 40, 100, 0), 0.75);                  /* a third: cos 60 = 1/2 */
    ASSERT_NEAR(at(c, 85, 100, 0), (1 - sqrt(3) / 2) / 2); /* five sixths: cos 150 */
    assert_true(at(c, 99, 100, 0) > 0 && at(c, 99, 100, 0) < 1e-3);
    c.min_lr = 0.2;
    ASSERT_NEAR(at(c, 55, 100, 0), 0.6);
    c = (train_config){.schedule = SCHEDULE_LINEAR, .warmup = 0, .min_lr = 0};
    ASSERT_NEAR(at(c, 0, 8, 0), 1);
    ASSERT_NEAR(at(c, 2, 8, 0), 0.75);
    ASSERT_NEAR(at(c, 7, 8, 0), 0.125);
    c = (train_config){.schedule = SCHEDULE_CONSTANT, .warmup = 0.5};
    ASSERT_NEAR(at(c, 0, 8, 0), 0.2);
    ASSERT_NEAR(at(c, 3, 8, 0), 0.8);
    ASSERT_NEAR(at(c, 4, 8, 0), 1);
    ASSERT_NEAR(at(c, 7, 8, 0), 1);
    c.warmup = 1; /* all of it */
    ASSERT_NEAR(at(c, 7, 8, 0), 8.0 / 9);
    /* by epoch: 4 steps each, 3 epochs, cosine: 1, 3/4, 1/4 */
    c = (train_config){.schedule = SCHEDULE_COSINE, .schedule_by = BY_EPOCH};
    for (long step = 0; step < 12; step++)
        ASSERT_NEAR(at(c, step, 12, 4), ((double[]){1, 0.75, 0.25})[step / 4]);
    /* one step, or none */
    c = (train_config){.schedule = SCHEDULE_COSINE, .warmup = 0.1};
    assert_true(isfinite(at(c, 0, 1, 0)) && at(c, 0, 1, 0) > 0);
}

static void examples_left_out_mean_a_thousand(void **state) {
    (void)state;
    arena *a = arena_new();
    job j = job_of(a, SMALL "eval.examples=0", &(const char *){""}, 1);
    job_data data;
    error e = {0};
    if (job_open_data(&data, &j, 0, &e)) fail_msg("%s", e.text);
    assert_int_equal(data.trained->count[SPLIT_VAL], 1000);
    assert_int_equal(data.trained->count[SPLIT_TEST], 1000);
    assert_int_equal(data.at_length[1]->count[SPLIT_TEST], 1000);
    arena_free(a);
}

static void run_of_no_steps_is_only_measured(void **state) {
    (void)state;
    arena *a = arena_new();
    folder f = folder_new();
    job j = job_of(a, SMALL "train.steps=0", &(const char *){""}, 1);
    training how = {0};
    assert_int_equal(train_in(&f, &j, &how), STATUS_OK);
    assert_true(ask(&f, "SELECT count(*) FROM run WHERE state = 'done'") == 1);
    /* an untrained model knows nothing: its loss is that of a guess over 128 tokens */
    const double loss = ask(&f, "SELECT value FROM final WHERE split = 'test' AND slice = '' AND "
                                "name = 'loss'");
    assert_true(fabs(loss - log(128)) < 0.1);
    folder_remove(&f);
    arena_free(a);
}

int main(void) {
    count_allocations();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_runs_equal_runs_alone),
        cmocka_unit_test(runs_without_dropout_keep_their_bits_beside_one_with_it),
        cmocka_unit_test(diverged_run_leaves_its_pack_alone),
        cmocka_unit_test(early_stop_leaves_the_pack_alone),
        cmocka_unit_test(finite_sets_and_epochs_work_in_packs),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(doubles_train_too),
        cmocka_unit_test(run_id_covers_results_and_nothing_else),
        cmocka_unit_test(cadence_of_the_log_does_not_reach_the_parameters),
        cmocka_unit_test(interrupted_runs_end_with_the_same_bits),
        cmocka_unit_test(run_interrupted_before_its_first_step_has_done_nothing),
        cmocka_unit_test(worker_waits_for_one_that_is_still_writing),
        cmocka_unit_test(broken_restore_is_seen),
        cmocka_unit_test(damaged_checkpoint_is_refused_and_the_run_starts_again),
        cmocka_unit_test(damaged_checkpoint_leaves_the_one_before),
        cmocka_unit_test(pack_whose_runs_share_no_step_starts_again),
        cmocka_unit_test(timed_out_run_goes_on_when_it_is_asked_to),
        cmocka_unit_test(planned_memory_is_what_is_allocated),
        cmocka_unit_test(training_step_allocates_nothing),
        cmocka_unit_test(schedules_have_the_stated_values),
        cmocka_unit_test(examples_left_out_mean_a_thousand),
        cmocka_unit_test(run_of_no_steps_is_only_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
