/* corpus.h - a text in three splits, as token numbers.
 *
 * From a folder: train.txt, valid.txt and test.txt. From a single file of n bytes: the last
 * round(n test_share) bytes are test, the round(n valid_share) before them validation, the rest
 * training; a token belongs to the split in which its first byte lies. So the cuts fall at the same
 * bytes whatever the tokens are, and bits per byte compare across them.
 *
 * Vocabulary. byte: the 256 bytes. char: the characters of the training split, by code point.
 * word: the words of the training split in order of first occurrence, <eos> among them. Unknown
 * symbols of the held-out splits become <unk>: the word of that name where training has it, else
 * one symbol more at the end, which exists only when it is needed. */
#pragma once
#include "tasks/task.h"
#include "tasks/token_vocab.h"

typedef struct corpus_spec {
    const char *path; /* relative: from the working directory, then from $MIXGRID_DATA */
    token_rule rule;
    double valid_share, test_share; /* of a single file */
} corpus_spec;

typedef struct corpus {
    token_rule rule;
    int vocab;
    uint64_t print; /* of all bytes of the three splits and where they are cut: another file, or one
                       flipped bit of this one, has another */
    long tokens[N_SPLIT], bytes[N_SPLIT], words[N_SPLIT];
    token_vocab *symbols;      /* NULL for bytes */
    uint16_t *narrow[N_SPLIT]; /* [tokens] where numbers fit into 16 bits */
    int32_t *wide[N_SPLIT];    /* [tokens] else; one of the two is NULL */
} corpus;

/* Reads the text; what this process has read before with the same bytes and rules is shared, and
 * stays until it ends (so forked workers have it too). Not to be called from several threads at
 * once; the result is immutable. NULL and one sentence on failure.
 * Cost: about 0.1 s per 10 MB of words; 2 bytes per token (4 beyond 65,536 symbols). */
const corpus *corpus_open(const corpus_spec *spec, error *e);
/* The same in an arena, shared with nobody. */
const corpus *corpus_read(arena *a, const corpus_spec *spec, error *e);

static inline int corpus_token(const corpus *c, split which, long i) {
    return c->narrow[which] ? c->narrow[which][i] : c->wide[which][i];
}

/* Bytes of symbol `id`; for TOKEN_BYTE, of length 1 in *byte. */
token_span corpus_text(const corpus *c, int id, char *byte);
