/* command_task.c - mixgrid task show | export: the examples of a task, to read or for NumPy. */
#include "catalog.h"
#include "cli.h"
#include "tasks/npy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct task_flags {
    const char *split, *out;
    long index, count;
} task_flags;

/* NAME key=value ... -> settings of a whole configuration: a bare key belongs to the task. */
static const config *read_settings(arena *a, const cli_texts *words, error *e) {
    const char **setting = ARENA_NEW(a, const char *, words->n);
    int n = 0;
    setting[n++] = arena_printf(a, "task.name=%s", words->text[1]);
    for (int i = 2; i < words->n; i++) {
        const char *word = words->text[i];
        const size_t key = strcspn(word, "=.");
        const bool bare = word[key] == '=' || !strncmp(word, "mix.", 4);
        setting[n++] = bare ? arena_printf(a, "task.%s", word) : word;
    }
    diag *d = diag_new(a);
    const config *c = config_from_settings(a, catalog_schema(), setting, n, d);
    diag_print(d, stderr);
    if (!c) e->code = STATUS_USAGE; /* its sentences are printed */
    return c;
}

static status find_split(split *out, const char *name, error *e) {
    for (int i = 0; i < N_SPLIT; i++)
        if (!strcmp(name, split_name[i])) {
            *out = (split)i;
            return STATUS_OK;
        }
    return error_set(e, STATUS_USAGE, "--split is train, val or test, not %s.", name);
}

/* Held-out sets have an end; training examples are counted within what a long can hold. */
static status check_range(const task_set *s, split which, const task_flags *f, error *e) {
    const long n = which == SPLIT_TRAIN ? 1L << 40 : (long)s->count[which];
    if (f->index < n && f->count <= n - f->index) return STATUS_OK;
    return error_set(e, STATUS_USAGE, "--index %ld --count %ld: split %s has %ld examples%s.",
                     f->index, f->count, split_name[which], n,
                     which == SPLIT_TRAIN ? " that can be shown" : "; set eval.examples for more");
}

static void show(const task_set *s, split which, const task_flags *f) {
    arena *a = arena_new();
    task_example x = {ARENA_NEW(a, int, s->time), ARENA_NEW(a, int, s->time),
                      ARENA_NEW(a, int, (long)s->time *TASK_MAX_SLICES)};
    printf("task %s: %d tokens an example, vocabulary %d\n", s->task->name, s->time, s->vocab);
    for (int i = 0; i < N_SPLIT; i++) {
        if (s->tokens[i]) printf("  %-5s %lu tokens", split_name[i], (unsigned long)s->tokens[i]);
        if (s->count[i])
            printf("  %-5s %lu examples", s->tokens[i] ? "" : split_name[i],
                   (unsigned long)s->count[i]);
        else
            printf("  %-5s endless", s->tokens[i] ? "" : split_name[i]);
        putchar('\n');
    }
    for (long i = f->index; i < f->index + f->count; i++) {
        task_get(s, which, (uint64_t)i, &x);
        printf("\n%s example %ld\n", split_name[which], i);
        if (s->task->show) {
            s->task->show(s, &x, stdout);
            continue;
        }
        for (int t = 0; t < s->time; t++) printf(t ? " %d" : "  ids   %d", x.ids[t]);
        putchar('\n');
        for (int t = 0; t < s->time; t++) printf(t ? " %d" : "  label %d", x.labels[t]);
        putchar('\n');
    }
    arena_free(a);
}

static status export(const task_set *s, split which, const task_flags *f, error *e) {
    arena *a = arena_new();
    status result = STATUS_OK;
    const long n = f->count * s->time;
    int *ids = ARENA_NEW(a, int, n), *labels = ARENA_NEW(a, int, n);
    for (long i = 0; i < f->count && !result; i++) {
        task_example x = {ids + i * s->time, labels + i * s->time, NULL};
        task_get(s, which, (uint64_t)(f->index + i), &x);
    }
    if (!result && mkdir(f->out, 0777) && errno != EEXIST)
        result = error_set(e, STATUS_ENVIRONMENT,
                           "could not create the folder %s: %s; give a folder you can write with "
                           "--out.",
                           f->out, strerror(errno));
    const npy inputs = {NPY_INT32, 2, {f->count, s->time}, ids},
              targets = {NPY_INT32, 2, {f->count, s->time}, labels};
    if (!result) result = npy_write(arena_printf(a, "%s/inputs.npy", f->out), &inputs, e);
    if (!result) result = npy_write(arena_printf(a, "%s/labels.npy", f->out), &targets, e);
    if (!result)
        printf("wrote %ld examples of %d tokens to %s/inputs.npy and labels.npy\n", f->count,
               s->time, f->out);
    arena_free(a);
    return result;
}

status command_task(int argc, char **argv, error *e) {
    arena *a = arena_new();
    task_flags f = {.split = "train", .out = ".", .count = 1};
    const cli_option options[] = {
        {"split", CLI_TEXT, &f.split, "NAME", "train, val or test (default train)"},
        {"index", CLI_INDEX, &f.index, "I", "first example (default 0)"},
        {"count", CLI_COUNT, &f.count, "N", "how many examples (default 1)"},
        {"out", CLI_TEXT, &f.out, "DIR", "folder of the exported files (default .)"},
    };
    cli_texts words = {0};
    split which = SPLIT_TRAIN;
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    const bool exporting = words.n && !strcmp(words.text[0], "export");
    if (!s && (words.n < 2 || (!exporting && strcmp(words.text[0], "show"))))
        s = error_set(e, STATUS_USAGE,
                      "say mixgrid task show NAME key=value ... or mixgrid task "
                      "export NAME key=value ... --out DIR.");
    if (!s) s = find_split(&which, f.split, e);
    const config *c = s ? NULL : read_settings(a, &words, e);
    if (c) {
        job j;
        job_data data;
        job_bind(&j, a, &c, 1);
        s = job_open_data(&data, &j, 0, e);
        if (!s) s = check_range(data.trained, which, &f, e);
        if (!s && exporting)
            s = export(data.trained, which, &f, e);
        else if (!s)
            show(data.trained, which, &f);
    }
    arena_free(a);
    return s ? s : e->code;
}
