/* corpus.c - see corpus.h.
 *
 * Two walks over the text: the first numbers the symbols and counts the tokens, the second writes
 * the numbers into arrays of just that size. The text itself is not kept. */
#include "tasks/corpus.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const split_file[N_SPLIT] = {"train.txt", "valid.txt", "test.txt"};
static const token_span unknown = {"<unk>", 5};

/* ---- finding and reading ---- */

typedef struct source { /* of one split: the tokens whose first byte is in text [begin, cut) */
    const char *text;
    long begin, cut, end; /* end: of the text */
    long reached;         /* where its last token ends, from the first walk; may be beyond cut */
} source;

static bool exists(const char *path) {
    struct stat s;
    return !stat(path, &s);
}

static const char *find_path(arena *a, const char *path, error *e) {
    if (exists(path)) return path;
    const char *folder = getenv("MIXGRID_DATA");
    const bool look = path[0] != '/' && folder && *folder;
    const char *other = look ? arena_printf(a, "%s/%s", folder, path) : NULL;
    if (look && exists(other)) return other;
    error_set(e, STATUS_USAGE,
              "task.corpus is %s, but there is no such file or folder%s%s; set task.corpus to a "
              "text file, or to a folder with train.txt, valid.txt and test.txt, or MIXGRID_DATA "
              "to the folder that a relative path starts from.",
              path, look ? ", nor is there " : "", look ? other : "");
    return NULL;
}

/* text [*n] of a regular file that is not empty. */
static const char *read_text(long *n, arena *a, const char *path, error *e) {
    const char *problem = NULL;
    char *text = NULL;
    struct stat s;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &s)) {
        problem = strerror(errno);
        goto done;
    }
    if (!S_ISREG(s.st_mode)) {
        problem = "it is not a regular file";
        goto done;
    }
    text = ARENA_NEW(a, char, s.st_size + 1);
    *n = 0;
    for (ssize_t got = 1; got > 0 && *n < s.st_size; *n += got) {
        got = read(file, text + *n, (size_t)(s.st_size - *n));
        if (got < 0) {
            problem = strerror(errno);
            goto done;
        }
    }
    if (!*n) problem = "it is empty";
done:
    if (file >= 0) close(file);
    if (!problem) return text;
    error_set(e, STATUS_USAGE,
              "task.corpus: could not read text from %s: %s; name a readable text file, or a "
              "folder with train.txt, valid.txt and test.txt.",
              path, problem);
    return NULL;
}

static status read_folder(source *out, arena *a, const char *folder, error *e) {
    for (int i = 0; i < N_SPLIT; i++) {
        const char *path = arena_printf(a, "%s/%s", folder, split_file[i]);
        if (!exists(path))
            return error_set(e, STATUS_USAGE,
                             "task.corpus is the folder %s, which lacks %s; it must hold "
                             "train.txt, valid.txt and test.txt.",
                             folder, split_file[i]);
        out[i].begin = 0;
        out[i].text = read_text(&out[i].end, a, path, e);
        if (!out[i].text) return e->code;
        out[i].cut = out[i].end;
    }
    return STATUS_OK;
}

static status read_single(source *out, arena *a, const char *path, const corpus_spec *spec,
                          error *e) {
    long n;
    if (!(spec->valid_share + spec->test_share < 1))
        return error_set(e, STATUS_USAGE,
                         "task.valid_share %g and task.test_share %g leave nothing of the corpus "
                         "for training; their sum must be below 1.",
                         spec->valid_share, spec->test_share);
    const char *text = read_text(&n, a, path, e);
    if (!text) return e->code;
    const long test = n - lround((double)n * spec->test_share), /* both may be rounded up */
        wanted = lround((double)n * spec->valid_share), valid = test > wanted ? test - wanted : 0;
    out[SPLIT_TRAIN] = (source){text, 0, valid, n, 0};
    out[SPLIT_VAL] = (source){text, valid, test, n, 0};
    out[SPLIT_TEST] = (source){text, test, n, n, 0};
    return STATUS_OK;
}

static status read_sources(source *out, arena *a, const corpus_spec *spec, error *e) {
    struct stat s;
    const char *path = find_path(a, spec->path, e);
    if (!path) return e->code;
    if (!stat(path, &s) && S_ISDIR(s.st_mode)) return read_folder(out, a, path, e);
    return read_single(out, a, path, spec, e);
}

/* ---- numbering ---- */

token_span corpus_text(const corpus *c, int id, char *byte) {
    if (c->symbols) return vocab_text(c->symbols, id);
    *byte = (char)id;
    return (token_span){byte, 1};
}

/* First walk over a split: its tokens, bytes and words; training adds symbols. True: a token has
 * no number. */
static bool count_split(corpus *c, source *s, split which) {
    token_cursor cursor = {s->text, s->begin, s->end, false};
    bool has_unknown = false;
    for (token_span t; token_next(&t, &cursor, c->rule, s->cut); c->tokens[which]++) {
        if (!c->symbols) continue;
        if (which == SPLIT_TRAIN)
            vocab_add(c->symbols, t);
        else if (!has_unknown)
            has_unknown = vocab_find(c->symbols, t) < 0;
    }
    s->reached = cursor.at;
    c->bytes[which] = s->reached - s->begin;
    c->words[which] = word_count(s->text + s->begin, c->bytes[which]);
    return has_unknown;
}

static void number_split(corpus *c, arena *a, const source *s, split which) {
    token_cursor cursor = {s->text, s->begin, s->end, false};
    const int unknown_id = c->symbols ? vocab_find(c->symbols, unknown) : 0;
    uint16_t *narrow = c->vocab <= 1 << 16 ? ARENA_NEW(a, uint16_t, c->tokens[which]) : NULL;
    int32_t *wide = narrow ? NULL : ARENA_NEW(a, int32_t, c->tokens[which]);
    token_span t;
    for (long i = 0; token_next(&t, &cursor, c->rule, s->cut); i++) {
        int id = c->symbols ? vocab_find(c->symbols, t) : (unsigned char)*t.text;
        if (id < 0) id = unknown_id;
        if (narrow)
            narrow[i] = (uint16_t)id;
        else
            wide[i] = id;
    }
    c->narrow[which] = narrow;
    c->wide[which] = wide;
}

static void number_all(corpus *c, arena *a, source *s) {
    arena *scratch = arena_new();
    bool has_unknown = false;
    if (c->rule != TOKEN_BYTE) c->symbols = vocab_new(c->rule == TOKEN_CHAR ? scratch : a);
    for (int i = 0; i < N_SPLIT; i++) {
        /* of one text: the token that reached over the cut is not read again */
        if (i && s[i].text == s[i - 1].text) s[i].begin = s[i - 1].reached;
        has_unknown |= count_split(c, &s[i], (split)i);
    }
    if (c->rule == TOKEN_CHAR) c->symbols = vocab_sorted(a, c->symbols);
    if (has_unknown) vocab_add(c->symbols, unknown);
    c->vocab = c->symbols ? c->symbols->n : 256;
    for (int i = 0; i < N_SPLIT; i++) number_split(c, a, &s[i], (split)i);
    arena_free(scratch);
}

/* ---- sharing ---- */

typedef struct known_corpus {
    struct known_corpus *next;
    uint64_t print;
    corpus corpus;
} known_corpus;

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0xD1342543DE82EF95u;
    return hash ^ hash >> 32;
}

/* Of all that the numbers depend on. The bytes, not the path and its date, so that an edited file
 * is never mistaken for what it was. */
static uint64_t print_of(const source *s, token_rule rule) {
    uint64_t hash = mix(0x9E3779B97F4A7C15u, (uint64_t)rule);
    for (int i = 0; i < N_SPLIT; i++) {
        uint64_t word = 0;
        long at = s[i].begin;
        hash = mix(hash, (uint64_t)(s[i].cut - at));
        for (; at + 8 <= s[i].cut; at += 8) {
            memcpy(&word, s[i].text + at, 8);
            hash = mix(hash, word);
        }
        word = 0;
        memcpy(&word, s[i].text + at, (size_t)(s[i].cut - at));
        hash = mix(hash, word);
    }
    return hash;
}

const corpus *corpus_read(arena *a, const corpus_spec *spec, error *e) {
    arena *scratch = arena_new();
    source s[N_SPLIT];
    corpus *c = NULL;
    if (!read_sources(s, scratch, spec, e)) {
        c = ARENA_NEW(a, corpus, 1);
        c->rule = spec->rule;
        c->print = print_of(s, spec->rule);
        number_all(c, a, s);
    }
    arena_free(scratch);
    return c;
}

const corpus *corpus_open(const corpus_spec *spec, error *e) {
    static known_corpus *known; /* lives as long as the program: a handful of entries */
    static arena *keep;
    arena *scratch = arena_new();
    source s[N_SPLIT];
    known_corpus *k = NULL;
    if (!read_sources(s, scratch, spec, e)) {
        const uint64_t print = print_of(s, spec->rule);
        for (k = known; k && k->print != print;) k = k->next;
        if (!k) {
            if (!keep) keep = arena_new();
            k = ARENA_NEW(keep, known_corpus, 1);
            *k = (known_corpus){
                .next = known, .print = print, .corpus.rule = spec->rule, .corpus.print = print};
            number_all(&k->corpus, keep, s);
            known = k;
        }
    }
    arena_free(scratch);
    return k ? &k->corpus : NULL;
}
