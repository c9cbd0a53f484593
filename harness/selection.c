/* selection.c - see selection.h. */
#include "selection.h"

#include "suggest.h"

#include <string.h>

selection selection_new(arena *a, const schema *s, diag *d) {
    int n = 0;
    for (int i = 0; i < s->n_selectors; i++) n += s->selector[i].n;
    return (selection){.arena = a, .schema = s, .diag = d, .v = ARENA_NEW(a, chosen, n)};
}

static bool unknown_option(const selection *s, const schema_selector *selector, const yaml *y) {
    text_buffer b = {.arena = s->arena};
    const char **name = ARENA_NEW(s->arena, const char *, selector->n);
    for (int i = 0; i < selector->n; i++) {
        name[i] = selector->option[i].name;
        buffer_add(&b, i ? ", " : "; known: ");
        buffer_add(&b, name[i]);
    }
    const char *near = y->text ? suggest_tail(s->arena, y->text, name, selector->n) : "";
    diag_error(s->diag, y->at, "unknown %s %.100s%s", selector->what,
               y->text ? y->text : yaml_kind_name[y->kind], *near ? near : b.text);
    return false;
}

bool selection_add(selection *s, const schema_selector *selector, const yaml *y, bool is_written) {
    const schema_option *option = y->text ? schema_option_find(selector, y->text) : NULL;
    if (!option) return unknown_option(s, selector, y);
    for (int i = 0; i < s->n; i++)
        if (s->v[i].option == option) return true;
    s->v[s->n++] = (chosen){selector, option, is_written ? y : NULL};
    return true;
}

bool selection_add_list(selection *s, const schema_selector *selector, const yaml *y,
                        bool is_written, bool *named) {
    const yaml *const *item = y->kind == YAML_LIST ? y->item : &y;
    const int n = y->kind == YAML_LIST ? y->n : 1;
    for (int i = 0; i < n; i++) {
        *named = true;
        if (!selection_add(s, selector, item[i], is_written)) return false;
    }
    return true;
}

static bool has_key(const selection *s, const schema_option *option, const char *key) {
    return schema_find(s->schema, arena_printf(s->arena, "%s@%s", key, option->name));
}

static bool is_selected(const selection *s, const schema_option *option) {
    for (int i = 0; i < s->n; i++)
        if (s->v[i].option == option) return true;
    return false;
}

/* "cat", "cat and mamba", "a, b and c": the options that have the key, or (key NULL) that are
 * selected; `*n` of them. */
static const char *option_names(const selection *s, const schema_selector *selector,
                                const char *key, int *n) {
    text_buffer b = {.arena = s->arena};
    const char *last = NULL;
    *n = 0;
    for (int i = 0; i < selector->n; i++) {
        const schema_option *option = &selector->option[i];
        if (key ? !has_key(s, option, key) : !is_selected(s, option)) continue;
        if (last) buffer_add(&b, *n > 1 ? ", " : "");
        if (last) buffer_add(&b, last);
        last = option->name;
        ++*n;
    }
    if (*n > 1) buffer_add(&b, " and ");
    buffer_add(&b, last ? last : "none");
    return b.text;
}

void selection_refuse(const selection *s, const setting *x) {
    const char *at = strchr(x->key, '@');
    const char *base = arena_printf(s->arena, "%.*s", (int)strcspn(x->key, "@"), x->key);
    for (int i = 0; i < s->schema->n_selectors; i++) {
        const schema_selector *selector = &s->schema->selector[i];
        int n, n_selected;
        const char *owner = option_names(s, selector, base, &n);
        if (!n) continue;
        const bool several = n > 1 && !at;
        if (at) owner = at + 1;
        diag_error(s->diag, x->at,
                   "%s applies to %s%s %s, not to %s; use \"when:\" to set it for %s only", x->key,
                   selector->what, several ? "s" : "", owner,
                   option_names(s, selector, NULL, &n_selected), several ? "those" : owner);
        return;
    }
    BUG("no option has %s", x->key);
}
