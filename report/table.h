/* table.h - one table in memory, five formats of it.
 *
 * A cell is text, a number, or the statistics of a sample. Readers' formats show statistics as
 * "mean ± half width" with n where runs are missing; CSV gives every part a column of its own and
 * all digits, so that nobody has to parse a table. */
#pragma once
#include "choice.h"
#include "text.h"

typedef enum table_format {
    TABLE_TERMINAL,
    TABLE_MARKDOWN,
    TABLE_LATEX, /* booktabs; needs \usepackage{booktabs} */
    TABLE_CSV,
    TABLE_HTML, /* sortable by the script of the page */
    N_TABLE_FORMAT
} table_format;
extern const char *const table_extension[N_TABLE_FORMAT];

typedef enum cell_kind { CELL_EMPTY, CELL_TEXT, CELL_NUMBER, CELL_SAMPLE, CELL_SHARE } cell_kind;

typedef struct table_cell {
    cell_kind kind;
    bool bold;
    const char *text; /* what is shown */
    double value;     /* sort key; CSV's value of a number */
    double low, high; /* of a sample or share: the ends of the interval */
    double sd;
    int n, n_run;
} table_cell;

typedef struct table_column {
    const char *title, *csv; /* csv: key of the column in CSV files */
    cell_kind kind;          /* of its cells; empty ones are allowed */
} table_column;

typedef struct table {
    arena *arena;
    const char *id, *title, *caption; /* id: file name without extension */
    table_column *column;
    int n_column, cap_column;
    table_cell **row; /* [n_row][n_column] */
    int n_row, cap_row;
    int block; /* rows that belong together share their first `block` cells; a rule between */
} table;

table *table_new(arena *a, const char *id, const char *title);
void table_column_add(table *t, const char *title, const char *csv, cell_kind kind);
table_cell *table_row_add(table *t); /* [n_column], empty; columns must be complete */

table_cell cell_text(const char *s);
table_cell cell_number(arena *a, double value, const char *shown);
table_cell cell_sample(arena *a, const sample *s, int decimals);
/* successes of n with their Wilson interval, as "2/3". */
table_cell cell_share(arena *a, int successes, int n);

/* Appends the table. Terminal: bold by ANSI codes when `color`, a '*' otherwise. */
void table_render(text *out, const table *t, table_format format, bool color);
