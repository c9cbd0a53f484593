/* resolve.c - see resolve.h. */
#include "resolve.h"

#include "map.h"
#include "selection.h"
#include "suggest.h"

#include <stdlib.h>
#include <string.h>

/* A field that applies to a cell. */
typedef struct slot {
    const char *key;  /* with @OPTION where several options of the cell have the name */
    const char *base; /* without */
    const field *field;
    const schema_selector *selector; /* NULL for fields that always apply */
    const char *option;
    const yaml *chosen_by; /* the written value that selected the option, or NULL */
} slot;

/* What all cells with the same recipe and options share. */
typedef struct template {
    int n;
    slot *slot;                 /* [n] sorted by key */
    const config_entry **entry; /* [n] before a cell's own settings; NULL: no value yet */
    bool has_options_apart;     /* some base occurs more than once */
    bool broken;                /* a shared setting is wrong */
}
template;

struct resolver {
    arena *arena;
    const schema *schema;
    const setting_list *base;
    setting_list *recipe; /* [schema->n_recipes] */
    place origin;
    diag *diag;
    map *template; /* names of recipe and options -> template* */
    map *value;    /* field, yaml -> value*, or &bad */
    map *entry;    /* slot, yaml -> config_entry* */
    map *text;     /* default texts -> yaml* */
    selection selection;
    text_buffer buffer;
};

static value bad; /* stands for a value whose error has been reported */
static const config_entry broken_entry;

static const yaml *read_default(resolver *r, const char *text, const char *source) {
    void **known = map_text(r->text, text);
    if (!*known) {
        const yaml *y = yaml_read_value(r->arena, text, (place){.file = source}, r->diag);
        if (!y) BUG("default %s is not YAML", text);
        *known = (void *)y;
    }
    return *known;
}

static void read_recipe(resolver *r, setting_list *list, const schema_recipe *recipe) {
    const place at = {.file = arena_printf(r->arena, "recipe %s", recipe->name)};
    for (int i = 0; i < recipe->n; i++) {
        const char *text = recipe->setting[i], *equals = strchr(text, '=');
        if (!equals) BUG("recipe %s: %s", recipe->name, text);
        const char *key = arena_printf(r->arena, "%.*s", (int)(equals - text), text);
        const yaml *y = yaml_read_value(r->arena, equals + 1, at, r->diag);
        if (y) setting_add(r->arena, list, r->schema, (setting){key, at, y}, r->diag);
    }
}

resolver *resolver_new(arena *a, const schema *s, const setting_list *base, place origin, diag *d) {
    resolver *r = ARENA_NEW(a, resolver, 1);
    *r = (resolver){.arena = a, .schema = s, .base = base, .origin = origin, .diag = d};
    r->template = map_new(a);
    r->value = map_new(a);
    r->entry = map_new(a);
    r->text = map_new(a);
    r->buffer.arena = a;
    r->selection = selection_new(a, s, d);
    r->recipe = ARENA_NEW(a, setting_list, s->n_recipes);
    for (int i = 0; i < s->n_recipes; i++) read_recipe(r, &r->recipe[i], &s->recipe[i]);
    return r;
}

/* The last setting of a key. */
static const yaml *last_of(const setting *v, int n, const char *key) {
    for (int i = n - 1; i >= 0; i--)
        if (!strcmp(v[i].key, key)) return v[i].value;
    return NULL;
}

static const yaml *written(const resolver *r, const setting *change, int n, const char *key) {
    const yaml *y = last_of(change, n, key);
    return y ? y : last_of(r->base->v, r->base->n, key);
}

const char *resolve_recipe(const resolver *r, const setting *change, int n) {
    const yaml *y = written(r, change, n, "recipe");
    return y && y->kind != YAML_NULL ? y->text : NULL;
}

/* Settings of the cell's recipe (an empty list for none), NULL after an error. */
static const setting_list *recipe_of(resolver *r, const setting *change, int n) {
    static const setting_list none;
    const yaml *y = written(r, change, n, "recipe");
    if (!y || y->kind == YAML_NULL) return &none;
    const char **name = ARENA_NEW(r->arena, const char *, r->schema->n_recipes);
    for (int i = 0; i < r->schema->n_recipes; i++) {
        name[i] = r->schema->recipe[i].name;
        if (y->text && !strcmp(y->text, name[i])) return &r->recipe[i];
    }
    diag_error(r->diag, y->at, "unknown recipe %.100s%s", y->text ? y->text : "(a list)",
               y->text ? suggest_tail(r->arena, y->text, name, r->schema->n_recipes) : "");
    return NULL;
}

/* A key's value and whether the user wrote it: change, base, recipe, default, in this order. */
static const yaml *effective(resolver *r, const setting *change, int n, const setting_list *recipe,
                             const char *key, bool *is_written) {
    const yaml *y = written(r, change, n, key);
    *is_written = y != NULL;
    if (!y) y = last_of(recipe->v, recipe->n, key);
    if (y) return y;
    const field *f = schema_find(r->schema, key);
    if (!f) BUG("schema has no %s", key);
    return f->value ? read_default(r, f->value, "default") : NULL;
}

/* Fills r->selection; false after an error. */
static bool select_options(resolver *r, const setting *change, int n, const setting_list *recipe) {
    bool good = true, is_written;
    r->selection.n = 0;
    for (int i = 0; i < r->schema->n_selectors; i++) {
        const schema_selector *s = &r->schema->selector[i];
        bool named = false;
        if (s->list_key) {
            const yaml *y = effective(r, change, n, recipe, s->list_key, &is_written);
            if (y) good &= selection_add_list(&r->selection, s, y, is_written, &named);
        }
        if (named) continue;
        const yaml *y = effective(r, change, n, recipe, s->key, &is_written);
        if (y) good &= selection_add(&r->selection, s, y, is_written);
    }
    return good;
}

static const value *typed(resolver *r, const char *key, const field *f, const yaml *y) {
    const void *pair[2] = {f, y};
    void **known = map_at(r->value, pair, sizeof pair);
    if (!*known) {
        const value *v = value_read(r->arena, key, f, y, r->diag);
        *map_at(r->value, pair, sizeof pair) = v ? (void *)v : &bad;
        return v;
    }
    return *known == &bad ? NULL : *known;
}

static const config_entry *entry_new(resolver *r, const char *key, const field *f, const value *v,
                                     const yaml *y, bool given) {
    config_entry *e = ARENA_NEW(r->arena, config_entry, 1);
    *e = (config_entry){.key = key, .field = f, .value = v, .source = y, .given = given};
    e->pair = arena_printf(r->arena, "\"%s\":%s", key, v->json);
    return e;
}

/* The slot's entry for a value; &broken_entry after an error. */
static const config_entry *entry_of(resolver *r, const slot *s, const yaml *y, bool given) {
    const void *pair[2] = {s, y};
    void **known = map_at(r->entry, pair, sizeof pair);
    if (!*known) {
        const value *v = typed(r, s->key, s->field, y);
        const config_entry *e = v ? entry_new(r, s->key, s->field, v, y, given) : &broken_entry;
        *known = (void *)e;
    }
    return *known;
}

/* First slot whose key is not before `key`. */
static int slot_bound(const template *t, const char *key) {
    int low = 0, high = t->n;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (key_compare(t->slot[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The slots that KEY or KEY@OPTION means: [*first, result). */
static int slot_range(const template *t, const char *key, int *first) {
    const char *at = strchr(key, '@');
    char base[256];
    snprintf(base, sizeof base, "%.*s", (int)(at ? at - key : (long)strlen(key)), key);
    int i = *first = slot_bound(t, base);
    for (; i < t->n && !strcmp(t->slot[i].base, base); i++) {
        if (!at) continue;
        if (t->slot[i].option && !strcmp(t->slot[i].option, at + 1)) {
            *first = i;
            return i + 1;
        }
    }
    if (at) *first = i;
    return i;
}

/* Applies one setting; false after an error. `optional`: of a recipe, may not apply. */
static bool apply(resolver *r, const template *t, const config_entry **entry, const setting *x,
                  bool optional) {
    if (!strcmp(x->key, "recipe")) return true;
    int first;
    const int end = slot_range(t, x->key, &first);
    bool good = true;
    for (int i = first; i < end; i++) {
        entry[i] = entry_of(r, &t->slot[i], x->value, true);
        good &= entry[i] != &broken_entry;
    }
    if (first == end && !optional) {
        selection_refuse(&r->selection, x);
        return false;
    }
    return good;
}

static int compare_slots(const void *left, const void *right) {
    const slot *a = left, *b = right;
    const int by_base = key_compare(a->base, b->base);
    return by_base ? by_base : strcmp(a->option ? a->option : "", b->option ? b->option : "");
}

static void add_slots(resolver *r, template *t, const char *section, const field_table *table,
                      const chosen *c) {
    const int length = (int)strcspn(section, ".");
    for (int i = 0; i < table->n; i++) {
        slot *s = &t->slot[t->n++];
        *s = (slot){.field = &table->field[i]};
        s->base = s->key = arena_printf(r->arena, "%.*s.%s", length, section, s->field->name);
        if (!c) continue;
        s->selector = c->selector;
        s->option = c->option->name;
        s->chosen_by = c->by;
    }
}

static template *template_build(resolver *r, const setting_list *recipe) {
    const schema *s = r->schema;
    template *t = ARENA_NEW(r->arena, template, 1);
    int n = 0;
    for (int i = 0; i < s->n_sections; i++)
        for (int k = 0; k < s->section[i].n; k++) n += s->section[i].table[k].n;
    for (int i = 0; i < r->selection.n; i++) n += r->selection.v[i].option->fields.n;
    t->slot = ARENA_NEW(r->arena, slot, n);
    t->entry = ARENA_NEW(r->arena, const config_entry *, n);
    for (int i = 0; i < s->n_sections; i++)
        for (int k = 0; k < s->section[i].n; k++)
            add_slots(r, t, s->section[i].name, &s->section[i].table[k], NULL);
    for (int i = 0; i < r->selection.n; i++)
        add_slots(r, t, r->selection.v[i].selector->key, &r->selection.v[i].option->fields,
                  &r->selection.v[i]);
    qsort(t->slot, (size_t)n, sizeof *t->slot, compare_slots);
    for (int i = 0; i < n; i++) {
        slot *x = &t->slot[i];
        const bool apart =
            (i > 0 && !strcmp(x[-1].base, x->base)) || (i + 1 < n && !strcmp(x[1].base, x->base));
        t->has_options_apart |= apart;
        if (apart) x->key = arena_printf(r->arena, "%s@%s", x->base, x->option);
    }
    for (int i = 0; i < n; i++) {
        const char *text = t->slot[i].field->value;
        if (text) t->entry[i] = entry_of(r, &t->slot[i], read_default(r, text, "default"), false);
    }
    for (int i = 0; i < recipe->n; i++) t->broken |= !apply(r, t, t->entry, &recipe->v[i], true);
    for (int i = 0; i < r->base->n; i++) t->broken |= !apply(r, t, t->entry, &r->base->v[i], false);
    return t;
}

/* The template of a cell; NULL after an error in what selects it. */
static const template *template_of(resolver *r, const setting *change, int n) {
    const setting_list *recipe = recipe_of(r, change, n);
    if (!recipe || !select_options(r, change, n, recipe)) return NULL;
    text_buffer *b = &r->buffer;
    const char *name = resolve_recipe(r, change, n);
    b->n = 0;
    buffer_add(b, name ? name : "");
    for (int i = 0; i < r->selection.n; i++) {
        const chosen *c = &r->selection.v[i];
        buffer_add(b, "\n");
        buffer_add(b, c->selector->key);
        buffer_add(b, "=");
        buffer_add(b, c->option->name);
    }
    void **known = map_at(r->template, b->text, b->n);
    if (!*known) {
        template *t = template_build(r, recipe);
        *known = t;
    }
    return *known;
}

/* --- what schema.fill() may do --- */

struct draft {
    resolver *resolver;
    const template *template;
    const config_entry **entry;
};

static const config_entry *draft_find(const draft *d, const char *key) {
    int first;
    return slot_range(d->template, key, &first) > first ? d->entry[first] : NULL;
}

bool draft_given(const draft *d, const char *key) {
    const config_entry *e = draft_find(d, key);
    return e && e->given;
}

const char *draft_get(const draft *d, const char *key) {
    const config_entry *e = draft_find(d, key);
    return e && e->value ? e->value->text : NULL;
}

void draft_set(draft *d, const char *key, const char *text) {
    int first;
    const int end = slot_range(d->template, key, &first);
    const yaml *y = read_default(d->resolver, text, "default");
    for (int i = first; i < end; i++)
        d->entry[i] = entry_of(d->resolver, &d->template->slot[i], y, false);
}

/* --- a finished cell --- */

static bool report_missing(resolver *r, const slot *s) {
    const char *wanted = field_expects(r->arena, s->field);
    if (s->option)
        diag_error(r->diag, s->chosen_by ? s->chosen_by->at : r->origin,
                   "%s is missing; %s %s needs it: %s", s->base, s->selector->what, s->option,
                   wanted);
    else
        diag_error(r->diag, r->origin, "%s is missing; give %s", s->base, wanted);
    return false;
}

/* Entries of options that agree become one; `entry` [n] -> the new n. */
static int merge_options(resolver *r, const template *t, const config_entry **entry) {
    int out = 0;
    for (int i = 0, end; i < t->n; i = end) {
        const slot *s = &t->slot[i];
        bool equal = true;
        for (end = i + 1; end < t->n && !strcmp(t->slot[end].base, s->base); end++)
            equal &= !strcmp(entry[end]->value->json, entry[i]->value->json);
        const config_entry *e = entry[i];
        if (end > i + 1 && equal) {
            const void *name[3] = {s, e, r};
            void **known = map_at(r->entry, name, sizeof name);
            if (!*known)
                *known = (void *)entry_new(r, s->base, e->field, e->value, e->source, e->given);
            entry[out++] = *known;
            continue;
        }
        for (int k = i; k < end; k++) entry[out++] = entry[k];
    }
    return out;
}

/* Where to show a sentence about a key: its own place, or what selected its section's option. */
static place place_of_key(const resolver *r, const config *c, const char *key) {
    const config_entry *e = key ? config_find(c, key) : NULL;
    if (e && e->given) return e->source->at;
    const size_t length = key ? strcspn(key, ".") : 0;
    for (int i = 0; length && i < r->schema->n_selectors; i++) {
        const char *selector = r->schema->selector[i].key;
        if (strncmp(selector, key, length) || selector[length] != '.') continue;
        e = config_find(c, selector);
        if (e && e->given) return e->source->at;
    }
    return r->origin;
}

const config *resolve(resolver *r, const setting *change, int n) {
    const template *t = template_of(r, change, n);
    if (!t) return NULL;
    const config_entry **entry = ARENA_NEW(r->arena, const config_entry *, t->n);
    bool good = !t->broken;
    memcpy(entry, t->entry, sizeof *entry * (size_t)t->n);
    for (int i = 0; i < n; i++) good &= apply(r, t, entry, &change[i], false);
    if (!good) return NULL;
    if (r->schema->fill) r->schema->fill(&(draft){r, t, entry});
    for (int i = 0; i < t->n; i++) {
        if (!entry[i]) good = report_missing(r, &t->slot[i]);
        if (entry[i] == &broken_entry) good = false;
    }
    if (!good) return NULL;
    config *c = ARENA_NEW(r->arena, config, 1);
    c->schema = r->schema;
    c->entry = entry;
    c->n = t->has_options_apart ? merge_options(r, t, entry) : t->n;
    config_identify(c, &r->buffer);
    const char *key = NULL;
    const char *sentence = r->schema->check ? r->schema->check(c, r->arena, &key) : NULL;
    if (!sentence) return c;
    diag_error(r->diag, place_of_key(r, c, key), "%s", sentence);
    return NULL;
}

bool resolve_matches(resolver *r, const setting *change, int n, const char *key,
                     const yaml *const *any, int n_any) {
    if (!strcmp(key, "recipe")) {
        const char *name = resolve_recipe(r, change, n);
        for (int i = 0; i < n_any; i++)
            if (any[i]->text && name && !strcmp(any[i]->text, name)) return true;
        return false;
    }
    const template *t = template_of(r, change, n);
    if (!t) return false;
    int first;
    const int end = slot_range(t, key, &first);
    for (int i = first; i < end; i++) {
        const slot *s = &t->slot[i];
        const yaml *own = last_of(change, n, s->key);
        if (!own) own = last_of(change, n, s->base);
        const config_entry *e = own ? entry_of(r, s, own, true) : t->entry[i];
        for (int k = 0; e && e->value && k < n_any; k++) {
            const value *v = typed(r, key, s->field, any[k]);
            if (v && !strcmp(v->json, e->value->json)) return true;
        }
    }
    return false;
}
