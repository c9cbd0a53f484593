/* attend.h - the part of softmax attention that its variants share: q, k, v -> mixed values. */
#pragma once
#include "block.h"

typedef enum qk_norm { QK_NONE, QK_RMS, QK_L2 } qk_norm;

typedef struct attend_config {
    int heads, window;  /* window 0: all earlier tokens */
    qk_norm norm;       /* of q and k per head, after the projection */
    double temperature; /* start of the learned scale of the scores with QK_L2 */
} attend_config;

/* q [R,B,T,C], k and v [R,B,T,G D] -> [R,B,T,C]: Canon layers B, norms, rotary positions,
 * softmax(q k / sqrt(D)) v per head. With QK_L2 the scores are temperature_h cos(q, k), temperature
 * learned per head. G < heads: each head of k and v serves heads / G neighbouring heads of q. */
tensor *attend(block *b, const attend_config *c, tensor *q, tensor *k, tensor *v);

/* heads must divide the width, and rotary positions need an even head dimension. */
const char *attend_check(long heads, const model_config *m);
