/* merge_run.c - whose journal of a run stays; see the rules in merge.h.
 *
 * Only when the two journals are neither equal nor one the beginning of the other, theirs is
 * imported into a database of its own and the rows are compared. */
#include "merge_run.h"

#include "compare.h"
#include "journal_read.h"
#include "store_own.h"
#include "whole_file.h"

#include <sys/stat.h>
#include <unistd.h>

/* The complete lines of a journal. */
typedef struct lines {
    const char *bytes; /* NULL: there is no journal */
    long n;
} lines;

static status read_lines(lines *out, arena *a, const char *folder, const char *run, error *e) {
    journal_reader *r;
    const char *text;
    json_t *line;
    *out = (lines){0};
    if (journal_read_open(&r, folder, run, e) || !r) return e->code;
    while (journal_read_line(r, &text, &line, e)) continue;
    const char *path = journal_read_path(r);
    long whole = journal_read_offset(r);
    if (!e->code) out->bytes = file_bytes(a, path, whole, &out->n, e);
    if (!e->code && (!out->bytes || out->n < whole))
        error_set(e, STATUS_ENVIRONMENT, "%s became shorter while it was read; merge it again.",
                  path);
    journal_read_close(r);
    return e->code;
}

static bool begins_with(const lines *whole, const lines *part) {
    return part->n <= whole->n && memcmp(whole->bytes, part->bytes, (size_t)part->n) == 0;
}

static bool same_journal(arena *a, const char *one, const char *other, const char *run) {
    struct stat x, y;
    return stat(arena_printf(a, "%s/%s.jsonl", one, run), &x) == 0 &&
           stat(arena_printf(a, "%s/%s.jsonl", other, run), &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* Puts theirs into our folder and imports it. One that turns out wrong is taken out again. */
static status take_theirs(merger *m, arena *a, const lines *ours, const lines *theirs,
                          const char *run, error *e) {
    const char *path = arena_printf(a, "%s/%s.jsonl", m->journals, run);
    if (!claim_take(m->claims, run))
        return error_set(e, STATUS_ENVIRONMENT,
                         "run %s is being trained in %s; merge %s again when it has ended.", run,
                         m->journals, m->source);
    if (!file_replace(path, theirs->bytes, theirs->n, e) &&
        store_import(m->s, m->journals, run, e)) {
        error undone = {0};
        if (ours->bytes) {
            file_replace(path, ours->bytes, ours->n, &undone);
            store_import(m->s, m->journals, run, &undone);
        } else {
            unlink(path);
            store_forget(m->s, run, &undone);
        }
    }
    claim_release(m->claims, run);
    return e->code;
}

/* A result beats one cut short by the clock, and that beats none. */
static int rank(run_state state) {
    return state == RUN_DONE || state == RUN_DIVERGED ? 2 : state == RUN_TIMEOUT;
}

static void tell_conflict(merger *m, arena *a, store *other, const char *run, comparison *c,
                          error *e) {
    char ours[65], theirs[65];
    const char *brief = compare_brief(c, a, e);
    if (e->code || store_run_hash(m->s, run, ours, e) || store_run_hash(other, run, theirs, e))
        return;
    m->counts->conflicts++;
    fprintf(m->notes,
            "mixgrid: conflict: run %s has other results in %s (content hash %.12s, ours %.12s); "
            "ours | theirs: %s. Ours is kept; --prefer theirs takes the other.\n",
            run, m->source, theirs, ours, brief);
}

/* Neither journal is a part of the other. */
static status weigh(merger *m, arena *a, const lines *ours, const lines *theirs, const char *folder,
                    const char *run, error *e) {
    const char *file = arena_printf(a, "%s/%s.db", m->scratch, run);
    char why[256];
    store_run here, there;
    store *other = store_open_private(file, file, why, e);
    if (!other || store_import(other, folder, run, e) || store_run_get(other, run, &there, e) ||
        store_run_get(m->s, run, &here, e)) {
        /* the error says it */
    } else if (rank(there.state) > rank(here.state)) {
        if (!take_theirs(m, a, ours, theirs, run, e)) m->counts->replaced++;
    } else if (rank(here.state) < 2 || rank(there.state) < 2) {
        m->counts->kept++;
    } else {
        bool equal = true;
        comparison *c = compare_open(m->s->q.path, run, file, run, e);
        if (c && !compare_results(&equal, c, e)) {
            if (equal)
                m->counts->equal++;
            else if (!m->prefer_theirs)
                tell_conflict(m, a, other, run, c, e);
            else if (!take_theirs(m, a, ours, theirs, run, e))
                m->counts->replaced++;
        }
        compare_close(c);
    }
    store_close(other);
    unlink(file);
    return e->code;
}

/* Our journal, written out first where only the database has the run. */
static status read_ours(lines *out, merger *m, arena *a, const char *run, error *e) {
    store_run known;
    const char *path = arena_printf(a, "%s/%s.jsonl", m->journals, run);
    if (store_run_get(m->s, run, &known, e)) return e->code;
    if (known.attempts > 0 && access(path, F_OK) != 0 &&
        store_export_run(m->s, m->journals, run, e))
        return e->code;
    if (store_import(m->s, m->journals, run, e)) return e->code;
    return read_lines(out, a, m->journals, run, e);
}

status merge_run(merger *m, const char *folder, const char *run, error *e) {
    arena *a = arena_new();
    lines ours, theirs;
    if (same_journal(a, m->journals, folder, run)) { /* the folder is shared */
        if (!store_import(m->s, m->journals, run, e)) m->counts->equal++;
    } else if (read_lines(&theirs, a, folder, run, e) || read_ours(&ours, m, a, run, e)) {
        /* the error says it */
    } else if (theirs.n == 0 || (ours.bytes && begins_with(&ours, &theirs))) {
        m->counts->equal++;
    } else if (!ours.bytes) {
        if (!take_theirs(m, a, &ours, &theirs, run, e)) m->counts->added++;
    } else if (begins_with(&theirs, &ours)) {
        if (!take_theirs(m, a, &ours, &theirs, run, e)) m->counts->replaced++;
    } else {
        weigh(m, a, &ours, &theirs, folder, run, e);
    }
    arena_free(a);
    return e->code;
}
