/* command_help.c - mixgrid help and doctor. */
#include "catalog.h"
#include "cli.h"
#include "mixer_table.h"
#include "suggest.h"

#include "version.h"
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_commands(void) {
    printf("mixgrid: experiment grids of sequence mixers, from YAML to tables and figures\n\n");
    for (int i = 0; i < n_commands; i++)
        printf("  mixgrid %-8s %-32s %s\n", commands[i].name, commands[i].usage,
               commands[i].summary);
    printf("\nmixgrid COMMAND --help lists the options of a command.\n"
           "exit codes: 0 ok, 1 some runs failed, 2 usage or configuration, 3 environment, "
           "75 interrupted (run it again)\n");
}

static void print_config_help(void) {
    printf("model: shared by all mixers; mixer and ffn add their own (help mixer NAME)\n");
    config_help(stdout, "model", &model_fields, 1);
    printf("\ntrain\n");
    config_help(stdout, "train", &train_fields, 1);
    printf("\neval\n");
    config_help(stdout, "eval", &eval_fields, 1);
}

static status help_mixer(const char *name, error *e) {
    const mixer *m = mixer_find(name);
    const ffn *f = ffn_find(name);
    if (!m && !f)
        return error_set(e, STATUS_USAGE, "there is no mixer or ffn %s; see mixgrid help mixers.",
                         name);
    printf("%s: %s\n", name, m ? m->summary : f->summary);
    if (m) printf("source: %s\n", m->source);
    config_help(stdout, "model", m ? &m->fields : &f->fields, 1);
    return STATUS_OK;
}

static status help_task(const char *name, error *e) {
    const task *t = task_find(name);
    if (!t) return error_set(e, STATUS_USAGE, "there is no task %s; see mixgrid help tasks.", name);
    printf("%s: %s\nsource: %s\n", t->name, t->summary, t->source);
    config_help(stdout, "task", &t->fields, 1);
    return STATUS_OK;
}

status command_help(int argc, char **argv, error *e) {
    const char *topic = argc > 1 ? argv[1] : "", *name = argc > 2 ? argv[2] : NULL;
    const command *c = command_find(topic);
    if (!topic[0]) {
        print_commands();
    } else if (c && !name) {
        char *arguments[] = {argv[1], (char *)"--help", NULL};
        if (c->run != command_help) return c->run(2, arguments, e);
        print_commands();
    } else if (!strcmp(topic, "config")) {
        print_config_help();
    } else if (!strcmp(topic, "mixers") || (!strcmp(topic, "mixer") && !name)) {
        return command_mixers(argc - 1, argv + 1, e);
    } else if (!strcmp(topic, "tasks") || (!strcmp(topic, "task") && !name)) {
        for (int i = 0; i < n_tasks; i++)
            printf("%-16s %s (%s)\n", tasks[i]->name, tasks[i]->summary, tasks[i]->source);
    } else if (!strcmp(topic, "recipes")) {
        const schema *s = catalog_schema();
        for (int i = 0; i < s->n_recipes; i++) {
            printf("%s: %s\n", s->recipe[i].name, s->recipe[i].help);
            for (int k = 0; k < s->recipe[i].n; k++) printf("  %s\n", s->recipe[i].setting[k]);
        }
    } else if (!strcmp(topic, "mixer")) {
        return help_mixer(name, e);
    } else if (!strcmp(topic, "task")) {
        return help_task(name, e);
    } else {
        return error_set(e, STATUS_USAGE,
                         "there is no help on %s; topics: a command, config, mixers [KEY=VALUE "
                         "...], mixer NAME, "
                         "tasks, task NAME, recipes.",
                         topic);
    }
    return STATUS_OK;
}

static bool on_path(arena *a, const char *program) {
    const char *path = getenv("PATH");
    while (path && *path) {
        const size_t n = strcspn(path, ":");
        if (!access(arena_printf(a, "%.*s/%s", (int)n, path, program), X_OK)) return true;
        path += path[n] ? n + 1 : n;
    }
    return false;
}

/* A kind of device, and where it runs, what there is of it. */
static void print_backend(const backend *b, bool is_best) {
    const char *missing = b->missing();
    printf("device %-8s %-20s %s%s\n", b->name, b->summary, missing ? missing : "runs here",
           is_best ? ", used for --device auto" : "");
    if (missing) return;
    device_info list[16];
    const int n = b->devices(list, (int)(sizeof list / sizeof *list));
    for (int i = 0; i < n; i++)
        if (list[i].id[0]) /* not a processor */
            printf("  %s:%d  %s  %s, %.1f of %.1f GiB free\n", b->name, i, list[i].id, list[i].name,
                   list[i].mem_free_bytes / 0x1p30, list[i].mem_bytes / 0x1p30);
    if (b->note) printf("  %s\n", b->note());
}

status command_doctor(int argc, char **argv, error *e) {
    (void)argc;
    (void)argv;
    arena *a = arena_new();
    error none = {0};
    const backend *best = backend_find("auto", &none);
    printf("mixgrid %s, commit %s\nSQLite %s\nprocessors %ld\n", VERSION_TEXT, VERSION_COMMIT,
           sqlite3_libversion(), sysconf(_SC_NPROCESSORS_ONLN));
    bool has_cuda = false;
    for (int i = 0; backend_at(i); i++) {
        print_backend(backend_at(i), backend_at(i) == best);
        has_cuda |= !strcmp(backend_at(i)->name, "cuda");
    }
    if (!has_cuda)
        printf("device %-8s %-20s %s\n", "cuda", "NVIDIA GPU",
               "not in this build, which found no nvcc of CUDA 12 or newer; install it, remove the "
               "folder build, and build again");
    const bool plots = on_path(a, "gnuplot");
    printf("gnuplot  %s\n",
           plots ? "found: reports have figures"
                 : "not found: reports have tables only; apt-get install gnuplot-nox");
    arena_free(a);
    return best ? STATUS_OK : error_set(e, none.code, "%s", none.text);
}
