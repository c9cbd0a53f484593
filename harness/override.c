/* override.c - see override.h. */
#include "override.h"

#include <string.h>

static bool read_one(arena *a, const char *argument, override *out, diag *d) {
    const char *text = argument, *equals = strchr(argument, '=');
    *out = (override){.at = {.file = arena_printf(a, "command line: %.200s", argument)}};
    if (*text == '~') {
        out->kind = OVERRIDE_REMOVE;
        text++;
    } else if (!strncmp(text, "++", 2)) {
        text += 2;
    } else if (*text == '+') {
        out->kind = OVERRIDE_ADD;
        text++;
    }
    if (equals && out->kind == OVERRIDE_REMOVE) {
        diag_error(d, out->at, "~%.*s takes a setting out and has no value; leave out %s",
                   (int)(equals - text), text, equals);
        return false;
    }
    if (!equals && out->kind != OVERRIDE_REMOVE) {
        diag_error(d, out->at, "a setting is written key=value, and ~key takes one out");
        return false;
    }
    out->key = equals ? arena_printf(a, "%.*s", (int)(equals - text), text) : text;
    if (!*out->key || out->key[strcspn(out->key, " \t\n\"'")]) {
        diag_error(d, out->at, "the key is %s", *out->key ? "not a word" : "missing");
        return false;
    }
    if (!equals) return true;
    out->values = yaml_read_items(a, equals + 1, out->at, d);
    if (!out->values) return false;
    if (out->values->n) return true;
    diag_error(d, out->at,
               "%s has no value; write null for none, '' for empty text, [] for an "
               "empty list",
               out->key);
    return false;
}

const override *override_read(arena *a, const char *const *argument, int n, int *n_out, diag *d) {
    override *list = ARENA_NEW(a, override, n);
    *n_out = 0;
    for (int i = 0; i < n; i++) *n_out += read_one(a, argument[i], &list[*n_out], d);
    return list;
}
