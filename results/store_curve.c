/* store_curve.c - one value of a curve. */
#include "store_own.h"

#include <math.h>

status store_value_at(store_value *out, store *s, const char *run_id, const char *split,
                      const char *name, long upto, error *e) {
    *out = (store_value){.step = -1, .value = (double)NAN};
    sqlite3_stmt *row = sql_bind(&s->q, e,
                                 "SELECT step, value FROM metric WHERE run = ?1 AND split = ?2 AND "
                                 "slice = '' AND name = ?3 AND step <= ?4 "
                                 "ORDER BY step DESC LIMIT 1",
                                 "ttti", run_id, split, name, upto);
    if (sql_row(&s->q, row, e)) {
        out->step = (long)sqlite3_column_int64(row, 0);
        if (sqlite3_column_type(row, 1) != SQLITE_NULL) out->value = sqlite3_column_double(row, 1);
        sqlite3_reset(row);
    }
    return e->code;
}
