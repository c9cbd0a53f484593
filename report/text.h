/* text.h - text that grows in an arena, and the escapes of every format a report is written in.
 *
 * All escapes take UTF-8 and never fail. Labels, messages and grid files come from the user: no
 * text of the database reaches an output except through one of these. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

#include <stdio.h>

typedef struct text {
    arena *arena;
    char *s; /* NUL terminated, never NULL after text_new */
    int n, cap;
} text;

text text_new(arena *a);
void text_put(text *t, const char *s); /* as it is; NULL adds nothing */
void text_add(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

void text_html(text *t, const char *s);  /* & < > " ' */
void text_latex(text *t, const char *s); /* the ten specials, and +-, minus, dashes as commands */
void text_markdown(text *t, const char *s); /* | and what would start markup; one line */
void text_csv(text *t, const char *s);      /* RFC 4180: quoted where needed */
void text_gnuplot(text *t, const char *s);  /* with its single quotes; control bytes are blanks */

/* Columns a terminal needs for s: code points, combining marks not treated. */
int text_width(const char *s);

/* A file name made of s: lower case letters, digits and '_' only, so it is safe in any shell, in
 * gnuplot and in LaTeX. */
const char *text_slug(arena *a, const char *s);

/* The last part of a dotted key, which is what people call it: "model.conv.width" -> "width"; but
 * "name" does not say whose: "task.name" -> "task". A name that two keys share is not shortened by
 * the caller. */
const char *text_key(arena *a, const char *key);

/* A copy of at most `width` columns, of which the last is … where text was cut off. */
const char *text_short(arena *a, const char *s, int width);
/* A copy that starts with a capital letter. */
const char *text_capital(arena *a, const char *s);
/* Shortest decimal that reads back as v ("0.001", "1e-05"). */
const char *text_real(arena *a, double v);
/* Thousands apart with thin spaces left out: 1234567 -> "1.23 M"; below 10000 as it is. */
const char *text_count(arena *a, double v);
/* Seconds for people: "0.8 s", "4 min 05 s", "3 h 12 min". */
const char *text_duration(arena *a, double wall_s);

/* Creates a folder and its parents; an existing one is fine. */
status folder_make(const char *path, error *e);
/* Writes a whole file. */
status file_write(const char *path, const char *bytes, long n, error *e);
/* Reads a whole file; NULL and no error when it does not exist. */
char *file_read(arena *a, const char *path, long *n);
