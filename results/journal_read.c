/* journal_read.c - see journal_read.h. Cost: one pass, one line in memory. */
#include "journal_read.h"

#include "kernels/core/arena.h"
#include "line_seal.h"

#include <errno.h>

enum { FINGERPRINT_BYTES = 4096 };

struct journal_reader {
    arena *arena;
    char *path;
    FILE *file;
    char *text;
    size_t cap;
    long offset, start; /* behind and before the last line */
    json_t *line;
};

names journal_runs(arena *a, const char *folder) {
    names all = folder_names(a, folder, ".jsonl");
    int n = 0;
    for (int i = 0; i < all.n; i++)
        if (strcmp(all.name[i], JOURNAL_BENCH) != 0) all.name[n++] = all.name[i];
    if (all.n > 0) all.n = n;
    return all;
}

status journal_read_open(journal_reader **out, const char *folder, const char *run_id, error *e) {
    arena *a = arena_new();
    journal_reader *r = ARENA_NEW(a, journal_reader, 1);
    r->arena = a;
    r->path = arena_printf(a, "%s/%s.jsonl", folder, run_id);
    r->file = fopen(r->path, "rbe");
    *out = r->file ? r : NULL;
    if (r->file) return STATUS_OK;
    if (errno != ENOENT)
        error_set(e, STATUS_ENVIRONMENT, "the journal %s cannot be read: %s.", r->path,
                  strerror(errno));
    arena_free(a);
    return e->code;
}

void journal_read_close(journal_reader *r) {
    if (!r) return;
    json_decref(r->line);
    fclose(r->file);
    free(r->text);
    arena_free(r->arena);
}

const char *journal_read_path(const journal_reader *r) { return r->path; }
long journal_read_offset(const journal_reader *r) { return r->offset; }

void journal_read_seek(journal_reader *r, long offset) {
    r->offset = r->start = offset;
    clearerr(r->file);
    fseek(r->file, offset, SEEK_SET);
}

long journal_read_number(const journal_reader *r) {
    FILE *file = fopen(r->path, "rbe");
    long number = 1;
    for (long at = 0; file && at < r->start; at++) number += fgetc(file) == '\n';
    if (file) fclose(file);
    return number;
}

/* Another complete line in r->text? */
static bool next_text(journal_reader *r, error *e) {
    ssize_t n = getline(&r->text, &r->cap, r->file);
    if (n < 0 && ferror(r->file))
        error_set(e, STATUS_ENVIRONMENT, "the journal %s cannot be read: %s.", r->path,
                  strerror(errno));
    if (n <= 0 || r->text[n - 1] != '\n') return false;
    r->start = r->offset;
    r->offset += n;
    return true;
}

status journal_refuse(error *e, const char *path, long number, bool damaged, const char *why) {
    return error_set(e, STATUS_ENVIRONMENT,
                     "%s, line %ld is %s%s%s; what precedes it is kept. Remove the line, or remove "
                     "the file: `mixgrid rebuild` writes it again from what the database has, and "
                     "`mixgrid run` trains what is missing then.",
                     path, number, damaged ? "damaged (" : "wrong: ", why, damaged ? ")" : "");
}

/* Checks the line in r->text, which starts at r->start, and parses it into r->line; not when it is
 * torn, which is no error. The checksum comes first: without it nothing else is to be trusted, not
 * even the version. */
static void parse(journal_reader *r, error *e) {
    const long start = r->start, n = r->offset - start;
    const seal_state seal = seal_check(r->text, n);
    json_error_t why = {.text = "its checksum is another"};
    if (seal != SEAL_WRONG) r->line = json_loadb(r->text, (size_t)n, JOURNAL_JSON, &why);
    if (!r->line) {
        const bool is_torn = seal == SEAL_NONE && !next_text(r, e);
        r->start = start;
        if (!is_torn) journal_refuse(e, r->path, journal_read_number(r), true, why.text);
        return;
    }
    const json_int_t version = json_integer_value(json_object_get(r->line, "v"));
    if (version < JOURNAL_OLDEST || version > JOURNAL_VERSION)
        error_set(e, STATUS_ENVIRONMENT,
                  version > JOURNAL_VERSION
                      ? "%s, line %ld was written by a newer mixgrid (journal version %lld, this "
                        "one reads %d); update mixgrid."
                      : "%s, line %ld is no line of a journal (\"v\" is %lld, expected %d).",
                  r->path, journal_read_number(r), (long long)version, JOURNAL_VERSION);
    else if (version > JOURNAL_OLDEST && seal == SEAL_NONE)
        journal_refuse(e, r->path, journal_read_number(r), true, "its checksum is missing");
}

bool journal_read_line(journal_reader *r, const char **text, json_t **line, error *e) {
    const long before = r->offset;
    error bad = {0};
    json_decref(r->line);
    r->line = NULL;
    if (next_text(r, &bad)) parse(r, &bad);
    error_join(e, &bad);
    if (bad.code || !r->line) {
        journal_read_seek(r, before);
        return false;
    }
    *text = r->text;
    *line = r->line;
    return true;
}

void journal_read_fingerprint(journal_reader *r, long offset, char out[SHA256_HEX]) {
    long at = r->offset, n = offset < FINGERPRINT_BYTES ? offset : FINGERPRINT_BYTES;
    char block[FINGERPRINT_BYTES];
    sha256 *h = sha256_new();
    bool whole = true;
    for (int part = 0; part < 2; part++) {
        journal_read_seek(r, part == 0 ? 0 : offset - n);
        whole = whole && fread(block, 1, (size_t)n, r->file) == (size_t)n;
        if (whole) sha256_add(h, block, (size_t)n);
    }
    sha256_end(h, out);
    if (!whole) out[0] = '\0';
    journal_read_seek(r, at);
}
