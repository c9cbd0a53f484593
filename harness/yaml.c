/* yaml.c - libyaml's event stream -> a tree; see yaml.h.
 *
 * An error of grammar ends the reading (what follows would be guesses); an error of meaning
 * (duplicate key, unknown tag) is noted and the reading goes on. Recursion is bounded by
 * YAML_MAX_DEPTH. Cost: linear in the text. */
#include "yaml.h"

#include "map.h"
#include "nearby.h"
#include "scalar.h"
#include "value.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

const char *const yaml_kind_name[] = {"null", "true or false", "an integer", "a number",
                                      "text", "a list",        "a map"};

typedef struct reader {
    arena *arena;
    diag *diag;
    const char *name;
    const place *fixed; /* every place is this one, or NULL */
    const char *text;
    long bytes;
    long line, line_start; /* cursor for tab checks: a line from 0, the offset of its start */
    long indent;           /* its leading blanks */
    bool has_tab;          /* among them */
    yaml_parser_t parser;
    map *anchor; /* name -> yaml*, or &unfinished inside the anchored value */
    int nodes;   /* made so far, aliases expanded */
    bool failed;
} reader;

static yaml unfinished; /* marks an anchor whose value is still being read */

static place place_of(const reader *r, yaml_mark_t mark) {
    return r->fixed ? *r->fixed : (place){r->name, (int)mark.line + 1, (int)mark.column + 1};
}

/* Moves the cursor to a line and looks at its indentation. */
static void seek_line(reader *r, long line) {
    if (line < r->line) r->line = r->line_start = 0;
    for (; r->line < line && r->line_start < r->bytes; r->line++) {
        const char *end = memchr(r->text + r->line_start, '\n', (size_t)(r->bytes - r->line_start));
        r->line_start = end ? end - r->text + 1 : r->bytes;
    }
    r->line = line;
    r->has_tab = false;
    long i = r->line_start;
    for (; i < r->bytes && (r->text[i] == ' ' || r->text[i] == '\t'); i++)
        r->has_tab |= r->text[i] == '\t';
    r->indent = i - r->line_start;
}

/* Whether the mark stands in, or just after, indentation with a tab. Marks mostly come in file
 * order, and a line is looked at once, however long it is. */
static bool has_tab_indent(reader *r, yaml_mark_t mark) {
    if ((long)mark.line != r->line) seek_line(r, (long)mark.line);
    return r->has_tab && (long)mark.column <= r->indent;
}

static void tab_error(reader *r, place at) {
    diag_error(r->diag, at, "a tab in the indentation; YAML takes only spaces there");
}

static void grammar_error(reader *r) {
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) out_of_memory(1);
    const place at = place_of(r, p->problem_mark);
    const char *problem = p->problem ? p->problem : "unreadable text";
    r->failed = true;
    if (!r->fixed && has_tab_indent(r, p->problem_mark)) {
        tab_error(r, at);
    } else if (!strcmp(problem, "found undefined tag handle")) {
        diag_error(r->diag, at, "unknown tag; settings take no tags");
    } else {
        diag_error(r->diag, at, "not valid YAML: %s%s%s%s", problem, p->context ? " (" : "",
                   p->context ? p->context : "", p->context ? ")" : "");
    }
}

/* The next event, to be deleted by the caller; false after an error. */
static bool next(reader *r, yaml_event_t *event) {
    if (r->failed) return false;
    if (yaml_parser_parse(&r->parser, event)) return true;
    grammar_error(r);
    return false;
}

static bool count_nodes(reader *r, int n, place at) {
    if (n <= YAML_MAX_NODES - r->nodes) {
        r->nodes += n;
        return true;
    }
    diag_error(r->diag, at, "more than %d values, aliases expanded; make the file smaller",
               YAML_MAX_NODES);
    r->failed = true;
    return false;
}

static yaml *node_new(reader *r, yaml_kind kind, const yaml_event_t *event) {
    const place at = place_of(r, event->start_mark);
    if (!count_nodes(r, 1, at)) return NULL;
    if (!r->fixed && has_tab_indent(r, event->start_mark)) tab_error(r, at);
    yaml *y = ARENA_NEW(r->arena, yaml, 1);
    y->kind = kind;
    y->at = at;
    y->weight = 1;
    return y;
}

static void check_tag(reader *r, const yaml_char_t *tag, bool *text, place at) {
    if (!tag) return;
    const char *name = (const char *)tag;
    if (text && (!strcmp(name, YAML_STR_TAG) || !strcmp(name, "!"))) {
        *text = true;
        return;
    }
    diag_error(r->diag, at, "unknown tag %s; settings take no tags", name);
}

static yaml *read_scalar(reader *r, const yaml_event_t *event) {
    yaml *y = node_new(r, YAML_TEXT, event);
    if (!y) return NULL;
    const char *bytes = (const char *)event->data.scalar.value;
    const size_t length = event->data.scalar.length;
    if (memchr(bytes, '\0', length))
        diag_error(r->diag, y->at, "text with a NUL character; leave it out");
    y->text = arena_text(r->arena, bytes);
    y->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    check_tag(r, event->data.scalar.tag, &y->quoted, y->at);
    if (!y->quoted) scalar_classify(r->arena, y);
    return y;
}

static yaml *read_alias(reader *r, const yaml_event_t *event) {
    const char *name = (const char *)event->data.alias.anchor;
    const place at = place_of(r, event->start_mark);
    yaml *y = *map_text(r->anchor, name);
    if (y && y != &unfinished) return count_nodes(r, y->weight, at) ? y : NULL;
    diag_error(r->diag, at,
               y ? "alias *%s refers to the value it stands in"
                 : "alias *%s has no anchor &%s before it",
               name, name);
    r->failed = true;
    return NULL;
}

/* Open parentheses of a plain scalar: > 0 when flow commas have cut a function call in two. */
static int open_parentheses(const yaml *y) {
    int open = 0;
    if (y->kind != YAML_TEXT || y->quoted) return 0;
    for (const char *p = y->text; *p; p++) open += *p == '(' ? 1 : *p == ')' ? -1 : 0;
    return open;
}

static void join(reader *r, yaml *y, const char *more) {
    y->text = arena_printf(r->arena, "%s, %s", y->text, more);
    y->doubt = NULL;
}

/* One pair of a map while it is being read. */
typedef struct pair {
    yaml *key, *value;
} pair;

/* {f: g(1, 2)} arrives as {f: "g(1", "2)": null}. */
static int join_pairs(reader *r, pair *p, int n) {
    int out = 0;
    for (int i = 0; i < n; i++) {
        pair whole = p[i];
        while (open_parentheses(whole.value) > 0 && i + 1 < n && !p[i + 1].key->quoted &&
               p[i + 1].value->kind == YAML_NULL && !*p[i + 1].value->text)
            join(r, whole.value, p[++i].key->text);
        p[out++] = whole;
    }
    return out;
}

static int join_items(reader *r, yaml **item, int n) {
    int out = 0;
    for (int i = 0; i < n; i++) {
        yaml *whole = item[i];
        while (open_parentheses(whole) > 0 && i + 1 < n && item[i + 1]->text &&
               !item[i + 1]->quoted)
            join(r, whole, item[++i]->text);
        item[out++] = whole;
    }
    return out;
}

static void add_weight(yaml *y, const yaml *part) { y->weight += part->weight; }

static void set_pairs(reader *r, yaml *y, const pair *p, int n) {
    map *seen = map_new(r->arena);
    y->item = ARENA_NEW(r->arena, const yaml *, n);
    y->key = ARENA_NEW(r->arena, const char *, n);
    y->key_at = ARENA_NEW(r->arena, place, n);
    for (int i = 0; i < n; i++) {
        const char *key = p[i].key->text;
        const place at = p[i].key->at;
        add_weight(y, p[i].value);
        void **first = map_text(seen, key);
        if (*first) {
            const place *before = *first;
            diag_error(r->diag, at, "duplicate key %s; it was given at line %d already", key,
                       before->line);
            continue;
        }
        if (!strcmp(key, "<<") && !p[i].key->quoted) {
            diag_error(r->diag, at,
                       "merge keys (<<) are not part of YAML 1.2; write the settings "
                       "out, or use a recipe");
            continue;
        }
        y->key[y->n] = key;
        y->key_at[y->n] = at;
        y->item[y->n] = p[i].value;
        *first = &y->key_at[y->n++];
    }
}

static yaml *read_node(reader *r, const yaml_event_t *event, int depth);

static void read_map(reader *r, yaml *y, int depth) {
    yaml_event_t event;
    pair *p = NULL;
    int n = 0, cap = 0;
    bool end = false;
    while (!end && next(r, &event)) {
        end = event.type == YAML_MAPPING_END_EVENT;
        pair new = {0};
        if (!end) {
            new.key = read_node(r, &event, depth);
            if (new.key && !new.key->text) {
                diag_error(r->diag, new.key->at, "%s as a key; keys are words",
                           yaml_kind_name[new.key->kind]);
                new.key->text = "";
            }
        }
        yaml_event_delete(&event);
        if (end || !new.key || !next(r, &event)) continue;
        new.value = read_node(r, &event, depth);
        yaml_event_delete(&event);
        if (!new.value) continue;
        ARENA_GROW(r->arena, p, n, cap);
        p[n++] = new;
    }
    if (r->failed) return;
    set_pairs(r, y, p, y->flow ? join_pairs(r, p, n) : n);
}

static void read_list(reader *r, yaml *y, int depth) {
    yaml_event_t event;
    yaml **item = NULL;
    int n = 0, cap = 0;
    bool end = false;
    while (!end && next(r, &event)) {
        end = event.type == YAML_SEQUENCE_END_EVENT;
        yaml *one = end ? NULL : read_node(r, &event, depth);
        yaml_event_delete(&event);
        if (!one) continue;
        ARENA_GROW(r->arena, item, n, cap);
        item[n++] = one;
    }
    if (r->failed) return;
    y->n = y->flow ? join_items(r, item, n) : n;
    y->item = (const yaml **)item;
    for (int i = 0; i < y->n; i++) add_weight(y, item[i]);
}

static yaml *read_collection(reader *r, const yaml_event_t *event, int depth) {
    const bool is_map = event->type == YAML_MAPPING_START_EVENT;
    yaml *y = node_new(r, is_map ? YAML_MAP : YAML_LIST, event);
    if (!y) return NULL;
    if (depth == YAML_MAX_DEPTH) {
        diag_error(r->diag, y->at, "nested deeper than %d levels", YAML_MAX_DEPTH);
        r->failed = true;
        return NULL;
    }
    if (is_map) {
        check_tag(r, event->data.mapping_start.tag, NULL, y->at);
        y->flow = event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
        read_map(r, y, depth + 1);
    } else {
        check_tag(r, event->data.sequence_start.tag, NULL, y->at);
        y->flow = event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
        read_list(r, y, depth + 1);
    }
    return r->failed ? NULL : y;
}

/* NULL after an error that ends the reading. */
static yaml *read_node(reader *r, const yaml_event_t *event, int depth) {
    const yaml_char_t *anchor = NULL;
    yaml *y;
    switch (event->type) {
    case YAML_ALIAS_EVENT: return read_alias(r, event);
    case YAML_SCALAR_EVENT: anchor = event->data.scalar.anchor; break;
    case YAML_SEQUENCE_START_EVENT: anchor = event->data.sequence_start.anchor; break;
    case YAML_MAPPING_START_EVENT: anchor = event->data.mapping_start.anchor; break;
    default: BUG("event %d inside a document", (int)event->type);
    }
    const char *name = anchor ? arena_text(r->arena, (const char *)anchor) : NULL;
    if (name) *map_text(r->anchor, name) = &unfinished;
    y = event->type == YAML_SCALAR_EVENT ? read_scalar(r, event) : read_collection(r, event, depth);
    if (name && y) *map_text(r->anchor, name) = y;
    return y;
}

/* The only document's root; NULL after an error. */
static yaml *read_stream(reader *r) {
    yaml_event_t event;
    yaml *root = NULL;
    int documents = 0;
    bool end = false;
    while (!end && next(r, &event)) {
        const place at = place_of(r, event.start_mark);
        if (event.type == YAML_STREAM_END_EVENT) {
            end = true;
        } else if (event.type == YAML_DOCUMENT_START_EVENT) {
            if (documents++) {
                diag_error(r->diag, at, "a second document begins here; a file holds one");
                r->failed = true;
            }
        } else if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_END_EVENT) {
            root = read_node(r, &event, 0);
        }
        yaml_event_delete(&event);
    }
    if (!r->failed && !documents) diag_error(r->diag, (place){r->name, 1, 1}, "the file is empty");
    return r->failed ? NULL : root;
}

/* Bytes of the UTF-8 character at p (n left), or 0; `*code` gets the character. */
static int decode(const unsigned char *p, long n, unsigned *code) {
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    const int length = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    if (!length || *p > 0xf4 || length > n) return 0;
    *code = length == 1 ? *p : *p & (0x7fu >> length);
    for (int i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (p[i] & 0x3fu);
    }
    const bool surrogate = *code >= 0xd800 && *code < 0xe000;
    return *code < least[length] || surrogate || *code > 0x10ffff ? 0 : length;
}

static bool is_printable(unsigned c) {
    return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0x7f) || c == 0x85 ||
           (c >= 0xa0 && c != 0xfffe && c != 0xffff);
}

/* Every byte is UTF-8 that YAML allows; libyaml would report an offset instead of a place. */
static bool check_bytes(reader *r) {
    int line = 1, column = 1;
    for (long i = 0; i < r->bytes;) {
        unsigned code = 0;
        const int length = decode((const unsigned char *)r->text + i, r->bytes - i, &code);
        const place at = r->fixed ? *r->fixed : (place){r->name, line, column};
        if (!length) {
            diag_error(r->diag, at, "byte 0x%02x is not UTF-8; save the file as UTF-8",
                       (unsigned char)r->text[i]);
            return false;
        }
        if (!is_printable(code)) {
            diag_error(r->diag, at, "control character 0x%02x; %s", code,
                       code ? "remove it" : "this is no text: name a grid file, which is YAML");
            return false;
        }
        i += length;
        column++;
        if (code == '\n') {
            line++;
            column = 1;
        }
    }
    return true;
}

static const yaml *read_text(arena *a, const char *text, long n, const char *name,
                             const place *fixed, diag *d) {
    reader r = {.arena = a, .diag = d, .name = name, .fixed = fixed, .text = text, .bytes = n};
    if (!check_bytes(&r)) return NULL;
    r.anchor = map_new(a);
    seek_line(&r, 0);
    if (!yaml_parser_initialize(&r.parser)) out_of_memory(sizeof r.parser);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, (size_t)n);
    const yaml *root = read_stream(&r);
    yaml_parser_delete(&r.parser);
    return root;
}

const yaml *yaml_read_text(arena *a, const char *text, long n, const char *name, diag *d) {
    return read_text(a, text, n, name, NULL, d);
}

/* One plain word or number, such as most settings are. The other characters of YAML are left to
 * libyaml, which takes 10 us to set itself up, and a schema has hundreds of defaults. */
static bool is_word(const char *text) {
    const char *p = text + (*text == '-');
    while (isalnum((unsigned char)*p) || (p > text && *p && strchr("_.+-", *p))) p++;
    return p > text && isalnum((unsigned char)p[-1]) && !*p;
}

/* What libyaml makes of [WORD]. */
static const yaml *read_word(arena *a, const char *word, place at) {
    yaml *list = ARENA_NEW(a, yaml, 1), *y = ARENA_NEW(a, yaml, 1);
    *y = (yaml){.kind = YAML_TEXT, .at = at, .text = arena_text(a, word), .weight = 1};
    scalar_classify(a, y);
    *list = (yaml){.kind = YAML_LIST, .at = at, .flow = true, .n = 1, .weight = 2};
    list->item = ARENA_NEW(a, const yaml *, 1);
    list->item[0] = y;
    return list;
}

const yaml *yaml_read_items(arena *a, const char *text, place at, diag *d) {
    if (is_word(text)) return read_word(a, text, at);
    const char *list = arena_printf(a, "[%s]", text);
    const yaml *y = read_text(a, list, (long)strlen(list), at.file, &at, d);
    if (!y || y->kind == YAML_LIST) return y;
    diag_error(d, at, "%s is not a value, nor a list of values", text);
    return NULL;
}

const yaml *yaml_read_value(arena *a, const char *text, place at, diag *d) {
    const yaml *list = yaml_read_items(a, text, at, d);
    if (!list) return NULL;
    if (list->n == 1) return list->item[0];
    if (list->n > 1) {
        diag_error(d, at, "%s is %d values where one is meant; write [%s] for a list", text,
                   list->n, text);
        return NULL;
    }
    yaml *null = ARENA_NEW(a, yaml, 1);
    *null = (yaml){.kind = YAML_NULL, .at = at, .text = "", .weight = 1};
    return null;
}

const yaml *yaml_number(arena *a, double x, place at) {
    char text[32];
    real_text(text, x);
    yaml *y = ARENA_NEW(a, yaml, 1);
    *y = (yaml){.at = at, .text = arena_text(a, text), .weight = 1};
    scalar_classify(a, y);
    return y;
}

/* Up to YAML_MAX_BYTES + 1 bytes; NULL and errno after a failed read. */
static char *read_bytes(arena *a, int file, long *n) {
    long cap = 1 << 14;
    char *text = arena_alloc(a, (size_t)cap);
    *n = 0;
    while (*n <= YAML_MAX_BYTES) {
        if (*n + 1 == cap) {
            text = arena_regrow(a, text, (size_t)*n, (size_t)cap * 4);
            cap *= 4;
        }
        const ssize_t got = read(file, text + *n, (size_t)(cap - *n - 1));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return NULL;
        if (!got) break;
        *n += got;
    }
    return text;
}

const char *yaml_slurp(arena *a, const char *path, long *n, diag *d) {
    const place at = {.file = path};
    struct stat info;
    char *text = NULL;
    /* O_NONBLOCK: a named pipe nobody writes to reads as empty rather than for ever. */
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) {
        const int why = errno;
        const bool is_absent = why == ENOENT || why == ENOTDIR;
        diag_error(d, at, "cannot be opened: %s%s", strerror(why),
                   is_absent ? nearby_grid(a, path) : "; look at its permissions");
        return NULL;
    }
    if (!fstat(file, &info) && S_ISDIR(info.st_mode)) {
        const char *first = nearby_first(a, path);
        diag_error(d, at, "is a folder; name a file in it%s%s", first ? ", such as " : "",
                   first ? first : "");
    } else if (fcntl(file, F_SETFL, 0) || !(text = read_bytes(a, file, n))) {
        diag_error(d, at, "cannot be read: %s; copy it to a disk that is well", strerror(errno));
    } else if (*n > YAML_MAX_BYTES) {
        diag_error(d, at, "is larger than %d MiB; no grid file needs that", YAML_MAX_BYTES >> 20);
        text = NULL;
    }
    close(file);
    return text;
}

const yaml *yaml_read_file(arena *a, const char *path, diag *d) {
    long n;
    const char *text = yaml_slurp(a, path, &n, d);
    return text ? yaml_read_text(a, text, n, path, d) : NULL;
}

const yaml *yaml_get(const yaml *y, const char *key) {
    for (int i = 0; y && y->key && i < y->n; i++)
        if (!strcmp(y->key[i], key)) return y->item[i];
    return NULL;
}
