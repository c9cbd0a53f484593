/* field.h - the table that describes one configuration struct.
 *
 * A task, a mixer, the trainer: each owns a plain C struct and a table of fields. The table is the
 * only truth: YAML parsing, range errors, `mixgrid help`, defaults and the canonical text that is
 * hashed into the run id are all made from it (harness/config). Values are bound into the struct
 * at `offset`. Names are dotted and relative to their section: "conv.width" in "model". */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum field_type {
    FIELD_INT,    /* long */
    FIELD_REAL,   /* double */
    FIELD_BOOL,   /* bool */
    FIELD_CHOICE, /* int: index into `choices` */
    FIELD_SET,    /* unsigned: bit i = choices[i] is in the list */
    FIELD_TEXT,   /* const char *, NULL when absent */
    FIELD_INTS,   /* int_list */
    FIELD_REALS,  /* real_list */
    FIELD_TEXTS,  /* text_list, e.g. the layer list of a hybrid */
} field_type;

typedef struct int_list {
    int n;
    long *v;
} int_list;

typedef struct real_list {
    int n;
    double *v;
} real_list;

typedef struct text_list {
    int n;
    const char **v;
} text_list;

typedef struct field {
    const char *name;
    field_type type;
    size_t offset;
    const char *value;   /* default, written as in YAML; NULL: must be given */
    double min, max;     /* inclusive range of numbers (of each element, for lists) */
    const char *choices; /* "none|rope|alibi" for FIELD_CHOICE and FIELD_SET */
    const char *help;    /* one sentence, shown by `mixgrid help` */
    bool per_run;        /* runs that differ only here may share a pack */
    bool no_id;          /* does not change the result: left out of the run id (threads, ...) */
} field;

typedef struct field_table {
    const field *field;
    int n;
} field_table;

#define FIELD_TABLE(array)                                                                         \
    { (array), (int)(sizeof(array) / sizeof *(array)) }
