/* block.h - what a mixer or ffn sees of the model it is part of, and the parts they share. */
#pragma once
#include "model.h"

struct block {
    graph *g;
    const model_spec *spec;
    int runs, batch, time, d_model; /* R, B, T, C */
    int layer;
    const char *part;          /* "mixer" or "ffn" */
    tensor *rate, *key, *tick; /* dropout inputs, NULL: no dropout in this tape */
    tensor *input;             /* of this part: norm(x) [R,B,T,C], what dynamic taps are made of */
    unsigned canon;            /* places of Canon layers that were found in this model */
    double state_size;         /* numbers that convolutions outside mixers keep while decoding */
    tensor *fine, *coarse;     /* the last input of a bit158 layer, and it in 8 bits */
};

/* NULL, and the sentence becomes the error of the model. */
tensor *block_refuse(block *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Parameter "layer.L.PART.NAME". Dimensions without the leading run axis. */
tensor *block_param(block *b, const char *name, init start, bool decay, int rank, const int *dim);

/* A parameter whose start is a formula of its own (decay rates, time steps); no weight decay. */
tensor *block_formula(block *b, const char *name,
                      double (*formula)(struct rng *draw, const tensor *t, size_t j), int rank,
                      const int *dim);

/* Standard deviation of weights that lead back into the residual stream. */
double block_output_std(const block *b);

/* What a layer multiplies, by model.linear: x and w themselves, or x in 8 bits per token and w in
 * three values per matrix (BitNet b1.58; gradients pass straight through). */
tensor *block_left(block *b, tensor *x);
tensor *block_right(block *b, tensor *w);
/* For ops with a layer of their own inside: the .eps of what it multiplies, 0 for x itself. */
double block_left_eps(const block *b);

/* x [R,..,in] -> [R,..,out] with a start of one's own, no bias. */
tensor *block_matrix(block *b, const char *name, tensor *x, int out, init start);
/* x [R,..,in] -> [R,..,out], weight N(0, init_std) called NAME (and NAME.bias if model.bias). All
 * linear layers are followed by what model.after_linear says. */
tensor *block_linear(block *b, const char *name, tensor *x, int out);
/* The same for the projection back into the residual stream: N(0, init_std / sqrt(2 layers)). */
tensor *block_output(block *b, const char *name, tensor *x);
/* The Canon layer at `place` (enum canon_place), a residual convolution of x with parameter NAME; x
 * itself where the model has none there. Ffns call it for D. */
tensor *block_canon(block *b, unsigned place, const char *name, tensor *x);
/* The Canon layers at place B, of the q, k and v that all of a mixer works on. */
void block_canon_b(block *b, tensor **q, tensor **k, tensor **v);
/* What model.after_linear says: x, or x convolved, as part NAME.conv. */
tensor *block_after_linear(block *b, const char *name, tensor *x);
/* Dropout with the block's rate; x itself where the tape has none. site: 0.. within this part. */
tensor *block_dropout(block *b, tensor *x, int site);
