/* journal_fuzz.c - any bytes as the journal of a run, and as bench.jsonl.
 *
 * Fuzzing would hardly ever hit a right checksum: a line that ends in the seal ????????, as those
 * of the corpus do, gets the right one first; every other seal stays as it is, and is mostly wrong.
 *
 * However it is imported, the database holds the same: at once, again, or in two parts as it grew.
 * What is wrong is a line, which is named, and what precedes it is kept; a database never refuses
 * what a journal says without naming the line. Its writer opens it, or says why not. */
#include "kernels/test/fuzz.h"
#include "results/store_own.h"
#include "store_fixture.h"

#include <fcntl.h>
#include <stdlib.h>

static place p;
static store *s;

static void begin(void) {
    char why[256];
    error e = {0};
    snprintf(p.folder, sizeof p.folder, "%s", fuzz_folder());
    snprintf(p.journals, sizeof p.journals, "%s/journal", p.folder);
    CHECK(!mkdir(p.journals, 0777));
    s = store_open_private(":memory:", "results.db", why, &e);
    if (!s) BUG("%s%s", e.text, why);
    CHECK(!sqlite3_exec(store_handle(s), "PRAGMA foreign_keys = OFF", NULL, NULL, NULL));
}

static void write_journal(const char *name, const void *data, size_t n) {
    const int fd = open(fixture_journal(&p, name), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    close(fd);
}

/* Measured speeds: once in, once out; what the file holds already is not appended to it. */
static void check_bench(const char *data, size_t size) {
    error e = {0}, other = {0}, unsaved = {0};
    struct stat info;
    write_journal(JOURNAL_BENCH, data, size);
    if (store_bench_import(s, p.journals, &e)) {
        fuzz_check_error(&e);
        if (!strstr(e.text, "line ")) BUG("names no line: %s", e.text);
    }
    const long n = strtol(fixture_ask(s, "SELECT count(*) FROM bench"), NULL, 10);
    store_bench_import(s, p.journals, &other);
    CHECK(n == strtol(fixture_ask(s, "SELECT count(*) FROM bench"), NULL, 10) &&
          !strcmp(e.text, other.text));
    if (store_bench_save(s, p.journals, &unsaved)) fuzz_check_error(&unsaved);
    CHECK(!stat(fixture_journal(&p, JOURNAL_BENCH), &info) && info.st_size <= (off_t)size);
}

/* Imports what is there; the hash of all that is known then. */
static void import(char hash[65], error *e) {
    error failed = {0};
    *e = (error){0};
    if (store_import(s, p.journals, "r", e)) {
        fuzz_check_error(e);
        if (!strstr(e->text, "line ")) BUG("names no line: %s", e->text);
    }
    if (store_content_hash(s, hash, &failed)) BUG("%s", failed.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    static char data[FUZZ_MAX_BYTES];
    char whole[65], again[65];
    error e, other;
    if (!s) begin();
    if (size > FUZZ_MAX_BYTES) return 0;
    memcpy(data, input, size);
    fixture_seal(data, (long)size);
    fixture_empty(store_handle(s));
    write_journal("r", data, size);
    import(whole, &e);
    import(again, &other);
    CHECK(!strcmp(whole, again) && !strcmp(e.text, other.text));
    fixture_empty(store_handle(s));
    write_journal("r", data, size / 2); /* a torn line is no error, but damage in the middle is */
    import(again, &other);
    write_journal("r", data, size);
    import(again, &other);
    CHECK(!strcmp(whole, again) && !strcmp(e.text, other.text));
    error bad = {0};
    journal *j = journal_open(p.journals, "r", &bad);
    if (!j) {
        fuzz_check_error(&bad);
        return 0;
    }
    const journal_past last = journal_last(j);
    CHECK((int)last.state >= 0 && last.state < N_RUN_STATE);
    if (journal_close(j, &bad)) BUG("%s", bad.text);
    import(again, &other); /* the writer cut nothing but a torn tail */
    CHECK(!strcmp(whole, again));
    check_bench(data, size);
    return 0;
}
