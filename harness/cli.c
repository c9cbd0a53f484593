/* cli.c - see cli.h. */
#include "cli.h"

#include "suggest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const char default_db[] = "out/results.db";

const command commands[] = {
    {"run", "FILE [key=value ...]", "train what is missing of a grid, then write its report",
     command_run},
    {"submit", "FILE --slurm [key=value ...]", "the same on a Slurm cluster, as an array job",
     command_submit},
    {"collect", "[FILE [key=value ...]]", "bring the shares of a sweep into one database",
     command_collect},
    {"status", "[EXPERIMENT]", "how far each experiment of a database is, what is running",
     command_status},
    {"report", "EXPERIMENT|FILE", "tables and figures of an experiment", command_report},
    {"query", "SQL", "read the database with SQL, or with a preset", command_query},
    {"show", "RUN", "everything known about one run", command_show},
    {"compare", "[DB:]RUN [DB:]RUN", "what differs between two runs; exit code 0: equal results",
     command_compare},
    {"verify", "RUN", "train a finished run again and compare every bit; exit code 0: equal",
     command_verify},
    {"task", "show|export NAME [key=value ...]", "look at the examples of a task", command_task},
    {"probe", "", "logits and gradients of a model on given tokens", command_probe},
    {"theory", "[CHECK ...]", "check hand-built weights against what theory predicts",
     command_theory},
    {"bench", "", "speed of training steps: of reference models, mixers, convolutions",
     command_bench},
    {"merge", "DATABASE|FOLDER|RUN.jsonl ...", "join results of other machines into a database",
     command_merge},
    {"rebuild", "", "make the database again from the journals", command_rebuild},
    {"doctor", "", "what this machine and this build can do", command_doctor},
    {"help", "[COMMAND|TOPIC]", "this text, or one about a topic", command_help},
};
const int n_commands = sizeof commands / sizeof *commands;

const command *command_find(const char *name) {
    for (int i = 0; i < n_commands; i++)
        if (!strcmp(commands[i].name, name)) return &commands[i];
    return NULL;
}

static void print_help(const char *name, const cli_option *option, int n) {
    const command *c = command_find(name);
    if (c) printf("mixgrid %s %s\n  %s\n", c->name, c->usage, c->summary);
    for (int i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", option[i].name, option[i].value ? " " : "",
                 option[i].value ? option[i].value : "");
        printf("  %-24s %s\n", left, option[i].help);
    }
}

static const cli_option *find(const char *name, size_t length, const cli_option *option, int n) {
    for (int i = 0; i < n; i++)
        if (strlen(option[i].name) == length && !strncmp(option[i].name, name, length))
            return &option[i];
    return NULL;
}

static status unknown(arena *a, const char *command_name, const char *argument,
                      const cli_option *option, int n, error *e) {
    const char **names = ARENA_NEW(a, const char *, n);
    for (int i = 0; i < n; i++) names[i] = option[i].name;
    const char *near = suggest_name(argument + 2, names, n);
    return error_set(e, STATUS_USAGE, "mixgrid %s has no option %s%s%s; see mixgrid %s --help.",
                     command_name, argument, near ? ", did you mean --" : "", near ? near : "",
                     command_name);
}

static status set(arena *a, const cli_option *o, const char *value, error *e) {
    if (o->type == CLI_FLAG) {
        *(bool *)o->target = true;
    } else if (o->type == CLI_TEXT) {
        *(const char **)o->target = value;
    } else if (o->type == CLI_LIST) {
        cli_texts *list = o->target;
        ARENA_GROW(a, list->text, list->n, list->cap);
        list->text[list->n++] = value;
    } else {
        char *end;
        errno = 0;
        long number = strtol(value, &end, 10);
        const bool is_count = o->type == CLI_COUNT, is_number = *value && !*end && end != value;
        if (is_number && is_count && number > INT_MAX)
            return error_set(e, STATUS_USAGE, "--%s takes a whole number from 1 to %d, not %s.",
                             o->name, INT_MAX, value);
        if (errno || !is_number || number < is_count)
            return error_set(e, STATUS_USAGE, "--%s takes a whole number from %d, not %s.", o->name,
                             is_count, value);
        *(long *)o->target = number;
    }
    return STATUS_OK;
}

status cli_parse(arena *a, int argc, char **argv, const cli_option *option, int n,
                 cli_texts *positional, error *e) {
    bool only_positional = false;
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (only_positional || strncmp(text, "-", 1) || !strcmp(text, "-")) {
            ARENA_GROW(a, positional->text, positional->n, positional->cap);
            positional->text[positional->n++] = text;
            continue;
        }
        if (!strcmp(text, "--")) {
            only_positional = true;
            continue;
        }
        if (!strcmp(text, "--help") || !strcmp(text, "-h")) {
            print_help(argv[0], option, n);
            if (cli_flush(e)) return e->code;
            exit(STATUS_OK);
        }
        const char *equal = strchr(text, '=');
        const size_t length =
            strncmp(text, "--", 2) ? 0 : (equal ? (size_t)(equal - text) : strlen(text)) - 2;
        const cli_option *o = length ? find(text + 2, length, option, n) : NULL;
        if (!o) return unknown(a, argv[0], text, option, n, e);
        if (o->type == CLI_FLAG && equal)
            return error_set(e, STATUS_USAGE, "--%s takes no value.", o->name);
        const char *value = equal ? equal + 1 : NULL;
        if (o->type != CLI_FLAG && !value) {
            if (++i == argc)
                return error_set(e, STATUS_USAGE, "--%s needs a value: %s.", o->name, o->value);
            value = argv[i];
        }
        if (value && !*value)
            return error_set(e, STATUS_USAGE, "--%s is empty; it takes %s.", o->name, o->value);
        if (set(a, o, value, e)) return e->code;
    }
    return STATUS_OK;
}

bool cli_is_terminal(int fd) {
    const char *term = getenv("TERM");
    return isatty(fd) && term && strcmp(term, "dumb");
}

bool cli_has_color(int fd) {
    const char *none = getenv("NO_COLOR");
    return cli_is_terminal(fd) && !(none && *none);
}

int cli_screen(int fd, int *rows) {
    struct winsize w;
    const bool known = ioctl(fd, TIOCGWINSZ, &w) == 0;
    if (rows) *rows = known && w.ws_row > 2 ? w.ws_row : 24;
    return known && w.ws_col > 20 ? w.ws_col : 100;
}

status cli_flush(error *e) {
    if (!fflush(stdout) && !ferror(stdout)) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "standard output could not be written: it is closed or its disk is full.");
}

status cli_refuse_words(const cli_texts *words, int most, const char *argv0, error *e) {
    if (words->n <= most) return STATUS_OK;
    return error_set(e, STATUS_USAGE,
                     "mixgrid %s does not know what to do with %s; see mixgrid %s --help.", argv0,
                     words->text[most], argv0);
}
