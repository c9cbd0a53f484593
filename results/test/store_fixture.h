/* store_fixture.h - a folder of its own for a test, and small journals to fill it with. */
#pragma once
#include "kernels/core/error.h"
#include "results/journal.h"
#include "results/line_seal.h"
#include "results/store.h"

#include <ftw.h>
#include <unistd.h>

typedef struct place {
    char folder[64], db[128], journals[128];
} place;

static inline place place_new(void) {
    place p = {.folder = "/tmp/results-XXXXXX"};
    CHECK(mkdtemp(p.folder) != NULL);
    snprintf(p.db, sizeof p.db, "%s/results.db", p.folder);
    snprintf(p.journals, sizeof p.journals, "%s/journal", p.folder);
    return p;
}

static inline int place_remove_one(const char *path, const struct stat *info, int kind,
                                   struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static inline void place_remove(const place *p) {
    nftw(p->folder, place_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Of a run, or bench.jsonl; one of four texts in turn. */
static inline const char *fixture_journal(const place *p, const char *run) {
    static char path[4][256];
    static int next;
    char *out = path[next++ % 4];
    snprintf(out, sizeof path[0], "%s/%s.jsonl", p->journals, run);
    return out;
}

#define FIXTURE_CONFIG                                                                             \
    "{\"model.mixer\":\"cat\",\"task.name\":\"nar\",\"train.lr\":0.3,\"train.seed\":7,"            \
    "\"model.gated\":true,\"eval.lengths\":[64,128]}"
#define FIXTURE_ENVIRONMENT "{\"host\":\"one\",\"cpu\":\"x\"}"

/* One attempt from step `from` to `to`: a loss and a hash each step, finals when it is done. */
static inline void fixture_attempt(const place *p, const char *run, long attempt, long from,
                                   long to, run_state state, double scale) {
    error e = {0};
    journal *j = journal_open(p->journals, run, &e);
    if (!j) BUG("%s", e.text);
    journal_attempt(j, run, FIXTURE_CONFIG, FIXTURE_ENVIRONMENT, attempt, from, 1e9);
    journal_model(j, &(model_facts){1234, 64, 5e3, 15e3, 1e6});
    for (long step = from + 1; step <= to; step++) {
        journal_metric(j, "train", "", "loss", step, scale / (double)(step + 1));
        journal_hash(j, step, (uint64_t)step * 0x9e3779b97f4a7c15u);
    }
    if (state == RUN_DONE) {
        journal_final(j, "test", "", "token_acc", 0.5 * scale);
        journal_final(j, "test", "length=256", "token_acc", 0.25 * scale);
    }
    if (state != RUN_RUNNING) journal_end(j, state, to, 1.5, state == RUN_DONE ? "" : "why");
    CHECK(journal_close(j, &e) == STATUS_OK);
}

/* After a change of the bytes: the checksum of each line that has one is made right again, as if
 * the changed line had been written. */
static inline void fixture_reseal(char *text, long n) {
    for (char *line = text, *end; (end = memchr(line, '\n', (size_t)(text + n - line)));
         line = end + 1) {
        char seal[SEAL_BYTES + 1];
        if (seal_check(line, end - line) != SEAL_WRONG) continue;
        seal_make(seal, line, end - line - SEAL_BYTES);
        memcpy(end - SEAL_BYTES, seal, SEAL_BYTES);
    }
}

/* Empties the database; statements are prepared once. */
static inline void fixture_empty(sqlite3 *db) {
    static const char *const text[] = {
        "BEGIN",
        "DELETE FROM cell",
        "DELETE FROM experiment",
        "DELETE FROM import",
        "DELETE FROM artifact",
        "DELETE FROM event",
        "DELETE FROM attempt",
        "DELETE FROM bench",
        "DELETE FROM environment",
        "DELETE FROM param_hash",
        "DELETE FROM final",
        "DELETE FROM point",
        "DELETE FROM series",
        "DELETE FROM run_param",
        "DELETE FROM run",
        "COMMIT",
    };
    enum { N = sizeof text / sizeof *text };
    static sqlite3_stmt *statement[N];
    for (int i = 0; i < N; i++) {
        if (!statement[i]) sqlite3_prepare_v2(db, text[i], -1, &statement[i], NULL);
        if (sqlite3_step(statement[i]) != SQLITE_DONE) BUG("%s: %s", text[i], sqlite3_errmsg(db));
        sqlite3_reset(statement[i]);
    }
}

/* Puts the right checksums in place of the open ones, ????????, at the ends of lines. */
static inline void fixture_seal(char *text, long n) {
    static const char open_seal[] = ",\"crc\":\"????????\"}\n";
    const long length = sizeof open_seal - 1;
    for (char *line = text, *at = text; at + length <= text + n; at++) {
        char right[SEAL_BYTES + 1];
        if (at > text && at[-1] == '\n') line = at;
        if (memcmp(at, open_seal, (size_t)length)) continue;
        seal_make(right, line, at - line);
        memcpy(at, right, SEAL_BYTES);
    }
}

/* The first column of the first row, as text in a static buffer; "(none)" without a row. */
static inline const char *fixture_ask(store *s, const char *query) {
    static char answer[4096];
    sqlite3_stmt *row = NULL;
    if (sqlite3_prepare_v2(store_handle(s), query, -1, &row, NULL))
        BUG("%s: %s", query, sqlite3_errmsg(store_handle(s)));
    bool found = sqlite3_step(row) == SQLITE_ROW;
    const char *text = found ? (const char *)sqlite3_column_text(row, 0) : "(none)";
    snprintf(answer, sizeof answer, "%s", text ? text : "(null)");
    sqlite3_finalize(row);
    return answer;
}

#define ask_is(s, query, answer) assert_string_equal(fixture_ask(s, query), answer)

/* Of all results; a failure ends the test program. */
static inline void content_hash(store *s, char out[65]) {
    error e = {0};
    if (store_content_hash(s, out, &e)) BUG("%s", e.text);
}

/* Opens for writing; a failure ends the test program. */
static inline store *fixture_open(const place *p) {
    error e = {0};
    bool rebuild;
    store *s = store_open(p->db, &rebuild, &e);
    if (!s) BUG("%s", e.text);
    return s;
}
