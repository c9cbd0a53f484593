/* nearby.c - see nearby.h. Names are compared without their folders and endings, so that a file
 * named from another folder, or with .yml for .yaml, is found too. Nothing is read but the names of
 * folders' entries. */
#include "nearby.h"

#include "suggest.h"

#include <dirent.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char EXAMPLES[] = "experiments";
enum { MOST_FILES = 4096 }; /* of a folder with more, the rest is not looked at */

typedef struct path_list {
    int n, cap;
    const char **path;
} path_list;

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_yaml(const char *name) {
    const char *ending = strrchr(name, '.');
    return ending && ending > name && (!strcmp(ending, ".yaml") || !strcmp(ending, ".yml"));
}

static bool is_any(const char *name) { return *name != '.'; }

/* Sorted, as the order of a folder is not the same on two machines. */
static path_list list(arena *a, const char *folder, bool (*fits)(const char *name)) {
    path_list l = {0};
    DIR *d = opendir(folder);
    for (struct dirent *x; d && l.n < MOST_FILES && (x = readdir(d));) {
        if (!fits(x->d_name)) continue;
        ARENA_GROW(a, l.path, l.n, l.cap);
        l.path[l.n++] = strcmp(folder, ".") ? arena_printf(a, "%s/%s", folder, x->d_name)
                                            : arena_text(a, x->d_name);
    }
    if (d) closedir(d);
    if (l.n) qsort(l.path, (size_t)l.n, sizeof *l.path, by_text);
    return l;
}

/* The name of a file without its folder, and without the ending of YAML. */
static const char *stem_of(arena *a, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return is_yaml(name) ? arena_printf(a, "%.*s", (int)(strrchr(name, '.') - name), name) : name;
}

static const char *find_near(arena *a, const char *word, const char *folder) {
    const path_list files = list(a, folder, is_yaml);
    const char **name = ARENA_NEW(a, const char *, files.n + 1);
    for (int i = 0; i < files.n; i++) name[i] = stem_of(a, files.path[i]);
    const char *near = suggest_name(word, name, files.n);
    for (int i = 0; near && i < files.n; i++)
        if (name[i] == near) return files.path[i];
    return NULL;
}

const char *nearby_grid(arena *a, const char *path) {
    const char *word = stem_of(a, path), *near = find_near(a, word, dirname(arena_text(a, path)));
    if (!near) near = find_near(a, word, EXAMPLES);
    const path_list inner = near ? (path_list){0} : list(a, EXAMPLES, is_any);
    for (int i = 0; i < inner.n && !near; i++) near = find_near(a, word, inner.path[i]);
    if (near) return arena_printf(a, "; did you mean %s?", near);
    if (strchr(path, '=')) return "; settings come behind the grid file";
    return "; name a grid file, such as experiments/quickstart.yaml";
}

const char *nearby_first(arena *a, const char *folder) {
    const path_list files = list(a, folder, is_yaml);
    return files.n ? files.path[0] : NULL;
}
