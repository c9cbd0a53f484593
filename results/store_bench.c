/* store_bench.c - rows of the table bench; see store.h. */
#include "sha256.h"
#include "store_own.h"

#include <string.h>

status store_bench_add(store *s, const store_bench *row, error *e) {
    char environment[SHA256_HEX];
    sha256_bytes(environment, row->environment_json, strlen(row->environment_json));
    if (sql_do(&s->q, e, "INSERT OR IGNORE INTO environment (sha256, json) VALUES (?1, ?2)", "tt",
               environment, row->environment_json))
        return e->code;
    return sql_do(&s->q, e,
                  "INSERT INTO bench (time_s, name, shape, backend, value, unit, environment) "
                  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                  "dtttdtt", row->time_s, row->name, row->shape, row->backend, row->value,
                  row->unit, environment);
}
