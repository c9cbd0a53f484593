/* keyed.h - what ops share that keep a state [key, value] per head: inputs 0 to 2 are q, k
 * [R,B,T,H K] and v [R,B,T,H V], with .heads (0: 1) = H. */
#pragma once
#include "kernels/core/op.h"

static inline int keyed_heads(const node *n) { return n->arg.heads ? n->arg.heads : 1; }
static inline int keyed_key(const node *n) { return tensor_last(n->in[0]) / keyed_heads(n); }
static inline int keyed_value(const node *n) { return tensor_last(n->in[2]) / keyed_heads(n); }

/* NULL, or what of q, k and v does not fit. */
static inline const char *keyed_misfit(const node *n) {
    const tensor *q = n->in[0], *k = n->in[1], *v = n->in[2];
    REQUIRE(q->rank == 4 && v->rank == 4, "q or v is not [runs, batch, time, channels]");
    REQUIRE(k->n == q->n && tensor_last(k) == tensor_last(q), "q and k have different shapes");
    for (int d = 0; d < 3; d++) REQUIRE(v->dim[d] == q->dim[d], "q and v differ in rows");
    REQUIRE(tensor_last(q) % keyed_heads(n) == 0 && tensor_last(v) % keyed_heads(n) == 0,
            "the channels of q or v do not divide into heads");
    return NULL;
}

/* Input i has `numbers` numbers for each token of q. */
static inline bool keyed_per_token(const node *n, int i, int numbers) {
    const tensor *q = n->in[0];
    return tensor_last(n->in[i]) == numbers &&
           n->in[i]->n / (size_t)numbers == q->n / (size_t)tensor_last(q);
}

/* Inputs of test cases. */
#define ROWS(...)                                                                                  \
    {                                                                                              \
        3, { __VA_ARGS__ }                                                                         \
    }
#define LOG_DECAY(...)                                                                             \
    { 3, {__VA_ARGS__}, .lo = -1, .hi = -.01 }
#define STRONG(...)                                                                                \
    { 3, {__VA_ARGS__}, .lo = -30, .hi = -.01 }
