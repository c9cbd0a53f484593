/* report.h - the door of this room: a database in, a folder or a table out. Reads only. */
#pragma once
#include "table.h"

typedef struct report_options {
    const char *out; /* folder, created if missing; files of an earlier report are replaced */
    unsigned image_formats; /* FIGURE_SVG | FIGURE_PNG | FIGURE_PDF; 0: all */
    bool no_figures;
} report_options;

/* Writes out/index.html, report.md, tables/NAME.{md,tex,csv}, figures/NAME.{svg,png,pdf,gp,dat} of
 * one experiment (its name, or the path of its grid file). svg, csv, tex, md and html are a pure
 * function of the database and of the version of gnuplot. log: progress and what had to be left
 * out; a missing gnuplot is said there and in the page, and is no error. */
status report_write(const char *db_path, const char *experiment, const report_options *options,
                    FILE *log, error *e);

/* Prints the tables of an experiment; `which`: id of one table ("main", "by_length"), NULL: the
 * results. color: bold by ANSI codes (terminal format only). */
status table_print(FILE *out, const char *db_path, const char *experiment, const char *which,
                   table_format format, bool color, error *e);
