/* suggest.c - optimal string alignment distance (Damerau-Levenshtein without overlapping swaps);
 * see suggest.h. */
#include "suggest.h"

#include <stdbool.h>
#include <string.h>

enum { MAX_WORD = 96 }; /* no setting is longer; longer words have no neighbours */

static int least(int a, int b) { return a < b ? a : b; }

int edit_distance(const char *a, const char *b, int limit) {
    const int m = (int)strnlen(a, MAX_WORD + 1), n = (int)strnlen(b, MAX_WORD + 1);
    if (m > MAX_WORD || n > MAX_WORD || m - n > limit || n - m > limit) return limit + 1;
    int row[3][MAX_WORD + 1]; /* rows i - 2, i - 1, i of the distance matrix, by i % 3 */
    for (int j = 0; j <= n; j++) row[0][j] = j;
    for (int i = 1; i <= m; i++) {
        int *now = row[i % 3];
        const int *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= n; j++) {
            const int same = a[i - 1] == b[j - 1] ? 0 : 1;
            now[j] = least(up[j - 1] + same, least(up[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], up2[j - 2] + 1);
        }
    }
    return least(row[m % 3][n], limit + 1);
}

static bool ends_with_part(const char *name, const char *part) {
    const size_t n = strlen(name), m = strlen(part);
    return n > m && name[n - m - 1] == '.' && !strcmp(name + n - m, part);
}

const char *suggest_name(const char *word, const char *const *name, int n) {
    const int limit = strlen(word) <= 1 ? 0 : strlen(word) <= 4 ? 1 : 2;
    const char *best = NULL;
    int best_distance = limit + 1;
    for (int i = 0; i < n; i++) {
        const int distance = edit_distance(word, name[i], limit);
        if (distance < best_distance) {
            best_distance = distance;
            best = name[i];
        }
    }
    for (int i = 0; !best && i < n; i++)
        if (ends_with_part(name[i], word)) best = name[i];
    for (int i = 0; !best && *word && i < n; i++)
        if (!strncmp(name[i], word, strlen(word))) best = name[i];
    return best;
}

const char *suggest_tail(arena *a, const char *word, const char *const *name, int n) {
    const char *best = suggest_name(word, name, n);
    return best ? arena_printf(a, "; did you mean %s?", best) : "";
}
