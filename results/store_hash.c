/* store_hash.c - one hash for all results of a database; see store.h.
 *
 * Over every run that was tried, in order of id: configuration, state, sizes, finals, curves and
 * parameter hashes, each value as its 8 bytes. Runs still pending are left out, so that a database
 * rebuilt from journals agrees with the one that also knows the plan. */
#include "store_own.h"

#include "sha256.h"

/* Every column with its type in front, text with its length: no two rows read the same. */
static void add_row(sha256 *h, sqlite3_stmt *row) {
    for (int i = 0; i < sqlite3_column_count(row); i++) {
        int type = sqlite3_column_type(row, i);
        unsigned char tag = (unsigned char)type;
        sha256_add(h, &tag, 1);
        if (type == SQLITE_INTEGER) {
            sqlite3_int64 value = sqlite3_column_int64(row, i);
            sha256_add(h, &value, sizeof value);
        } else if (type == SQLITE_FLOAT) {
            double value = sqlite3_column_double(row, i);
            sha256_add(h, &value, sizeof value);
        } else if (type != SQLITE_NULL) {
            const void *text = sqlite3_column_text(row, i);
            long n = sqlite3_column_bytes(row, i);
            sha256_add(h, &n, sizeof n);
            sha256_add(h, text, (size_t)n);
        }
    }
}

/* Of all runs, or of one; a filter in each query keeps both on their indexes. */
#define RUN_COLUMNS                                                                                \
    "SELECT id, config, state, params, state_size, forward_flops_per_token, "                      \
    "flops_per_token, mem_bytes FROM run WHERE attempts > 0 "
#define FINAL_COLUMNS "SELECT run, split, slice, name, value, flag FROM final "
#define POINT_COLUMNS "SELECT run, split, slice, name, step, value, flag FROM metric "
#define HASH_COLUMNS  "SELECT run, step, hash FROM param_hash "
enum { N_SECTION = 4 };
static const char *const of_all[N_SECTION] = {
    RUN_COLUMNS "ORDER BY id", FINAL_COLUMNS "ORDER BY 1, 2, 3, 4",
    POINT_COLUMNS "ORDER BY 1, 2, 3, 4, 5", HASH_COLUMNS "ORDER BY 1, 2"};
static const char *const of_one[N_SECTION] = {RUN_COLUMNS "AND id = ?1",
                                              FINAL_COLUMNS "WHERE run = ?1 ORDER BY 1, 2, 3, 4",
                                              POINT_COLUMNS "WHERE run = ?1 ORDER BY 1, 2, 3, 4, 5",
                                              HASH_COLUMNS "WHERE run = ?1 ORDER BY 1, 2"};

static status hash_sections(store *s, const char *const query[N_SECTION], const char *run,
                            char out[65], error *e) {
    sha256 *h = sha256_new();
    for (unsigned char i = 0; i < N_SECTION; i++) {
        unsigned char section = (unsigned char)('A' + i);
        sha256_add(h, &section, 1);
        sqlite3_stmt *row = sql_bind(&s->q, e, query[i], run ? "t" : "", run);
        while (sql_row(&s->q, row, e)) add_row(h, row);
    }
    sha256_end(h, out);
    return e->code;
}

status store_content_hash(store *s, char out[65], error *e) {
    return hash_sections(s, of_all, NULL, out, e);
}

status store_run_hash(store *s, const char *run_id, char out[65], error *e) {
    return hash_sections(s, of_one, run_id, out, e);
}
