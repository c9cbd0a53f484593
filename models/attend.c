/* attend.c - see attend.h. */
#include "attend.h"

#include "kernels/core/op.h"

const char *attend_check(long heads, const model_config *m) {
    static _Thread_local char text[160];
    if (m->d_model % heads) {
        snprintf(text, sizeof text, "model.heads: %ld does not divide model.d_model: %ld", heads,
                 m->d_model);
        return text;
    }
    if (m->position == POSITION_ROPE && m->d_model / heads % 2) {
        snprintf(text, sizeof text,
                 "model.position: rope needs an even head dimension, d_model / heads is %ld",
                 m->d_model / heads);
        return text;
    }
    return NULL;
}

/* q has c->heads heads, k and v may have fewer of the same width. */
static int heads_of(const block *b, const attend_config *c, const tensor *x) {
    return (int)(tensor_last(x) / (b->d_model / c->heads));
}

/* Every head of x as often as it has queries. */
static tensor *share_heads(block *b, const attend_config *c, tensor *x) {
    const int heads = heads_of(b, c, x);
    if (heads == c->heads) return x;
    return APPLY_WITH(b->g, repeat, IN(x), .heads = heads, .steps = (int)c->heads / heads);
}

static tensor *norm_heads(block *b, const attend_config *c, const char *name, tensor *x) {
    if (!x || c->norm == QK_NONE) return x;
    const int heads = heads_of(b, c, x);
    if (c->norm == QK_L2) return APPLY_WITH(b->g, l2norm, IN(x), .heads = heads, .eps = 1e-6);
    tensor *gain =
        block_param(b, name, (init){INIT_CONST, 1}, false, DIM(b->d_model / (int)c->heads));
    return APPLY_WITH(b->g, rmsnorm, IN(x, gain), .eps = 1e-5);
}

tensor *attend(block *b, const attend_config *c, tensor *q, tensor *k, tensor *v) {
    graph *g = b->g;
    const int heads = (int)c->heads;
    if (!q || !k || !v) return NULL;
    q = norm_heads(b, c, "q_norm", q);
    k = norm_heads(b, c, "k_norm", k);
    double scale = 0; /* 1 / sqrt(D) */
    if (c->norm == QK_L2) {
        tensor *t =
            block_param(b, "temperature", (init){INIT_CONST, c->temperature}, false, DIM(heads));
        q = APPLY_WITH(g, headscale, IN(q, t), .heads = heads);
        scale = 1;
    }
    const position_kind position = (position_kind)b->spec->common.position;
    if (position == POSITION_ROPE) {
        q = APPLY_WITH(g, rope, IN(q), .heads = heads);
        k = APPLY_WITH(g, rope, IN(k), .heads = heads_of(b, c, k));
    }
    k = share_heads(b, c, k);
    v = share_heads(b, c, v);
    return APPLY_WITH(g, attention, IN(q, k, v), .heads = heads, .window = (int)c->window,
                      .alibi = position == POSITION_ALIBI, .scale = scale);
}
