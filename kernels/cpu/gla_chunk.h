/* gla_chunk.h - what the files of linear attention share: one head, one chunk of its tokens, and
 * the two forms of the recurrence.
 *
 * gla.c deals heads out and writes gradients; gla_chunk.c takes GLA_CHUNK tokens at a time,
 * gla_pairs.c is the part of that within a chunk, and gla_narrow.c goes token by token where values
 * have few channels. */
#pragma once
#include "kernels/core/work.h"
#include "tile.h"

typedef struct gla_shape {
    long time, heads, key, value;
    int decay;
} gla_shape;

/* One head of one sequence. Row t of q, k is at t * heads * key, of v at t * heads * value. */
typedef struct gla_stream {
    const real *q, *k, *v, *g, *u, *dO; /* g, u may be NULL */
    real *dq, *dk, *dv, *dg, *du;       /* may be NULL */
    long head;
} gla_stream;

/* What the decays' gradient has gathered from later tokens, per key channel. */
typedef struct gla_later {
    double sum[GLA_MAX_KEY];   /* of dG; with one decay per head, only the first */
    double ahead[GLA_MAX_KEY]; /* q_{t+1} times what of dq_{t+1} came through the state */
} gla_later;

/* Gradients of q, k, u and g at token t, whose q and k [K] are given; tokens come from the last to
 * the first. inner [K]: what of dq_t came by way of earlier keys, or of its own too where there is
 * no bonus; dk [K] likewise; now: v_t.dO_t. */
#define gla_finish K(gla_finish)
void gla_finish(const gla_stream *x, const gla_shape *s, gla_later *later, long t, const real *q,
                const real *k, const real *inner, const real *dk, real now);

/* o [T,V] of a head, rows heads * value apart; all gradients of a head. work: gla_work() reals. */
#define gla_chunk_forward   K(gla_chunk_forward)
#define gla_chunk_backward  K(gla_chunk_backward)
#define gla_narrow_forward  K(gla_narrow_forward)
#define gla_narrow_backward K(gla_narrow_backward)
void gla_chunk_forward(real *o, const gla_stream *x, const gla_shape *s, real *work);
void gla_chunk_backward(const gla_stream *x, const gla_shape *s, real *work);
void gla_narrow_forward(real *o, const gla_stream *x, const gla_shape *s, real *work);
void gla_narrow_backward(const gla_stream *x, const gla_shape *s, real *work);

/* log of 1 - 2^(-5-h). */
static inline double gla_retnet_log(long head) { return log1p(-exp2(-5 - (double)head)); }

/* Scores lie transposed, keys by queries. A row is longer than a chunk, as sub-chunks are written
 * in whole vectors. */
enum { GLA_ROW = GLA_CHUNK + TILE_PAD };

/* The tokens of a chunk, n of them, in tiles whose rows are kp or vp long: key and value padded.
 * G_t is the sum of log decays up to token t, from the start of the chunk. A query reads the state
 * after its token's decay, with a bonus before it: its exponent is H_t = G_t or G_{t-1}.
 * Which members are set is said where they are computed. */
typedef struct gla_chunk {
    const gla_shape *s;
    const real *u; /* [K] or NULL */
    long n, kp, vp;
    const real *q, *k, *v, *dO; /* [C,kp] or [C,vp] */
    double sum[GLA_CHUNK];      /* G_t, where all channels share it */
    real *a;                    /* [C,kp] e^g, where they do not */
    real *fade_q, *fade_k;      /* e^H_t and e^(G_n - G_t): [C], or per channel [C,kp] */
    real *whole;                /* [kp] e^G_n */
    real *score, *dscore;       /* [C,GLA_ROW], keys by queries */
    real *turned;               /* [kp or vp, GLA_ROW] */
    real *dq, *dk;              /* [C,kp] */
    real *near_fade, *near;     /* [C,kp] e^(H_t - G_b), and times q; b: start of the sub-chunk */
    real *edge_fade, *edge;     /* [C,kp] e^(G_b - G_t), and times k; b: start of a later one */
    real *strip;                /* [STRIP, kp] */
    real *in, *out;             /* [C,kp] q e^H and k e^(G_n - G) */
    real *state, *state_t;      /* [kp,vp], [vp,kp] */
    real *o;                    /* [C,vp] */
    real *inner;                /* [T rounded up,kp] dq by way of earlier keys */
    real *room_q, *room_k, *room_v, *room_dO;
} gla_chunk;

/* Sets sum or a, fade_q, fade_k and whole; g: the log decays of the chunk's first token. */
#define gla_fade K(gla_fade)
void gla_fade(gla_chunk *c, const real *g, long head);

/* Sets score: the weight that query i gives to the value of key j, 0 where j > i. With `back`,
 * dscore = v_j.dO_i becomes the gradient of what the weight has instead of q.k, and its products
 * with k and q are added to dq and dk; those of a bonus are not. */
#define gla_pairs K(gla_pairs)
void gla_pairs(gla_chunk *c, bool back);

/* out [keys, queries] = rows [C, padded] times turned [dim, GLA_ROW], where j <= i and a bit
 * beyond. */
#define gla_products K(gla_products)
void gla_products(real *out, const real *rows, const real *turned, long n, long dim, long padded);
