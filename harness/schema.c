/* schema.c - looking up settings by name; see schema.h. Linear searches: schemas have a few hundred
 * fields and are searched once per key of a file, never once per cell. */
#include "schema.h"

#include "map.h"
#include "suggest.h"

#include <string.h>

static long section_length(const char *key) {
    const char *dot = strchr(key, '.');
    return dot ? dot - key : (long)strlen(key);
}

/* Length of a key without its @OPTION. */
static long base_length(const char *key) {
    const char *at = strchr(key, '@');
    return at ? at - key : (long)strlen(key);
}

/* The field called key[0..n) = SECTION.NAME, where the section has `length` letters. */
static const field *table_find(const field_table *t, const char *key, long n, long length) {
    const long rest = n - length - 1;
    for (int i = 0; rest > 0 && i < t->n; i++)
        if ((long)strlen(t->field[i].name) == rest &&
            !memcmp(t->field[i].name, key + length + 1, (size_t)rest))
            return &t->field[i];
    return NULL;
}

static bool same_section(const char *name, const char *key, long length) {
    return !strncmp(name, key, (size_t)length) && (!name[length] || name[length] == '.');
}

static const field *find_always(const schema *s, const char *key, long n, long length) {
    const field *f = NULL;
    for (int i = 0; i < s->n_sections; i++)
        for (int k = 0; !f && k < s->section[i].n; k++)
            if (same_section(s->section[i].name, key, length))
                f = table_find(&s->section[i].table[k], key, n, length);
    return f;
}

const field *schema_find(const schema *s, const char *key) {
    const long n = base_length(key), length = section_length(key);
    const char *option = key[n] ? key + n + 1 : NULL;
    const field *f = option ? NULL : find_always(s, key, n, length);
    for (int i = 0; i < s->n_selectors; i++) {
        const schema_selector *selector = &s->selector[i];
        if (!same_section(selector->key, key, length)) continue;
        for (int k = 0; !f && k < selector->n; k++)
            if (!option || !strcmp(selector->option[k].name, option))
                f = table_find(&selector->option[k].fields, key, n, length);
    }
    return f;
}

const schema_option *schema_option_find(const schema_selector *s, const char *name) {
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->option[i].name, name)) return &s->option[i];
    return NULL;
}

/* Full keys, gathered. */
typedef struct key_list {
    arena *arena;
    map *seen;
    const char **key;
    int n, cap;
} key_list;

static void add_keys(key_list *l, const char *section, const field_table *t) {
    const int length = (int)section_length(section);
    for (int i = 0; i < t->n; i++) {
        const char *key = arena_printf(l->arena, "%.*s.%s", length, section, t->field[i].name);
        void **seen = map_text(l->seen, key);
        if (*seen) continue;
        *seen = l;
        ARENA_GROW(l->arena, l->key, l->n, l->cap);
        l->key[l->n++] = key;
    }
}

const char *const *schema_keys(arena *a, const schema *s, int *n) {
    key_list l = {.arena = a, .seen = map_new(a)};
    for (int i = 0; i < s->n_sections; i++)
        for (int k = 0; k < s->section[i].n; k++)
            add_keys(&l, s->section[i].name, &s->section[i].table[k]);
    for (int i = 0; i < s->n_selectors; i++)
        for (int k = 0; k < s->selector[i].n; k++)
            add_keys(&l, s->selector[i].key, &s->selector[i].option[k].fields);
    *n = l.n;
    return l.key;
}

int key_compare(const char *a, const char *b) {
    for (; *a && *a == *b; a++) b++;
    const int left = *a == '@' ? 1 : (unsigned char)*a, right = *b == '@' ? 1 : (unsigned char)*b;
    return left - right;
}

static bool begins_group(const char *key, const char *name) {
    const size_t n = strlen(key);
    return !strncmp(name, key, n) && name[n] == '.';
}

/* The same for the name SECTION.FIELD of some row of the table. */
static bool table_has_group(const field_table *t, const char *section, const char *key) {
    const long length = section_length(section), n = (long)strlen(key);
    if (strncmp(section, key, (size_t)(n < length ? n : length))) return false;
    if (n <= length) return n == length && t->n > 0;
    for (int i = 0; key[length] == '.' && i < t->n; i++)
        if (begins_group(key + length + 1, t->field[i].name)) return true;
    return false;
}

bool schema_is_group(const schema *s, const char *key) {
    bool found = false;
    for (int i = 0; i < s->n_sections; i++)
        for (int k = 0; k < s->section[i].n; k++)
            found |= table_has_group(&s->section[i].table[k], s->section[i].name, key);
    for (int i = 0; i < s->n_selectors; i++)
        for (int k = 0; k < s->selector[i].n; k++)
            found |= table_has_group(&s->selector[i].option[k].fields, s->selector[i].key, key);
    return found;
}

/* KEY@OPTION that no table has. */
static void unknown_option(arena *a, const schema *s, const char *key, place at, diag *d) {
    const char *base = arena_printf(a, "%.*s", (int)base_length(key), key);
    const char *option = key + strlen(base) + 1;
    if (!schema_find(s, base)) {
        schema_unknown_key(a, s, base, at, d);
        return;
    }
    for (int i = 0; i < s->n_selectors; i++) {
        const schema_selector *selector = &s->selector[i];
        if (!same_section(selector->key, key, section_length(key))) continue;
        if (!schema_option_find(selector, option)) continue;
        diag_error(d, at, "%s: %s %s has no setting %s", key, selector->what, option, base);
        return;
    }
    diag_error(d, at, "%s: there is no variant %s that has %s", key, option, base);
}

void schema_unknown_key(arena *a, const schema *s, const char *key, place at, diag *d) {
    if (strchr(key, '@')) {
        unknown_option(a, s, key, at, d);
        return;
    }
    if (diag_errors(d) >= DIAG_SHOWN) { /* nobody reads on, and advice takes time */
        diag_error(d, at, "unknown key %.200s; mixgrid help config lists them", key);
        return;
    }
    int n;
    const char *const *name = schema_keys(a, s, &n);
    for (int i = 0; i < n; i++) {
        if (begins_group(key, name[i])) {
            diag_error(d, at,
                       "%s is a group of settings, not a setting; give one of them, such "
                       "as %s",
                       key, name[i]);
            return;
        }
        if (begins_group(name[i], key)) {
            diag_error(d, at, "unknown key %s; %s has no parts, it takes %s", key, name[i],
                       field_expects(a, schema_find(s, name[i])));
            return;
        }
    }
    const char *near = suggest_tail(a, key, name, n);
    diag_error(d, at, "unknown key %.200s%s", key,
               *near ? near : "; mixgrid help config lists them");
}

static void verify_field(arena *a, const char *section, const field *f) {
    const place at = {.file = arena_printf(a, "default of %s.%s", section, f->name)};
    diag *d = diag_new(a);
    const yaml *y = f->value ? yaml_read_value(a, f->value, at, d) : NULL;
    if (y) value_read(a, f->name, f, y, d);
    if (diag_errors(d)) BUG("%s", diag_line(d, 0));
    if (!f->help) BUG("field %s.%s has no help", section, f->name);
    int choices = 1;
    for (const char *p = f->choices; p && *p; p++) choices += *p == '|';
    if (f->type == FIELD_SET && choices > 32) BUG("set %s.%s is too large", section, f->name);
}

static void verify_table(arena *a, map *seen, const char *section, const field_table *t,
                         const char *owner) {
    for (int i = 0; i < t->n; i++) {
        const char *name = arena_printf(a, "%s.%s", section, t->field[i].name);
        void **always = map_text(seen, name);
        void **own = map_text(seen, arena_printf(a, "%s@%s", name, owner ? owner : ""));
        if (*own || (owner && *always)) BUG("field %s is declared twice", name);
        *map_text(seen, arena_printf(a, "%s@%s", name, owner ? owner : "")) = a;
        if (!owner) *map_text(seen, name) = a;
        verify_field(a, section, &t->field[i]);
    }
}

static void verify_selectors(arena *a, map *seen, const schema *s) {
    for (int i = 0; i < s->n_selectors; i++) {
        const schema_selector *selector = &s->selector[i];
        const long length = section_length(selector->key);
        const char *section = arena_printf(a, "%.*s", (int)length, selector->key);
        if (!find_always(s, selector->key, (long)strlen(selector->key), length))
            BUG("selector %s has no field", selector->key);
        for (int k = 0; k < selector->n; k++)
            verify_table(a, seen, section, &selector->option[k].fields,
                         arena_printf(a, "%s %s", selector->what, selector->option[k].name));
    }
}

static void verify_recipe(arena *a, const schema *s, const schema_recipe *recipe) {
    for (int i = 0; i < recipe->n; i++) {
        const char *text = recipe->setting[i], *equals = strchr(text, '=');
        const place at = {.file = arena_printf(a, "recipe %s", recipe->name)};
        const char *key = equals ? arena_printf(a, "%.*s", (int)(equals - text), text) : text;
        const field *f = schema_find(s, key);
        diag *d = diag_new(a);
        if (!equals || !f) BUG("recipe %s: %s sets nothing", recipe->name, text);
        const yaml *y = yaml_read_value(a, equals + 1, at, d);
        if (y) value_read(a, key, f, y, d);
        if (diag_errors(d)) BUG("%s", diag_line(d, 0));
    }
}

void schema_verify(const schema *s) {
    arena *a = arena_new();
    map *seen = map_new(a);
    for (int i = 0; i < s->n_sections; i++)
        for (int k = 0; k < s->section[i].n; k++)
            verify_table(a, seen, s->section[i].name, &s->section[i].table[k], NULL);
    verify_selectors(a, seen, s);
    int n;
    const char *const *key = schema_keys(a, s, &n);
    for (int i = 0; i < n; i++)
        if (schema_is_group(s, key[i])) BUG("%s is a field and a group", key[i]);
    for (int i = 0; i < s->n_recipes; i++) verify_recipe(a, s, &s->recipe[i]);
    arena_free(a);
}

void config_help(FILE *out, const char *section, const field_table *table, int n) {
    arena *a = arena_new();
    int name_width = 4, value_width = 7;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < table[i].n; k++) {
            const field *f = &table[i].field[k];
            const int name_n = (int)strlen(f->name) + (section ? (int)strlen(section) + 1 : 0);
            const int value_n = (int)strlen(f->value ? f->value : "(required)");
            name_width = name_n > name_width ? name_n : name_width;
            value_width = value_n > value_width ? value_n : value_width;
        }
    fprintf(out, "%-*s  %-*s  %s\n", name_width, "NAME", value_width, "DEFAULT", "TAKES");
    for (int i = 0; i < n; i++)
        for (int k = 0; k < table[i].n; k++) {
            const field *f = &table[i].field[k];
            const char *name =
                arena_printf(a, "%s%s%s", section ? section : "", section ? "." : "", f->name);
            fprintf(out, "%-*s  %-*s  %s\n    %s\n", name_width, name, value_width,
                    f->value ? f->value : "(required)", field_expects(a, f), f->help);
        }
    arena_free(a);
}
