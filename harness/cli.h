/* cli.h - commands and their options: one table per command gives parsing, errors and help. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

/* What a noun of a count ends in. */
static inline const char *plural_s(long n) { return n == 1 ? "" : "s"; }

typedef enum cli_type { CLI_FLAG, CLI_TEXT, CLI_COUNT, CLI_INDEX, CLI_LIST } cli_type;

/* One option: --name (CLI_FLAG: bool *), --name VALUE (CLI_TEXT: const char **, CLI_COUNT: long *,
 * at least 1; CLI_INDEX: at least 0), CLI_LIST: may be given again, cli_texts *. */
typedef struct cli_option {
    const char *name;
    cli_type type;
    void *target;
    const char *value, *help; /* name of the value in the help, one line of help */
} cli_option;

typedef struct cli_texts {
    int n, cap;
    const char **text;
} cli_texts;

typedef struct command {
    const char *name, *usage, *summary;
    status (*run)(int argc, char **argv, error *e); /* argv[0]: the command's name */
} command;

extern const command commands[];
extern const int n_commands;

/* Reads options anywhere among argv[1..]; what is no option goes to `positional` (behind "--"
 * everything does). --help prints usage and the table and exits 0. */
status cli_parse(arena *a, int argc, char **argv, const cli_option *option, int n,
                 cli_texts *positional, error *e);
#define CLI_PARSE(a, argc, argv, options, positional, e)                                           \
    cli_parse(a, argc, argv, options, (int)(sizeof(options) / sizeof *(options)), positional, e)

/* Words beyond the first `most`, which the command named `argv0` would ignore, are an error. */
status cli_refuse_words(const cli_texts *words, int most, const char *argv0, error *e);

/* A terminal that obeys escape sequences (not TERM=dumb); whose owner wants colours and bold, too
 * (no NO_COLOR, which counts if it is not empty). */
bool cli_is_terminal(int fd);
bool cli_has_color(int fd);
/* Columns of a terminal, and its rows (may be NULL); what is common if it does not say. */
int cli_screen(int fd, int *rows);
/* Everything printed so far is on standard output, or the error says that it is not. */
status cli_flush(error *e);

const command *command_find(const char *name); /* NULL: none */
extern const char default_db[];                /* "out/results.db" */

/* Shared by run and collect: writes the report of an experiment into `out`, NULL: report/EXPERIMENT
 * beside the database, and says where. */
status write_report(arena *a, const char *db, const char *experiment, const char *out, error *e);

/* Shared by run and submit: the value of --pack and of --retry. */
status read_pack(int *out, const char *word, error *e);
status refuse_retry(const char *word, error *e);

status command_run(int argc, char **argv, error *e);
status command_submit(int argc, char **argv, error *e);
status command_collect(int argc, char **argv, error *e);
status command_report(int argc, char **argv, error *e);
status command_status(int argc, char **argv, error *e);
status command_query(int argc, char **argv, error *e);
status command_show(int argc, char **argv, error *e);
status command_task(int argc, char **argv, error *e);
status command_probe(int argc, char **argv, error *e);
status command_bench(int argc, char **argv, error *e);
status command_theory(int argc, char **argv, error *e);
status command_doctor(int argc, char **argv, error *e);
status command_help(int argc, char **argv, error *e);
status command_rebuild(int argc, char **argv, error *e);
status command_merge(int argc, char **argv, error *e);
status command_compare(int argc, char **argv, error *e);
status command_verify(int argc, char **argv, error *e);
