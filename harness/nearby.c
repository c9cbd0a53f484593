/* nearby.c - see nearby.h. Names are compared without their folders and endings, so that a file
 * named from another folder, or with .yml for .yaml, is found too. Nothing is read but the names of
 * folders' entries. */
#include "nearby.h"

#include "results/whole_file.h"
#include "suggest.h"

#include <libgen.h>
#include <stdbool.h>
#include <string.h>

static const char EXAMPLES[] = "experiments";
enum { MOST_FILES = 4096 }; /* of a folder with more, the rest is not looked at */

static bool is_yaml(const char *name) {
    const char *ending = strrchr(name, '.');
    return ending && ending > name && (!strcmp(ending, ".yaml") || !strcmp(ending, ".yml"));
}

/* Files of YAML, sorted, as the order of a folder is not the same on two machines. */
static names list_grids(arena *a, const char *folder) {
    names all = folder_names(a, folder, "");
    int n = 0;
    for (int i = 0; i < all.n && n < MOST_FILES; i++)
        if (is_yaml(all.name[i]))
            all.name[n++] =
                strcmp(folder, ".") ? arena_printf(a, "%s/%s", folder, all.name[i]) : all.name[i];
    return (names){all.name, n};
}

/* The name of a file without its folder, and without the ending of YAML. */
static const char *stem_of(arena *a, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return is_yaml(name) ? arena_printf(a, "%.*s", (int)(strrchr(name, '.') - name), name) : name;
}

static const char *find_near(arena *a, const char *word, const char *folder) {
    const names files = list_grids(a, folder);
    const char **name = ARENA_NEW(a, const char *, files.n + 1);
    for (int i = 0; i < files.n; i++) name[i] = stem_of(a, files.name[i]);
    const char *near = suggest_name(word, name, files.n);
    for (int i = 0; near && i < files.n; i++)
        if (name[i] == near) return files.name[i];
    return NULL;
}

const char *nearby_grid(arena *a, const char *path) {
    const char *word = stem_of(a, path), *near = find_near(a, word, dirname(arena_text(a, path)));
    if (!near) near = find_near(a, word, EXAMPLES);
    const names inner = near ? (names){0} : folder_names(a, EXAMPLES, "");
    for (int i = 0; i < inner.n && !near; i++)
        near = find_near(a, word, arena_printf(a, "%s/%s", EXAMPLES, inner.name[i]));
    if (near) return arena_printf(a, "; did you mean %s?", near);
    if (strchr(path, '=')) return "; settings come behind the grid file";
    return "; name a grid file, such as experiments/quickstart.yaml";
}

const char *nearby_first(arena *a, const char *folder) {
    const names files = list_grids(a, folder);
    return files.n ? files.name[0] : NULL;
}
