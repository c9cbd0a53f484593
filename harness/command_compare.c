/* command_compare.c - mixgrid compare: what differs between two runs. */
#include "cli.h"
#include "results/compare.h"

#include <stdio.h>
#include <string.h>

/* "DB:ID", or "ID" in the database of --db. */
static const char *split_db(arena *a, const char **db, const char *word) {
    const char *colon = strrchr(word, ':');
    if (!colon || colon == word) return word;
    *db = arena_printf(a, "%.*s", (int)(colon - word), word);
    return colon + 1;
}

status command_compare(int argc, char **argv, error *e) {
    arena *a = arena_new();
    const char *db = default_db;
    bool json = false, equal = false;
    const cli_option options[] = {
        {"db", CLI_TEXT, &db, "FILE",
         "database of the runs that name none (default out/results.db)"},
        {"json", CLI_FLAG, &json, NULL, "for scripts"},
    };
    cli_texts words = {0};
    comparison *c = NULL;
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s && words.n != 2)
        s = error_set(e, STATUS_USAGE,
                      "mixgrid compare needs two runs, each as the beginning of its id, or "
                      "DATABASE:ID for one of another database.");
    if (!s) {
        const char *db_a = db, *db_b = db;
        const char *run_a = split_db(a, &db_a, words.text[0]);
        const char *run_b = split_db(a, &db_b, words.text[1]);
        if (!(c = compare_open(db_a, run_a, db_b, run_b, e))) s = e->code;
    }
    if (!s) s = compare_results(&equal, c, e);
    if (!s) s = compare_print(c, json, stdout, e);
    if (!s && !equal) s = STATUS_RUNS_FAILED;
    compare_close(c);
    arena_free(a);
    return s;
}
