/* command_help.c - mixgrid help and doctor. */
#include "catalog.h"
#include "cli.h"
#include "completion.h"
#include "mixer_table.h"
#include "suggest.h"

#include "version.h"
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct topic {
    const char *name, *usage, *summary;
} topic;

static const topic topics[] = {
    {"config", "", "all settings of model, train and eval"},
    {"mixers", "[KEY=VALUE ...]", "all mixers, and what each costs with these settings"},
    {"mixer", "NAME", "settings and source of a mixer or an ffn"},
    {"tasks", "", "all tasks"},
    {"task", "NAME", "settings and source of a task"},
    {"recipes", "", "named default settings"},
    {"completion", "", "a script for bash and zsh: source <(mixgrid help completion)"},
};
enum { N_TOPIC = sizeof topics / sizeof *topics };

static void print_commands(void) {
    printf("mixgrid: experiment grids of sequence mixers, from YAML to tables and figures\n\n");
    for (int i = 0; i < n_commands; i++)
        printf("  mixgrid %-8s %-32s %s\n", commands[i].name, commands[i].usage,
               commands[i].summary);
    printf("\n");
    for (int i = 0; i < N_TOPIC; i++)
        printf("  mixgrid help %-10s %-25s %s\n", topics[i].name, topics[i].usage,
               topics[i].summary);
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

/* "there is no mixer or ffn catt; did you mean cat?" Names of mixers, ffns and tasks. */
static status unknown_name(const char *what, const char *name, bool is_task, const char *list,
                           error *e) {
    arena *a = arena_new();
    const char **known = ARENA_NEW(a, const char *, n_tasks + n_mixers + n_ffns);
    int n = 0;
    for (int i = 0; i < n_tasks && is_task; i++) known[n++] = tasks[i]->name;
    for (int i = 0; i < n_mixers && !is_task; i++) known[n++] = mixers[i]->name;
    for (int i = 0; i < n_ffns && !is_task; i++) known[n++] = ffns[i]->name;
    const char *near = suggest_name(name, known, n);
    error_set(e, STATUS_USAGE, "there is no %s %s%s%s; see mixgrid help %s.", what, name,
              near ? ", did you mean " : "", near ? near : "", list);
    arena_free(a);
    return e->code;
}

static status help_mixer(const char *name, error *e) {
    const mixer *m = mixer_find(name);
    const ffn *f = ffn_find(name);
    if (!m && !f) return unknown_name("mixer or ffn", name, false, "mixers", e);
    printf("%s: %s\n", name, m ? m->summary : f->summary);
    if (m) printf("source: %s\n", m->source);
    config_help(stdout, "model", m ? &m->fields : &f->fields, 1);
    return STATUS_OK;
}

static status help_task(const char *name, error *e) {
    const task *t = task_find(name);
    if (!t) return unknown_name("task", name, true, "tasks", e);
    printf("%s: %s\nsource: %s\n", t->name, t->summary, t->source);
    config_help(stdout, "task", &t->fields, 1);
    return STATUS_OK;
}

static void print_tasks(void) {
    for (int i = 0; i < n_tasks; i++)
        printf("%-16s %s (%s)\n", tasks[i]->name, tasks[i]->summary, tasks[i]->source);
}

static void print_recipes(void) {
    const schema *s = catalog_schema();
    for (int i = 0; i < s->n_recipes; i++) {
        printf("%s: %s\n", s->recipe[i].name, s->recipe[i].help);
        for (int k = 0; k < s->recipe[i].n; k++) printf("  %s\n", s->recipe[i].setting[k]);
    }
}

static void print_completion(void) {
    const char *name[N_TOPIC];
    for (int i = 0; i < N_TOPIC; i++) name[i] = topics[i].name;
    completion_print(name, N_TOPIC);
}

static status unknown_topic(const char *name, error *e) {
    const char *known[64];
    int n = 0;
    for (int i = 0; i < n_commands; i++) known[n++] = commands[i].name;
    for (int i = 0; i < N_TOPIC; i++) known[n++] = topics[i].name;
    const char *near = suggest_name(name, known, n);
    return error_set(e, STATUS_USAGE, "there is no help on %s%s%s; mixgrid help lists the topics.",
                     name, near ? ", did you mean " : "", near ? near : "");
}

/* A topic of one word, or the name of a mixer, an ffn or a task. */
static status help_word(const char *word, error *e) {
    const command *c = command_find(word);
    char *arguments[] = {(char *)word, (char *)"--help", NULL};
    if (c && c->run != command_help) return c->run(2, arguments, e);
    if (c)
        print_commands();
    else if (!strcmp(word, "config"))
        print_config_help();
    else if (!strcmp(word, "tasks"))
        print_tasks();
    else if (!strcmp(word, "recipes"))
        print_recipes();
    else if (!strcmp(word, "completion"))
        print_completion();
    else if (mixer_find(word) || ffn_find(word))
        return help_mixer(word, e);
    else if (task_find(word))
        return help_task(word, e);
    else
        return unknown_topic(word, e);
    return STATUS_OK;
}

status command_help(int argc, char **argv, error *e) {
    const char *word = argc > 1 ? argv[1] : "", *name = argc > 2 ? argv[2] : NULL;
    if (!*word || !strcmp(word, "--help") || !strcmp(word, "-h")) return help_word("help", e);
    if (!strcmp(word, "mixers") || (!strcmp(word, "mixer") && !name))
        return command_mixers(argc - 1, argv + 1, e);
    const bool takes_name = !strcmp(word, "mixer") || !strcmp(word, "task");
    if (argc > 2 + takes_name)
        return error_set(e, STATUS_USAGE,
                         "mixgrid help %s does not know what to do with %s; leave it out.", word,
                         argv[2 + takes_name]);
    if (!name) return help_word(word, e);
    return strcmp(word, "task") ? help_mixer(name, e) : help_task(name, e);
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
    arena *a = arena_new();
    error none = {0};
    cli_texts words = {0};
    if (cli_parse(a, argc, argv, NULL, 0, &words, e) || cli_refuse_words(&words, 0, argv[0], e)) {
        arena_free(a);
        return e->code;
    }
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
               "not in this build, which found no nvcc of CUDA 12 or newer or was made with "
               "-DCUDA=OFF; to have it, install nvcc, remove the folder build, and build again");
    const bool plots = on_path(a, "gnuplot");
    printf("gnuplot  %s\n",
           plots ? "found: reports have figures"
                 : "not found: reports have tables only; apt-get install gnuplot-nox");
    arena_free(a);
    return best ? STATUS_OK : error_set(e, none.code, "%s", none.text);
}
