/* rwkv.c - see rwkv.h. */
#include "rwkv.h"

/* mu starts at 1/2 for all channels: both tokens count alike. The reference code starts it from a
 * power law over channels and layers that its authors tuned for large models. */
tensor *token_blend(block *b, const char *name, tensor *x, tensor *before) {
    if (!x || !before) return NULL;
    tensor *mu = block_param(b, name, (init){INIT_CONST, 0.5}, false, DIM(b->d_model));
    return APPLY(b->g, lerp, IN(x, before, mu));
}
