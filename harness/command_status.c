/* command_status.c - mixgrid status: how far a sweep is, once or until it ends.
 *
 * What runs has its scheduler's lock on the database; on a network file system a lock of another
 * machine may be invisible, and shares of an array have databases of their own. There the states of
 * runs and Slurm's word are believed instead. */
#include "cli.h"
#include "results/clock.h"
#include "results/store_place.h"
#include "results/summary.h"
#include "slurm_view.h"
#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVERY_S = 2, EVERY_SLURM_S = 10 };

typedef struct status_flags {
    const char *db, *experiment;
    bool json, shares, hash, watch;
    long every_s; /* 0: by default */
} status_flags;

static status print_hash(const char *db, error *e) {
    char hash[65];
    store *results = store_open_readonly(db, e);
    if (results && !store_content_hash(results, hash, e)) printf("%s\n", hash);
    store_close(results);
    return e->code;
}

/* One line of all: a line break is nowhere in a string of JSON. */
static void join_lines(char *json) {
    char *to = json;
    for (const char *p = json; *p; p++)
        if (*p != '\n' || !p[1]) *to++ = *p;
    *to = '\0';
}

/* What a function prints, as text in the arena. */
typedef struct capture {
    FILE *out;
    char *bytes;
    size_t n;
} capture;

static status capture_open(capture *c, error *e) {
    *c = (capture){0};
    c->out = open_memstream(&c->bytes, &c->n);
    return c->out ? STATUS_OK : error_set(e, STATUS_ENVIRONMENT, "out of memory.");
}

static char *capture_close(capture *c, arena *a, error *e) {
    const bool bad = !c->out || fclose(c->out) || !c->bytes;
    if (bad && !e->code) error_set(e, STATUS_ENVIRONMENT, "out of memory.");
    char *text = arena_text(a, bad ? "" : c->bytes);
    free(c->bytes);
    return text;
}

static char *experiments_text(arena *a, const summary *what, store *s, bool json, error *e) {
    capture c;
    if (!capture_open(&c, e)) (json ? summary_print_json : summary_print)(what, s, c.out, e);
    return capture_close(&c, a, e);
}

/* "" where nothing was submitted, but for JSON of the shares alone. */
static char *shares_text(arena *a, const slurm_array *array, share_view *const *view, int n,
                         bool json, error *e) {
    capture c;
    bool is_first = true;
    if (!capture_open(&c, e)) {
        for (int i = 0; i < n; i++)
            if (json)
                slurm_array_print_json(c.out, &array[i], view[i], &is_first);
            else
                slurm_array_print(c.out, &array[i], view[i]);
        if (json) fprintf(c.out, "%s]\n", is_first ? "[" : "");
    }
    return capture_close(&c, a, e);
}

static status look(watch_look *out, arena *a, const void *user, error *e) {
    const status_flags *f = user;
    slurm_array *array;
    int n_arrays;
    store *results = NULL;
    /* Before the rows: once the lock is free they are the last. */
    const bool locked = place_is_locked(f->db);
    *out = (watch_look){.awaited = f->db, .again_s = EVERY_S, .may_be_replaced = locked};
    if (slurm_array_list(&array, &n_arrays, a, f->db, e)) return e->code;
    out->again_s = (double)(f->every_s ? f->every_s : n_arrays ? EVERY_SLURM_S : EVERY_S);
    const bool elsewhere = n_arrays || place_remote(f->db);
    const bool with_shares = f->shares || !f->json; /* JSON is one kind of rows or the other */
    share_view **view = ARENA_NEW(a, share_view *, n_arrays);
    bool active = locked;
    for (int i = 0; i < n_arrays && (with_shares || f->watch); i++) {
        view[i] = ARENA_NEW(a, share_view, array[i].shares);
        if (slurm_array_look(view[i], a, f->db, &array[i], e)) return e->code;
        active |= slurm_array_is_active(view[i], array[i].shares);
    }
    const bool collected = access(f->db, F_OK) == 0; /* or all is still with the shares */
    const bool needs_results = collected || !n_arrays || !with_shares;
    if (!f->shares && needs_results) {
        if (f->watch && store_open_if_any(&results, f->db, e)) return e->code;
        if (f->watch && !results) return STATUS_OK;
        if (!f->watch && !(results = store_open_readonly(f->db, e))) return e->code;
    }
    const char *text = "", *key = NULL, *shares = "";
    if (results) {
        const summary what = {f->experiment,
                              locked      ? SCHEDULER_ALIVE
                              : elsewhere ? SCHEDULER_UNKNOWN
                                          : SCHEDULER_GONE,
                              clock_unix_s()};
        long running = 0;
        /* the key first: what changes between the two is shown twice rather than never */
        if (f->watch && !f->json) key = experiments_text(a, &what, results, true, e);
        if (!e->code) text = experiments_text(a, &what, results, f->json, e);
        if (!e->code && f->watch && elsewhere) summary_count_running(&running, &what, results, e);
        active |= running > 0;
        store_close(results);
    }
    if (!e->code && with_shares && (n_arrays || f->json))
        shares = shares_text(a, array, view, n_arrays, f->json, e);
    char *all = arena_printf(a, "%s%s", text, shares);
    if (f->watch && f->json) join_lines(all);
    out->text = all;
    out->key = key ? arena_printf(a, "%s%s", key, shares) : NULL;
    out->is_over = !active;
    return e->code;
}

static status check(const status_flags *f, error *e) {
    if (f->hash && (f->json || f->shares))
        return error_set(e, STATUS_USAGE,
                         "--hash goes with neither --json nor --shares; leave it out.");
    if (f->hash && f->watch)
        return error_set(e, STATUS_USAGE,
                         "--hash is of results and does not go with --watch; leave one out.");
    if (f->every_s && !f->watch)
        return error_set(e, STATUS_USAGE, "--every %ld goes with --watch; add it.", f->every_s);
    return STATUS_OK;
}

status command_status(int argc, char **argv, error *e) {
    arena *a = arena_new();
    status_flags f = {.db = default_db};
    const cli_option options[] = {
        {"db", CLI_TEXT, &f.db, "FILE", "results database (default out/results.db)"},
        {"watch", CLI_FLAG, &f.watch, NULL,
         "again and again until nothing is running any more; Ctrl-C before: exit code 75"},
        {"every", CLI_COUNT, &f.every_s, "SECONDS",
         "of --watch: time between looks (default 2, 10 where Slurm is asked)"},
        {"json", CLI_FLAG, &f.json, NULL, "for scripts; with --watch a line for each change"},
        {"shares", CLI_FLAG, &f.shares, NULL, "only the shares of what was submitted"},
        {"hash", CLI_FLAG, &f.hash, NULL, "only a hash of all results: equal for equal results"},
    };
    cli_texts words = {0};
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s) s = cli_refuse_words(&words, f.hash || f.shares ? 0 : 1, argv[0], e);
    if (!s) s = check(&f, e);
    f.experiment = words.n ? words.text[0] : NULL;
    watch_look once;
    if (!s && f.hash)
        s = print_hash(f.db, e);
    else if (!s && f.watch)
        s = watch_until_over(look, &f, f.json, e);
    else if (!s && !(s = look(&once, a, &f, e)))
        fputs(once.text, stdout);
    arena_free(a);
    return s;
}
