/* command_results.c - mixgrid query, show, report, rebuild: reading what was measured. */
#include "cli.h"
#include "report/report.h"
#include "results/query.h"
#include "results/show.h"
#include "results/store.h"
#include "schedule.h"

#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static status find_format(query_format *out, const char *name, error *e) {
    for (int i = 0; i < N_QUERY_FORMAT; i++)
        if (!strcmp(name, query_format_name[i])) {
            *out = (query_format)i;
            return STATUS_OK;
        }
    return error_set(e, STATUS_USAGE, "--format is table, csv, json or markdown, not %s.", name);
}

status command_query(int argc, char **argv, error *e) {
    arena *a = arena_new();
    const char *db = default_db, *preset = NULL, *name = "table";
    bool list = false;
    const cli_option options[] = {
        {"db", CLI_TEXT, &db, "FILE", "results database (default out/results.db)"},
        {"preset", CLI_TEXT, &preset, "NAME", "a query with a name, instead of SQL"},
        {"list", CLI_FLAG, &list, NULL, "print the presets"},
        {"format", CLI_TEXT, &name, "FORMAT", "table, csv, json or markdown"},
    };
    cli_texts words = {0};
    query_format format = QUERY_TABLE;
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s) s = find_format(&format, name, e);
    if (!s) s = cli_refuse_words(&words, list ? 0 : preset ? 1 : 2, argv[0], e);
    if (!s && list) {
        for (int i = 0; i < n_query_preset; i++)
            printf("%-12s %-8s %s\n", query_preset_table[i].name,
                   query_preset_table[i].argument ? query_preset_table[i].argument : "",
                   query_preset_table[i].help);
    } else if (!s) {
        if (preset && !query_preset_find(preset))
            s = error_set(e, STATUS_USAGE,
                          "there is no preset %s; mixgrid query --list prints them.", preset);
        else if (!preset && !words.n)
            s = error_set(e, STATUS_USAGE, "mixgrid query needs SQL, or --preset NAME.");
        const int first = preset ? 0 : 1;
        if (!s)
            s = query_run(db, preset ? preset : words.text[0],
                          words.n > first ? words.text[first] : NULL, format, stdout, e);
    }
    arena_free(a);
    return s;
}

status command_show(int argc, char **argv, error *e) {
    arena *a = arena_new();
    const char *db = default_db;
    bool json = false;
    const cli_option options[] = {
        {"db", CLI_TEXT, &db, "FILE", "results database (default out/results.db)"},
        {"json", CLI_FLAG, &json, NULL, "for scripts"},
    };
    cli_texts words = {0};
    store *results = NULL;
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s && words.n != 1)
        s = error_set(e, STATUS_USAGE, "mixgrid show needs one run id, or the beginning of one.");
    if (!s && !(results = store_open_readonly(db, e))) s = e->code;
    if (!s) s = run_show(results, words.text[0], json, stdout, e);
    store_close(results);
    arena_free(a);
    return s;
}

/* Folder name of a report: the experiment, or its grid file's name without folders and ending. */
static const char *folder_name(arena *a, const char *experiment) {
    const char *slash = strrchr(experiment, '/'), *name = slash ? slash + 1 : experiment,
               *ending = strrchr(name, '.');
    const bool file = ending && (!strcmp(ending, ".yaml") || !strcmp(ending, ".yml"));
    return file ? arena_printf(a, "%.*s", (int)(ending - name), name) : name;
}

status command_report(int argc, char **argv, error *e) {
    arena *a = arena_new();
    const char *db = default_db, *out = NULL, *print = NULL, *name = NULL;
    bool no_figures = false;
    const cli_option options[] = {
        {"db", CLI_TEXT, &db, "FILE", "results database (default out/results.db)"},
        {"out", CLI_TEXT, &out, "DIR", "folder (default: report/EXPERIMENT beside the database)"},
        {"print", CLI_TEXT, &print, "TABLE", "print one table (main, by_length ...) instead"},
        {"format", CLI_TEXT, &name, "FORMAT",
         "of --print: terminal (default), markdown, latex or csv"},
        {"no-figures", CLI_FLAG, &no_figures, NULL, "tables only"},
    };
    cli_texts words = {0};
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s && words.n != 1)
        s = error_set(e, STATUS_USAGE,
                      "mixgrid report needs an experiment or its grid file; mixgrid status lists "
                      "what %s holds.",
                      db);
    if (!s && name && !print)
        s = error_set(e, STATUS_USAGE, "--format %s goes with --print TABLE, such as --print main.",
                      name);
    if (!s && print && (out || no_figures))
        s = error_set(e, STATUS_USAGE,
                      "--print %s writes no folder and no figures; leave out --%s.", print,
                      out ? "out" : "no-figures");
    if (!s && print) {
        static const char *const names[] = {"terminal", "markdown", "latex", "csv"};
        int format = 0;
        while (name && format < 4 && strcmp(names[format], name)) format++;
        if (format == 4)
            s = error_set(e, STATUS_USAGE, "--format is terminal, markdown, latex or csv, not %s.",
                          name);
        if (!s)
            s = table_print(stdout, db, words.text[0], print, (table_format)format,
                            cli_has_color(STDOUT_FILENO), e);
    } else if (!s) {
        const char *folder = out ? out
                                 : arena_printf(a, "%s/report/%s", dirname(arena_text(a, db)),
                                                folder_name(a, words.text[0]));
        s = report_write(db, words.text[0],
                         &(report_options){.out = folder, .no_figures = no_figures}, stderr, e);
        if (!s) printf("report: %s/index.html\n", folder);
    }
    arena_free(a);
    return s;
}

static status check_rebuilt(const char *db, const char *journal_folder, error *e) {
    store_check_result found;
    if (store_check(&found, db, journal_folder, stdout, e)) return e->code;
    if (found.unheld)
        printf("%ld of %ld runs have no journal, so nothing tells whether their rows are right\n",
               found.unheld, found.runs);
    if (!found.differ && !found.pages) {
        printf("%s is what its journals say: %ld runs\n", db, found.runs);
        return STATUS_OK;
    }
    if (found.pages)
        printf("%s is damaged", db);
    else
        printf("%ld of %ld runs in %s differ from their journals", found.differ, found.runs, db);
    printf("; mixgrid rebuild --db %s makes it again from them\n", db);
    return STATUS_RUNS_FAILED;
}

status command_rebuild(int argc, char **argv, error *e) {
    arena *a = arena_new();
    const char *db = default_db;
    bool check = false;
    const cli_option options[] = {
        {"db", CLI_TEXT, &db, "FILE", "database to make; the journals are looked for beside it"},
        {"check", CLI_FLAG, &check, NULL,
         "change nothing, print what differs from the journals; exit code 0: nothing does"},
    };
    cli_texts words = {0};
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    store *results = NULL;
    bool damaged = false;
    long runs = 0, written = 0;
    if (!s) s = cli_refuse_words(&words, 0, argv[0], e);
    if (check) {
        if (!s) s = check_rebuilt(db, home_of(a, db).journal, e);
        arena_free(a);
        return s;
    }
    if (!s && !(results = store_open(db, &damaged, e))) s = e->code;
    if (!s) s = store_rebuild(results, home_of(a, db).journal, &runs, &written, e);
    if (!s) printf("%ld run%s imported into %s\n", runs, plural_s(runs), db);
    if (!s && written)
        printf("%ld of them had no journal; it was written from the rows\n", written);
    store_close(results);
    arena_free(a);
    return s;
}
