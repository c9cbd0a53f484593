/* wandb.c - sweep files of Weights & Biases: method, parameters, and what can be said of the rest.
 *
 * `parameters` maps dotted setting names to {values: [...]}, {value: v}, {min, max} or
 * {distribution: ...}, nested `parameters` included. Samples of a random sweep come from run_cap.
 * Settings keep mixgrid's names: nothing is renamed. */
#include "sheet.h"

#include <string.h>

static const struct distribution {
    const char *name;
    axis_kind kind;
} distributions[] = {
    {"uniform", AXIS_UNIFORM},
    {"log_uniform_values", AXIS_LOG_UNIFORM},
    {"int_uniform", AXIS_INTEGER},
};

static axis_kind kind_of(sheet *s, const yaml *name, const yaml *low, const yaml *high) {
    if (!name) return low->kind == YAML_INT && high->kind == YAML_INT ? AXIS_INTEGER : AXIS_UNIFORM;
    for (int i = 0; name->text && i < 3; i++)
        if (!strcmp(name->text, distributions[i].name)) return distributions[i].kind;
    diag_error(s->diag, name->at,
               "distribution %.100s is not supported; there are constant, categorical, uniform, "
               "log_uniform_values and int_uniform",
               name->text ? name->text : yaml_kind_name[name->kind]);
    return AXIS_VALUES;
}

/* {min, max}, as a call of the function that grid files have for it. */
static void read_range(sheet *s, setting x) {
    static const char *const function[] = {[AXIS_UNIFORM] = "uniform",
                                           [AXIS_LOG_UNIFORM] = "log_uniform",
                                           [AXIS_INTEGER] = "int_uniform"};
    const yaml *low = yaml_get(x.value, "min"), *high = yaml_get(x.value, "max");
    if (!low || !high || !low->text || !high->text) {
        diag_error(s->diag, x.at, "%s needs values, value, or min and max", x.key);
        return;
    }
    const axis_kind kind = kind_of(s, yaml_get(x.value, "distribution"), low, high);
    if (kind == AXIS_VALUES) return;
    yaml *call = ARENA_NEW(s->arena, yaml, 1);
    *call = (yaml){.kind = YAML_TEXT, .at = x.value->at, .weight = 1};
    call->text = arena_printf(s->arena, "%s(%s, %s)", function[kind], low->text, high->text);
    sheet_axis(s, &s->groups, (setting){x.key, x.at, call}, true);
}

static void read_parameters(sheet *s, const yaml *y, const char *prefix) {
    if (y->kind != YAML_MAP) {
        diag_error(s->diag, y->at, "parameters is a map of settings");
        return;
    }
    for (int i = 0; i < y->n; i++) {
        const char *key = arena_printf(s->arena, "%s%s%s", prefix, *prefix ? "." : "", y->key[i]);
        setting x = {key, y->key_at[i], y->item[i]};
        const yaml *nested = yaml_get(x.value, "parameters");
        const yaml *values = yaml_get(x.value, "values"), *constant = yaml_get(x.value, "value");
        if (nested) {
            read_parameters(s, nested, key);
        } else if (!schema_find(s->schema, key)) {
            schema_unknown_key(s->arena, s->schema, key, x.at, s->diag);
        } else if (values) {
            x.value = values;
            sheet_axis(s, &s->groups, x, true);
        } else if (constant) {
            x.value = constant;
            setting_add(s->arena, &s->base, s->schema, x, s->diag);
        } else {
            read_range(s, x);
        }
    }
}

static void read_method(sheet *s, const yaml *y, const yaml *cap) {
    const char *method = y && y->text ? y->text : "grid";
    s->random = !strcmp(method, "random");
    if (!s->random && strcmp(method, "grid"))
        diag_error(s->diag, y->at,
                   "method %.100s is not supported, because its cells depend on "
                   "results and cannot be listed beforehand; use grid or random",
                   method);
    if (!s->random) return;
    s->samples = cap ? cap->integer : 0;
    if (s->samples < 1 || s->samples > GRID_MAX_CELLS)
        diag_error(s->diag, cap ? cap->at : y->at,
                   "method random needs run_cap, the number of samples, from 1 to %d",
                   GRID_MAX_CELLS);
}

void wandb_read(sheet *s, const yaml *root) {
    static const char *const known[] = {"method",  "parameters",  "name",  "experiment",
                                        "run_cap", "description", "seeds", NULL};
    static const char *const ignored[] = {"program", "project", "entity",
                                          "command", "metric",  NULL};
    read_method(s, yaml_get(root, "method"), yaml_get(root, "run_cap"));
    const yaml *name = yaml_get(root, "experiment");
    if (!name) name = yaml_get(root, "name");
    if (name) sheet_experiment(s, name);
    read_parameters(s, yaml_get(root, "parameters"), "");
    if (yaml_get(root, "seeds")) sheet_seeds(s, yaml_get(root, "seeds"));
    for (int i = 0; i < root->n; i++) {
        bool is_known = false, is_ignored = false;
        for (int k = 0; known[k]; k++) is_known |= !strcmp(root->key[i], known[k]);
        for (int k = 0; ignored[k]; k++) is_ignored |= !strcmp(root->key[i], ignored[k]);
        if (!strcmp(root->key[i], "early_terminate"))
            sheet_refuse_hyperband(s, root->item[i], root->key_at[i]);
        else if (is_ignored)
            diag_warning(s->diag, root->key_at[i], "%s of a W&B sweep file has no effect here",
                         root->key[i]);
        else if (!is_known)
            diag_error(s->diag, root->key_at[i],
                       "unknown key %.100s beside parameters, which makes this a W&B sweep file",
                       root->key[i]);
    }
}
