/* slurm_array.c - see slurm_array.h. */
#include "slurm_array.h"

#include "catalog.h"
#include "results/jsontext.h"
#include "share.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

static const char record_ending[] = "json";

const char *slurm_array_path(arena *a, const char *db, const char *experiment, const char *ending) {
    return arena_printf(a, "%s/%s.%s", share_folder(a, db), experiment, ending);
}

status slurm_array_write(const char *db, const slurm_array *array, error *e) {
    arena *a = arena_new();
    const char *path = slurm_array_path(a, db, array->experiment, record_ending),
               *part = arena_printf(a, "%s.part", path);
    jsontext t = {.arena = a};
    jsontext_put(&t, "{\"v\":1");
    jsontext_key(&t, "experiment");
    jsontext_string(&t, array->experiment);
    jsontext_key(&t, "file");
    jsontext_string(&t, array->file);
    jsontext_key(&t, "arguments");
    jsontext_put(&t, "[");
    for (int i = 0; i < array->n_arguments; i++) {
        if (i) jsontext_put(&t, ",");
        jsontext_string(&t, array->argument[i]);
    }
    jsontext_put(&t, "]");
    jsontext_key(&t, "only");
    jsontext_string(&t, array->only);
    jsontext_key(&t, "shares");
    jsontext_printf(&t, "%d", array->shares);
    jsontext_key(&t, "job");
    jsontext_string(&t, array->job);
    jsontext_put(&t, "}\n");
    FILE *f = fopen(part, "we");
    bool good = f && fputs(t.data, f) >= 0;
    if (f) good &= fclose(f) == 0;
    if (!good || rename(part, path))
        error_set(e, STATUS_ENVIRONMENT, "%s cannot be written: %s.", path, strerror(errno));
    arena_free(a);
    return e->code;
}

static const char *member(arena *a, const json_t *record, const char *key) {
    return arena_text(a, json_string_value(json_object_get(record, key)));
}

static status read_record(slurm_array *out, arena *a, const char *path, error *e) {
    json_t *record = json_load_file(path, 0, NULL);
    const json_t *list = json_object_get(record, "arguments");
    const int n = (int)json_array_size(list);
    const char **argument = ARENA_NEW(a, const char *, n);
    for (int i = 0; i < n; i++)
        argument[i] = arena_text(a, json_string_value(json_array_get(list, (size_t)i)));
    *out = (slurm_array){.experiment = member(a, record, "experiment"),
                         .file = member(a, record, "file"),
                         .argument = argument,
                         .n_arguments = n,
                         .only = member(a, record, "only"),
                         .job = member(a, record, "job"),
                         .shares = (int)json_integer_value(json_object_get(record, "shares"))};
    bool good = out->experiment && out->file && out->shares >= 1 && out->shares <= SHARE_MOST;
    for (int i = 0; i < n; i++) good &= argument[i] != NULL;
    json_decref(record);
    if (good) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "%s is no record of a submitted array; remove it and submit again.", path);
}

static int by_experiment(const void *left, const void *right) {
    return strcmp(((const slurm_array *)left)->experiment,
                  ((const slurm_array *)right)->experiment);
}

status slurm_array_list(slurm_array **out, int *n, arena *a, const char *db, error *e) {
    const char *folder = share_folder(a, db);
    int cap = 0;
    *out = NULL;
    *n = 0;
    DIR *d = opendir(folder);
    for (const struct dirent *entry; d && !e->code && (entry = readdir(d));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot + 1, record_ending)) continue;
        ARENA_GROW(a, *out, *n, cap);
        read_record(&(*out)[(*n)++], a, arena_printf(a, "%s/%s", folder, entry->d_name), e);
    }
    if (d) closedir(d);
    if (*n && !e->code) qsort(*out, (size_t)*n, sizeof **out, by_experiment);
    return e->code;
}

const grid *slurm_array_grid(arena *a, const char *db, const slurm_array *array, error *e) {
    const char *path = slurm_array_path(a, db, array->experiment, "yaml");
    FILE *f = fopen(path, "re");
    jsontext t = {.arena = a};
    char part[4096];
    size_t n;
    while (f && (n = fread(part, 1, sizeof part, f)) > 0) jsontext_printf(&t, "%.*s", (int)n, part);
    if (f) fclose(f);
    if (!t.n) {
        error_set(e, STATUS_ENVIRONMENT,
                  "%s, the grid as it was submitted, cannot be read; name the grid file.", path);
        return NULL;
    }
    diag *d = diag_new(a);
    const grid *g = grid_read(a, catalog_schema(), t.data, t.n, array->file, array->argument,
                              array->n_arguments, d);
    if (!g) diag_first(d, e);
    return g;
}
