/* task_lm.c - language modelling: predict every next token of a text.
 *
 * Tokens x_0 .. x_{n-1} of a split; position t of an example reads x_{a+t} and is scored with
 * x_{a+t+1}. T = length.
 * Training: window w starts at a = w T; the (n-1) / T windows that fit share no input, and every
 * token but the first and those of the remainder is a label once per epoch.
 * Held out: window k starts at a = k stride. The first scores all its positions, later ones only
 * the last `stride`: the labels that no window before has scored. The last window may reach over
 * the end; positions without a label are not scored and read token 0. So every token but the first
 * is scored exactly once, with at least length - stride tokens before it from the second window on.
 *
 * Data seeds change the order of training alone, and that order depends on the number of windows
 * and not on where the corpus lies.
 * Does not tokenise (corpus.h), download, or know how loss turns into bits per byte.
 * Source: the usual protocol; WikiText convention of Merity et al. 2016. Cost: O(T) per example. */
#include "tasks/corpus.h"
#include "tasks/display.h"

#include <string.h>

typedef struct lm {
    const char *corpus;
    long length, stride;
    int tokens;
    double valid_share, test_share;
} lm;

static const field fields[] = {
    {"corpus", FIELD_TEXT, offsetof(lm, corpus), NULL, 0, 0, NULL,
     "Text file, or folder with train.txt, valid.txt and test.txt.", false, false},
    {"tokens", FIELD_CHOICE, offsetof(lm, tokens), "byte", 0, 0, "byte|char|word",
     "What a token is: a byte, a UTF-8 character, or a word with <eos> per line.", false, false},
    {"length", FIELD_INT, offsetof(lm, length), "128", 1, 1 << 24, NULL, "Tokens of one window.",
     false, false},
    {"stride", FIELD_INT, offsetof(lm, stride), "0", 0, 1 << 24, NULL,
     "Tokens from one evaluation window to the next, and scored in it; 0: length.", false, false},
    {"valid_share", FIELD_REAL, offsetof(lm, valid_share), "0.05", 0, 1, NULL,
     "Share of the bytes of a single file for validation, before the test share.", false, false},
    {"test_share", FIELD_REAL, offsetof(lm, test_share), "0.05", 0, 1, NULL,
     "Share of the bytes of a single file for test, at its end.", false, false},
};

typedef struct lm_state {
    const corpus *corpus;
    long stride;
} lm_state;

static uint64_t held_out_windows(long tokens, long length, long stride) {
    const long labels = tokens - 1;
    return labels <= length ? 1 : (uint64_t)(1 + (labels - length + stride - 1) / stride);
}

static status check_train(task_set *s, const task_options *options, long tokens, error *e) {
    const lm *c = s->config;
    const long windows = (tokens - 1) / c->length;
    if (windows < 1)
        return error_set(e, STATUS_USAGE,
                         "task.length is %ld, but the training split of %s has %ld tokens, and a "
                         "window takes length + 1; use a shorter length or a longer text.",
                         c->length, c->corpus, tokens);
    if (options->train_count > windows)
        return error_set(e, STATUS_USAGE,
                         "train.examples is %ld, but the training split of %s has %ld windows of "
                         "task.length %ld; ask for at most that many, or for 0 to use all.",
                         options->train_count, c->corpus, windows, c->length);
    s->count[SPLIT_TRAIN] = (uint64_t)(options->train_count ? options->train_count : windows);
    return STATUS_OK;
}

static status lm_open(task_set *s, const task_options *options, error *e) {
    const lm *c = s->config;
    const long wanted[N_SPLIT] = {0, options->val_count, options->test_count};
    lm_state *state = ARENA_NEW(s->arena, lm_state, 1);
    if (c->stride > c->length)
        return error_set(e, STATUS_USAGE,
                         "task.stride is %ld, more than the window length of %ld, so that tokens "
                         "would be left out; use at most the shortest length evaluated, or 0.",
                         c->stride, c->length);
    const corpus *text = corpus_open(
        &(corpus_spec){c->corpus, (token_rule)c->tokens, c->valid_share, c->test_share}, e);
    if (!text) return e->code;
    *state = (lm_state){text, c->stride ? c->stride : c->length};
    s->state = state;
    s->time = (int)c->length;
    s->vocab = text->vocab;
    s->n_slices = 1;
    s->slice_name[0] = "position";
    s->data = arena_printf(s->arena, "%016llx corpus=%s tokens=%s valid_share=%g test_share=%g",
                           (unsigned long long)text->print, c->corpus, token_rule_name[c->tokens],
                           c->valid_share, c->test_share);
    s->order = rng_key_make(options->data_seed, "order", "lm", 2);
    for (int i = 0; i < N_SPLIT; i++) {
        const long tokens = text->tokens[i];
        if (tokens < 2)
            return error_set(e, STATUS_USAGE,
                             "task.corpus: the %s split of %s has %ld tokens, fewer than 2; use a "
                             "longer text, or for a single file a larger task.valid_share or "
                             "task.test_share.",
                             split_name[i], c->corpus, tokens);
        s->tokens[i] = (uint64_t)tokens;
        s->bytes_per_token[i] = (double)text->bytes[i] / (double)tokens;
        s->words_per_token[i] = (double)text->words[i] / (double)tokens;
        if (i == SPLIT_TRAIN) continue;
        s->count[i] = held_out_windows(tokens, c->length, state->stride);
        if (wanted[i] && (uint64_t)wanted[i] < s->count[i]) s->count[i] = (uint64_t)wanted[i];
    }
    s->count[SPLIT_TRAIN] = 0;
    return options->held_out_only ? STATUS_OK
                                  : check_train(s, options, text->tokens[SPLIT_TRAIN], e);
}

static void lm_fetch(const task_set *s, split which, uint64_t index, task_example *out) {
    const lm_state *state = s->state;
    const corpus *c = state->corpus;
    const long time = s->time, stride = which == SPLIT_TRAIN ? time : state->stride;
    const long start = (long)index * stride, left = c->tokens[which] - start;
    const long first = index ? time - stride : 0; /* scored */
    for (long t = 0; t < time; t++) {
        const bool scored = t >= first && t + 1 < left;
        out->ids[t] = t < left ? corpus_token(c, which, start + t) : 0;
        out->labels[t] = scored ? corpus_token(c, which, start + t + 1) : -1;
        if (out->slice) out->slice[t] = scored ? bucket_of(t) : -1;
    }
}

/* The text of tokens id [n], words with blanks between them. */
static void print_tokens(FILE *file, const corpus *c, const int *id, int n, int indent) {
    arena *scratch = arena_new();
    long bytes = 0;
    char byte;
    for (int i = 0; i < n; i++) bytes += corpus_text(c, id[i], &byte).n + 1;
    char *text = ARENA_NEW(scratch, char, bytes);
    bytes = 0;
    for (int i = 0; i < n; i++) {
        const token_span t = corpus_text(c, id[i], &byte);
        if (i && c->rule == TOKEN_WORD) text[bytes++] = ' ';
        memcpy(text + bytes, t.text, (size_t)t.n);
        bytes += t.n;
    }
    text_print(file, text, bytes, indent);
    arena_free(scratch);
}

/* What is read before the first label, and the labels; together the text of the window. */
static void lm_show(const task_set *s, const task_example *x, void *file) {
    const corpus *c = ((const lm_state *)s->state)->corpus;
    int first = 0, end;
    while (first < s->time - 1 && x->labels[first] < 0) first++;
    for (end = first; end < s->time && x->labels[end] >= 0;) end++;
    fprintf(file, "read    ");
    print_tokens(file, c, x->ids, first + 1, 8);
    fprintf(file, "\npredict ");
    print_tokens(file, c, x->labels + first, end - first, 8);
    fprintf(file, "\n%d tokens read before the first one scored, %d scored", first + 1,
            end - first);
    if (end < s->time) fprintf(file, ", %d of padding", s->time - end);
    fprintf(file, "\n\n");
}

TASK(lm) = {.name = "lm",
            .summary = "language modelling: the next byte, character or word of a text",
            .source = "usual protocol; words as in Merity et al. 2016 (WikiText)",
            .fields = FIELD_TABLE(fields),
            .config_size = sizeof(lm),
            .open = lm_open,
            .fetch = lm_fetch,
            .show = lm_show};
