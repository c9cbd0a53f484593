/* head.c - logits and cross-entropy at scored positions; the contract is in kernels.def.
 *
 * Scored rows are gathered into tiles of up to HEAD_TILE, the vocabulary is walked in blocks of
 * HEAD_BLOCK words. Logits are kept transposed, z [word, row of the tile], for two reasons: w is
 * then the left factor of both its products and is read in place, never packed or transposed; and
 * maximum, sum and argmax of a row run down a vector lane, without shuffles or remainders.
 *
 * One pass over the blocks turns logits into e = exp(z - top), where top is the row's largest logit
 * so far (Milakov and Gimelshein 2018); forward keeps one block of them. Backward keeps all, and in
 * a second pass makes of a block dz = scale (e exp(top - last top) / sum - onehot), so that there
 * is one exponential per logit, and both products with dz while its block of w is in cache.
 *
 * Cost per scored row: 2 C V flops forward, 6 C V backward; w is streamed once or twice per tile,
 * dw once. Unscored rows cost nothing. */
#include "gemm.h"
#include "kernels/core/work.h"

#include <stdbool.h>

typedef struct scored {
    int n, width;         /* rows in use; padded: rows past n are zeros */
    int row[HEAD_TILE];   /* where the row is in x */
    int label[HEAD_TILE]; /* of the row */
    int best[HEAD_TILE];  /* first word with the largest logit */
    real top[HEAD_TILE];  /* the largest logit */
    real sum[HEAD_TILE];  /* of exp(z - top) */
    real hit[HEAD_TILE];  /* the label's logit */
} scored;

/* The parts of `work`; see head_work. */
typedef struct scratch {
    real *z;    /* [vocab, width] */
    real *tops; /* [head_blocks, width] */
    real *x;    /* [width, cols] */
    real *dx;   /* [width, cols] */
} scratch;

static scratch scratch_of(real *work, int rows, int cols, int vocab) {
    long width = head_width(rows);
    scratch s = {.z = work};
    s.tops = s.z + width * vocab;
    s.x = s.tops + width * head_blocks(vocab);
    s.dx = s.x + width * cols;
    return s;
}

/* Gathers up to HEAD_TILE scored rows from row `at` on; returns the row to go on from. */
static int take(scored *s, real *to, const real *x, const int *label, int at, int rows, int cols) {
    s->n = 0;
    for (; at < rows && s->n < HEAD_TILE; at++) {
        if (label[at] < 0) continue;
        s->row[s->n] = at;
        s->label[s->n] = label[at];
        memcpy(to + (long)s->n++ * cols, x + (long)at * cols, sizeof(real) * (size_t)cols);
    }
    s->width = head_width(s->n);
    for (long i = (long)s->n * cols; i < (long)s->width * cols; i++) to[i] = 0;
    for (int j = 0; j < s->width; j++) {
        s->best[j] = 0;
        s->top[j] = -(real)INFINITY;
        s->sum[j] = 0;
    }
    return at;
}

/* The lanes' largest logits over a block, at least `top`. All of a lane group's arrays are local
 * and of constant length, so that the compiler keeps them in registers over the words. */
static void lanes_max(real top[HEAD_LANES], const real *z, long width, int words) {
    real m[HEAD_LANES];
    memcpy(m, top, sizeof m);
    for (long v = 0; v < words; v++)
        SIMD for (int j = 0; j < HEAD_LANES; j++) m[j] =
            z[v * width + j] > m[j] ? z[v * width + j] : m[j];
    memcpy(top, m, sizeof m);
}

/* First word of a block at which a lane has its largest logit; best stays where none does. From the
 * last word to the first, so that no step waits for a comparison of the one before. */
static void lanes_find(int best[HEAD_LANES], const real *z, const real top[HEAD_LANES], long width,
                       int from, int words) {
    int at[HEAD_LANES];
    memcpy(at, best, sizeof at);
    for (int v = words - 1; v >= 0; v--)
        SIMD for (int j = 0; j < HEAD_LANES; j++) at[j] =
            z[v * width + j] == top[j] ? from + v : at[j];
    memcpy(best, at, sizeof at);
}

/* z becomes e = exp(z - top); sum gets the lanes' sums of e. */
static void lanes_exp(real sum[HEAD_LANES], real *z, const real top[HEAD_LANES], long width,
                      int words) {
    real s[HEAD_LANES] = {0}, t[HEAD_LANES];
    memcpy(t, top, sizeof t);
    for (long v = 0; v < words; v++) SIMD for (int j = 0; j < HEAD_LANES; j++) {
            real e = real_exp(z[v * width + j] - t[j]);
            z[v * width + j] = e;
            s[j] += e;
        }
    memcpy(sum, s, sizeof s);
}

/* One block of logits z [words, width], the first being word `from`: updates best, top, sum and hit
 * and leaves exp(z - top) in z. */
static void block_softmax(scored *s, real *z, int from, int words) {
    long width = s->width;
    for (long j = 0; j < s->n; j++)
        if (s->label[j] >= from && s->label[j] < from + words)
            s->hit[j] = z[(s->label[j] - from) * width + j];
    for (long at = 0; at < width; at += HEAD_LANES) {
        real top[HEAD_LANES], sum[HEAD_LANES];
        memcpy(top, s->top + at, sizeof top);
        lanes_max(top, z + at, width, words);
        /* A tie with an earlier block must not move best, so look only where the top rose. */
        bool rose = false;
        for (int j = 0; j < HEAD_LANES; j++) rose |= top[j] > s->top[at + j];
        if (rose) {
            int best[HEAD_LANES];
            memcpy(best, s->best + at, sizeof best);
            lanes_find(best, z + at, top, width, from, words);
            for (int j = 0; j < HEAD_LANES; j++)
                if (top[j] > s->top[at + j]) s->best[at + j] = best[j];
        }
        lanes_exp(sum, z + at, top, width, words);
        SIMD for (int j = 0; j < HEAD_LANES; j++) {
            s->sum[at + j] = s->sum[at + j] * real_exp(s->top[at + j] - top[j]) + sum[j];
            s->top[at + j] = top[j];
        }
    }
}

/* All blocks of a tile. keep: z and tops of every block stay; otherwise block overwrites block. */
static void softmax(scored *s, scratch h, const real *w, int cols, int vocab, bool keep) {
    for (int from = 0; from < vocab; from += HEAD_BLOCK) {
        int words = vocab - from < HEAD_BLOCK ? vocab - from : HEAD_BLOCK;
        real *z = h.z + (keep ? (long)from * s->width : 0);
        gemm(words, s->width, cols, w + (long)from * cols, cols, 1, h.x, 1, cols, z, s->width, 0);
        block_softmax(s, z, from, words);
        if (keep)
            memcpy(h.tops + from / HEAD_BLOCK * s->width, s->top, sizeof(real) * (size_t)s->width);
    }
}

/* nll and pred of a tile's rows. */
static void put_scores(const scored *s, real *nll, int *pred) {
    for (int j = 0; j < s->n; j++) {
        nll[s->row[j]] = real_log(s->sum[j]) + (s->top[j] - s->hit[j]);
        pred[s->row[j]] = s->best[j];
    }
}

static void clear_unscored(real *nll, int *pred, const int *label, int rows) {
    for (int i = 0; i < rows; i++)
        if (label[i] < 0) nll[i] = 0, pred[i] = -1;
}

void K(head_fwd)(real *nll, int *pred, const real *x, const real *w, const int *label, real *work,
                 int runs, int rows, int cols, int vocab) {
    scratch h = scratch_of(work, rows, cols, vocab);
    for (long r = 0; r < runs; r++, nll += rows, pred += rows, label += rows) {
        scored s;
        clear_unscored(nll, pred, label, rows);
        for (int at = 0; at < rows;) {
            at = take(&s, h.x, x + r * rows * cols, label, at, rows, cols);
            if (!s.n) break;
            softmax(&s, h, w + r * vocab * cols, cols, vocab, false);
            put_scores(&s, nll, pred);
        }
    }
}

/* The logits' gradient: e of one block becomes scale (softmax - onehot). */
static void block_gradient(const scored *s, real *z, const real *top, real scale, int from,
                           int words) {
    long width = s->width;
    real factor[HEAD_TILE];
    SIMD for (long j = 0; j < width; j++) factor[j] =
        scale * real_exp(top[j] - s->top[j]) / s->sum[j];
    for (long v = 0; v < words; v++)
        SIMD for (long j = 0; j < width; j++) z[v * width + j] *= factor[j];
    for (long j = 0; j < s->n; j++)
        if (s->label[j] >= from && s->label[j] < from + words)
            z[(s->label[j] - from) * width + j] -= scale;
}

/* Second pass over the blocks of a tile; dx [rows, cols] and dw [vocab, cols] may be NULL. */
static void gradient(const scored *s, scratch h, real *dx, real *dw, const real *w, real scale,
                     int cols, int vocab) {
    for (int from = 0; from < vocab; from += HEAD_BLOCK) {
        int words = vocab - from < HEAD_BLOCK ? vocab - from : HEAD_BLOCK;
        real *z = h.z + (long)from * s->width;
        block_gradient(s, z, h.tops + from / HEAD_BLOCK * s->width, scale, from, words);
        if (dx)
            gemm(s->n, cols, words, z, 1, s->width, w + (long)from * cols, cols, 1, h.dx, cols,
                 from > 0);
        if (dw)
            gemm(words, cols, s->n, z, s->width, 1, h.x, cols, 1, dw + (long)from * cols, cols, 1);
    }
    if (!dx) return;
    for (long j = 0; j < s->n; j++) {
        real *to = dx + (long)s->row[j] * cols;
        SIMD for (long c = 0; c < cols; c++) to[c] += h.dx[j * cols + c];
    }
}

void K(head_bwd)(real *nll, int *pred, real *dx, real *dw, const real *x, const real *w,
                 const int *label, const real *scale, real *work, int runs, int rows, int cols,
                 int vocab) {
    scratch h = scratch_of(work, rows, cols, vocab);
    for (long r = 0; r < runs; r++, nll += rows, pred += rows, label += rows) {
        const real *wr = w + r * vocab * cols; /* [vocab, cols] */
        scored s;
        clear_unscored(nll, pred, label, rows);
        for (int at = 0; at < rows;) {
            at = take(&s, h.x, x + r * rows * cols, label, at, rows, cols);
            if (!s.n) break;
            softmax(&s, h, wr, cols, vocab, true);
            put_scores(&s, nll, pred);
            gradient(&s, h, dx ? dx + r * rows * cols : NULL, dw ? dw + r * vocab * cols : NULL, wr,
                     scale[r], cols, vocab);
        }
    }
}
