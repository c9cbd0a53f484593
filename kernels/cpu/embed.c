/* embed.c - rows of a table by id; see kernels.def.
 *
 * An id outside the table is a bug of the caller, never data: tasks state their vocabulary. */
#include "cpu.h"
#include "kernels/core/error.h"

/* Elements before the row of ids[r, i] in table [R, vocab, cols]. */
static long row_at(const int *ids, long r, long i, long rows, long vocab, long cols) {
    const long id = ids[r * rows + i];
    if (id < 0 || id >= vocab)
        BUG("id %ld at row %ld of run %ld is outside the %ld rows of the embedding", id, i, r,
            vocab);
    return (r * vocab + id) * cols;
}

void K(embed_fwd)(real *y, const real *table, const int *ids, int runs, int rows, int vocab,
                  int cols) {
    for (long r = 0; r < runs; r++)
        for (long i = 0; i < rows; i++) {
            const real *from = table + row_at(ids, r, i, rows, vocab, cols);
            real *to = y + (r * rows + i) * cols;
            SIMD for (int c = 0; c < cols; c++) to[c] = from[c];
        }
}

/* Rows that share an id add in the order of rows, so the sum is the same every time. */
void K(embed_bwd)(real *dtable, const real *dy, const int *ids, int runs, int rows, int vocab,
                  int cols) {
    if (!dtable) return;
    for (long r = 0; r < runs; r++)
        for (long i = 0; i < rows; i++) {
            real *to = dtable + row_at(ids, r, i, rows, vocab, cols);
            const real *from = dy + (r * rows + i) * cols;
            SIMD for (int c = 0; c < cols; c++) to[c] += from[c];
        }
}
