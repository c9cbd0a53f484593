/* query_fuzz.c - any text as what `mixgrid query` is asked, in each format.
 *
 * It changes no byte of the database; JSON that is printed is JSON. The first byte of an input
 * chooses the format. A person ends a query that does not end with Ctrl-C; here every connection
 * counts its work and stops, and holds no value of more than a megabyte. */
#include "kernels/test/fuzz.h"
#include "results/query.h"
#include "store_fixture.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { OPERATIONS = 2000, PATIENCE = 20, VALUE_BYTES = 1 << 20, HEAP_BYTES = 256 << 20 };

static long looks;

static int is_enough(void *unused) {
    (void)unused;
    return ++looks > PATIENCE;
}

static int limit(sqlite3 *db, char **why, const struct sqlite3_api_routines *unused) {
    (void)why, (void)unused;
    sqlite3_progress_handler(db, OPERATIONS, is_enough, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, VALUE_BYTES);
    return SQLITE_OK;
}

/* The database, mapped: the bytes that every other process sees. */
static const char *mapped(const char *path, size_t *n) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    CHECK(fd >= 0 && !fstat(fd, &info));
    const char *bytes = mmap(NULL, *n = (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(bytes != MAP_FAILED);
    close(fd);
    return bytes;
}

static place made(void) {
    place p = {0};
    error e = {0};
    snprintf(p.folder, sizeof p.folder, "%s", fuzz_folder());
    snprintf(p.db, sizeof p.db, "%s/results.db", p.folder);
    snprintf(p.journals, sizeof p.journals, "%s/journal", p.folder);
    fixture_attempt(&p, "aa1", 1, -1, 2, RUN_DONE, 1);
    fixture_attempt(&p, "aa2", 1, -1, 2, RUN_FAILED, 1);
    store *s = fixture_open(&p);
    store_import_all(s, p.journals, NULL, &e);
    const store_cell cells[] = {{"aa1", "{}", "lr=1 seed=1", "{\"lr\":1,\"seed\":1}"},
                                {"aa2", "{}", "lr=1 seed=2", "{\"lr\":1,\"seed\":2}"}};
    store_experiment(s, "x", "x.yaml", "{}", cells, 2, NULL, &e);
    store_close(s);
    CHECK(!e.code);
    return p;
}

static store *keeper;

static void close_keeper(void) { store_close(keeper); }

/* A second connection that stays: with the shared cache, others need not parse the schema again. */
static void keep_schema(const char *path) {
    error e = {0};
    CHECK(!atexit(close_keeper));
    CHECK(!sqlite3_enable_shared_cache(1));
    keeper = store_open_readonly(path, &e);
    CHECK(keeper && !sqlite3_exec(store_handle(keeper), "SELECT * FROM v_final", NULL, NULL, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static place p;
    static char *before;
    static const char *now;
    static size_t bytes;
    if (!before) {
        p = made();
        now = mapped(p.db, &bytes);
        before = malloc(bytes);
        CHECK(before);
        memcpy(before, now, bytes);
        keep_schema(p.db);
        CHECK(!sqlite3_auto_extension((void (*)(void))limit));
        sqlite3_hard_heap_limit64(HEAP_BYTES);
    }
    if (!size || size > FUZZ_MAX_BYTES / 4) return 0;
    char *text = calloc(size, 1), *printed = NULL;
    size_t n = 0;
    const query_format format = (query_format)(data[0] % N_QUERY_FORMAT);
    FILE *out = open_memstream(&printed, &n);
    error e = {0};
    CHECK(text && out);
    memcpy(text, data + 1, size - 1);
    looks = 0;
    query_run(p.db, text, NULL, format, out, &e);
    fclose(out);
    if (e.code) fuzz_check_error(&e);
    if (!e.code && format == QUERY_JSON) {
        json_error_t why;
        json_t *rows = json_loadb(printed, n, 0, &why);
        if (!json_is_array(rows)) BUG("%s: %s", why.text, printed);
        json_decref(rows);
    }
    struct stat info;
    CHECK(!stat(p.db, &info) && (size_t)info.st_size == bytes && !memcmp(before, now, bytes));
    free(printed);
    free(text);
    return 0;
}
