/* corpus_fixture.h - made texts in a folder of their own, gone when the test ends. */
#pragma once
#include "tasks/corpus.h"
#include "tasks/test/task_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#define DATA "../shared/data/" /* real corpora, where a developer has them */

static char made_folder[64];
static char made_path[64][256]; /* files, in order of making */
static int n_made;

static inline int made_begin(void **unused) {
    (void)unused;
    snprintf(made_folder, sizeof made_folder, "/tmp/mixgrid-corpus-XXXXXX");
    return mkdtemp(made_folder) ? 0 : -1;
}

/* Removes files first, then the folders that were made along with them. */
static inline int made_end(void **unused) {
    (void)unused;
    while (n_made--) {
        unlink(made_path[n_made]);
        *strrchr(made_path[n_made], '/') = '\0';
        if (strcmp(made_path[n_made], made_folder)) rmdir(made_path[n_made]);
    }
    return rmdir(made_folder);
}

/* Writes text [n] to made_folder/name ("a.txt" or "folder/a.txt"); its path, valid until the end.
 */
static inline const char *made_text(const char *name, const char *text, size_t n) {
    char path[256];
    int i = 0;
    snprintf(path, sizeof path, "%s/%s", made_folder, name);
    while (i < n_made && strcmp(made_path[i], path)) i++;
    if (i == n_made) {
        assert_true(n_made < 64);
        memcpy(made_path[n_made++], path, sizeof path);
    }
    char *slash = strrchr(path, '/');
    *slash = '\0';
    mkdir(path, 0777);
    *slash = '/';
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    return made_path[i];
}

/* A folder with the three splits; its path. */
static inline const char *made_splits(const char *folder, const char *train, const char *valid,
                                      const char *test) {
    static char path[128];
    const char *const text[] = {train, valid, test};
    const char *const name[] = {"train", "valid", "test"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s.txt", folder, name[i]);
        made_text(path, text[i], strlen(text[i]));
    }
    snprintf(path, sizeof path, "%s/%s", made_folder, folder);
    return path;
}

/* Some `lines` lines of made words with a few characters beyond ASCII: the same on every machine.
 */
static inline char *made_prose(arena *a, int lines) {
    static const char *const word[] = {
        "the", "cat", "sat", "on", "a", "mat", "na\xC3\xAFve", "=", ".", "42", "\xE6\x97\xA5", ","};
    char *text = ARENA_NEW(a, char, lines * 120 + 1);
    size_t n = 0;
    rng g = rng_start(rng_key_make(7, "prose", "", 0), 0, 0);
    for (int i = 0; i < lines; i++) {
        for (uint32_t k = rng_below(&g, 13); k--;)
            n += (size_t)snprintf(text + n, 9, "%s ", word[rng_below(&g, 12)]);
        text[n++] = '\n';
    }
    return text;
}
