/* sheet.h - a grid file as read, before its cells exist. Internal to grid.c, sheet.c, expand.c,
 * spec.c and wandb.c.
 *
 * Every axis, whether of grid, zip or baseline_changes, becomes a group: alternatives of which each
 * cell takes one, an alternative being settings made together. */
#pragma once
#include "axis.h"
#include "grid.h"
#include "override.h"
#include "resolve.h"

enum { SHEET_MAX_AXES = 256 }; /* also of clauses: bounds the recursion over them */

typedef struct alternative {
    setting *set; /* [n] */
    int n;
} alternative;

typedef struct axis_group {
    const char *key; /* of its first setting: names the stream of a random sweep */
    place at;
    bool has_baseline; /* alternative 0 sets nothing and stays (baseline_changes) */
    alternative *v;    /* [n]; n = 0: drawn from `draws` */
    int n, cap;
    axis draws;
} axis_group;

typedef struct group_list {
    axis_group *v;
    int n, cap;
} group_list;

/* KEY is one of the values. */
typedef struct condition {
    const char *key;
    axis any;
} condition;

/* An item of `when`, or (without sets) of `exclude`. */
typedef struct clause {
    place at;
    condition *match;
    int n_match;
    setting_list set;
    group_list groups;
    long hits;
} clause;

typedef struct clause_list {
    clause *v;
    int n, cap;
} clause_list;

typedef struct sheet {
    arena *arena;
    const schema *schema;
    diag *diag;
    const char *name, *text; /* the file */
    const char *experiment;
    place origin; /* of the experiment's name, else line 1 */
    setting_list base;
    group_list groups;
    clause_list when, exclude;
    bool has_seeds;
    axis seeds;
    bool random;
    long samples;
    uint64_t sample_seed;
    const yaml *root;
    long excluded, merged;
} sheet;

/* sheet.c: what grid files and W&B files share. Sentences go into the sheet's diag. */
void sheet_experiment(sheet *s, const yaml *y);
void sheet_seeds(sheet *s, const yaml *y);
/* One more axis, refused where the key varies already. */
void sheet_axis(sheet *s, group_list *groups, setting x, bool spread);
void sheet_group(sheet *s, group_list *groups, axis_group g);
void sheet_override(sheet *s, const override *o);
/* The group's alternatives of one setting each. */
void group_add_axis(arena *a, axis_group *g, setting x, const axis *values);

/* wandb.c: reads a W&B sweep file into the sheet. */
void wandb_read(sheet *s, const yaml *root);

/* expand.c: all cells, in order, without labels; `*n` of them. recipe[i]: of cell i, or NULL. */
typedef struct cell_list {
    grid_cell *v;
    const char **recipe;
    int n, cap, recipe_cap;
} cell_list;
void sheet_expand(sheet *s, cell_list *out);

/* rules.c: `early_terminate` beside `select`; NULL where there is none, or after an error. */
const halving_rules *sheet_halving(const sheet *s);
/* What to write in place of a W&B sweep file's early_terminate. */
void sheet_refuse_hyperband(const sheet *s, const yaml *y, place at);

/* spec.c: labels of the cells, axes, spec_json. */
void sheet_describe(sheet *s, cell_list *cells, grid *out);
