/* command_merge.c - mixgrid merge: results of other machines into a database and its journals. */
#include "cli.h"
#include "home.h"
#include "results/merge.h"
#include "results/store_place.h"
#include "results/whole_file.h"

#include <libgen.h>
#include <stdio.h>
#include <string.h>

static void print_counts(const char *db, const merge_counts *c, bool json) {
    if (json) {
        printf("{\"runs\":%ld,\"added\":%ld,\"replaced\":%ld,\"equal\":%ld,\"kept\":%ld,"
               "\"conflicts\":%ld,\"from_rows\":%ld,\"experiments\":%ld,\"cells\":%ld}\n",
               c->runs, c->added, c->replaced, c->equal, c->kept, c->conflicts, c->exported,
               c->experiments.experiments, c->experiments.cells);
        return;
    }
    printf("%s: of %ld run%s %ld added, %ld replaced by a better one, %ld equal", db, c->runs,
           plural_s(c->runs), c->added, c->replaced, c->equal);
    if (c->kept) printf(", %ld no better than ours", c->kept);
    if (c->conflicts) printf(", %ld in conflict", c->conflicts);
    printf("; %ld experiment%s and %ld cell%s added\n", c->experiments.experiments,
           plural_s(c->experiments.experiments), c->experiments.cells,
           plural_s(c->experiments.cells));
    if (c->exported) printf("%ld had no journal; it was made from the rows\n", c->exported);
}

/* Each source on its own: one that cannot be read does not keep the others out. */
static status merge_all(store *results, const char *journals, const cli_texts *source,
                        bool prefer_theirs, merge_counts *counts, error *e) {
    for (int i = 0; i < source->n; i++) {
        error one = {0};
        store_merge(results, journals, source->text[i], prefer_theirs, counts, stderr, &one);
        error_join(e, &one);
    }
    error untold = {0};
    store_tell_mixed_data(results, stderr, &untold);
    error_join(e, &untold);
    if (!e->code && counts->conflicts)
        error_set(e, STATUS_RUNS_FAILED,
                  "%ld runs have other results elsewhere and ours were kept; `mixgrid compare RUN "
                  "DB:RUN` shows all that differs, `mixgrid merge --prefer theirs` takes the "
                  "others.",
                  counts->conflicts);
    return e->code;
}

/* The folder of a database that does not exist yet. */
static status make_home(arena *a, const char *db, error *e) {
    status s = place_check(db, e);
    return s ? s : folder_create(dirname(arena_text(a, db)), e);
}

status command_merge(int argc, char **argv, error *e) {
    arena *a = arena_new();
    const char *db = default_db, *prefer = "ours";
    bool json = false, damaged = false;
    const cli_option options[] = {
        {"db", CLI_TEXT, &db, "FILE",
         "merge into this one and the journals beside it (default out/results.db)"},
        {"prefer", CLI_TEXT, &prefer, "ours|theirs",
         "whose results stay where both have some and they differ (default ours, exit code 1)"},
        {"json", CLI_FLAG, &json, NULL, "for scripts"},
    };
    cli_texts words = {0};
    merge_counts counts = {0};
    store *results = NULL;
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s && !words.n)
        s = error_set(e, STATUS_USAGE,
                      "mixgrid merge needs a database, a journal folder or a journal RUN.jsonl of "
                      "another machine.");
    if (!s && strcmp(prefer, "ours") && strcmp(prefer, "theirs"))
        s = error_set(e, STATUS_USAGE, "--prefer takes ours or theirs, not %s.", prefer);
    if (!s) s = make_home(a, db, e);
    if (!s && !(results = store_open(db, &damaged, e))) s = e->code;
    const char *journals = home_of(a, db).journal;
    if (!s && damaged) s = store_import_all(results, journals, NULL, e);
    if (!s) {
        s = merge_all(results, journals, &words, !strcmp(prefer, "theirs"), &counts, e);
        if (!s || counts.runs) print_counts(db, &counts, json);
    }
    store_close(results);
    arena_free(a);
    return s;
}
