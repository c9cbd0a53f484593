/* value.h - a value with the type of its field, and its one canonical spelling.
 *
 * Canonical text is JSON: integers in decimal, reals as the shortest of %.15g, %.16g, %.17g that
 * reads back to the same bits (so 1e-3, 0.001 and 1.0e-3 are one value, and 1 given for a real is
 * 1.0), lists without blanks, sets in the order of the field's choices, infinity as "inf".
 * Locale: numbers are read and written in the C locale; the program never sets another. */
#pragma once
#include "kernels/core/field.h"
#include "yaml.h"

/* Text that grows at its end, in an arena. */
typedef struct text_buffer {
    arena *arena;
    char *text; /* NUL-terminated once something was added */
    long n, cap;
} text_buffer;
void buffer_add(text_buffer *b, const char *text);
void buffer_add_bytes(text_buffer *b, const char *text, long n);
void buffer_add_json(text_buffer *b, const char *text); /* quoted and escaped; NULL: null */
void buffer_add_yaml(text_buffer *b, const yaml *y);    /* as compact JSON */

/* Shortest text that reads back to the same double; `out` has room for 32 bytes. */
void real_text(char out[32], double x);

typedef struct value {
    const char *json; /* canonical */
    const char *text; /* json without the quotes of text and of choices in lists: for people */
    bool is_number;   /* `number` is the value: integers, reals, booleans (0 or 1) */
    double number;
    union {
        long integer;
        double real;
        bool boolean;
        int choice;
        unsigned set;
        const char *string; /* NULL: null */
        int_list ints;
        real_list reals;
        text_list texts;
    };
} value;

/* Types, range and choices checked against `f`; `key` names it in sentences. A scalar given for a
 * list is a list of one; 1e4 given for an integer is 10000. NULL after errors were put into `d`. */
const value *value_read(arena *a, const char *key, const field *f, const yaml *y, diag *d);

/* Writes a value into `config` at the field's offset; lists and texts are shared, not copied. */
void value_bind(void *config, const field *f, const value *v);

/* "an integer from 1 to 64", "one of none, rope, alibi": what the field takes. */
const char *field_expects(arena *a, const field *f);
bool field_is_list(const field *f); /* FIELD_SET, FIELD_INTS, FIELD_REALS, FIELD_TEXTS */
