/* token_vocab.h - the symbols of a text: byte strings numbered in order of first addition.
 *
 * Open addressing, at most half full; numbers depend on the order of additions only, never on the
 * hash. Cost of a look-up: one hash of the bytes, and nearly always one comparison. */
#pragma once
#include "kernels/core/arena.h"
#include "tasks/token_text.h"

typedef struct token_vocab {
    arena *arena;
    int n, cap;
    struct token_entry {
        long at; /* in bytes */
        int n;
        unsigned hash;
    } * entry;   /* [n] */
    char *bytes; /* [n_bytes] all symbols, one after the other */
    long n_bytes, cap_bytes;
    int *slot; /* [mask + 1], id + 1; 0: empty */
    long mask;
} token_vocab;

token_vocab *vocab_new(arena *a);
int vocab_find(const token_vocab *v, token_span s); /* -1: unknown */
int vocab_add(token_vocab *v, token_span s);        /* its number, old or new */
token_span vocab_text(const token_vocab *v, int id);

/* A copy of a vocabulary of characters, sorted by code point. */
token_vocab *vocab_sorted(arena *a, const token_vocab *v);
