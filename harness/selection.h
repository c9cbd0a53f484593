/* selection.h - the options (task, mixers, ffn) that one cell selects. Internal to resolve.c. */
#pragma once
#include "resolve.h"

typedef struct chosen {
    const schema_selector *selector;
    const schema_option *option;
    const yaml *by; /* the written value that chose it; NULL: a default or a recipe did */
} chosen;

typedef struct selection {
    arena *arena;
    const schema *schema;
    diag *diag;
    chosen *v; /* [n], has room for all options of the schema; each option once */
    int n;
} selection;

selection selection_new(arena *a, const schema *s, diag *d);

/* Adds the option that a selector's value names; false after an error. */
bool selection_add(selection *s, const schema_selector *selector, const yaml *y, bool is_written);
/* Adds the names in the value of a selector's list key; `*named` says whether there were any. */
bool selection_add_list(selection *s, const schema_selector *selector, const yaml *y,
                        bool is_written, bool *named);

/* Says that a key exists, but for other options than those selected. */
void selection_refuse(const selection *s, const setting *x);
