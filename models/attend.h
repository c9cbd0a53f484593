/* attend.h - the part of softmax attention that its variants share: q, k, v -> mixed values. */
#pragma once
#include "block.h"

typedef enum qk_norm { QK_NONE, QK_RMS, QK_L2 } qk_norm;

typedef struct attend_config {
    long heads, window; /* window 0: all earlier tokens */
    int norm;           /* enum qk_norm: of q and k per head, after the projection */
    double temperature; /* start of the learned scale of the scores with QK_L2 */
} attend_config;

/* Field rows of a settings struct that holds an attend_config called `member`, heads apart. */
#define ATTEND_AT(type, member, name) offsetof(type, member) + offsetof(attend_config, name)
// clang-format off
#define ATTEND_HEADS(type, member, text)                                                           \
    {"heads", FIELD_INT, ATTEND_AT(type, member, heads), "1", 1, 1024, .help = text}
#define ATTEND_FIELDS(type, member)                                                                \
    {"qk_norm", FIELD_CHOICE, ATTEND_AT(type, member, norm), "none", .choices = "none|rms|l2",     \
     .help = "normalise q and k per head"},                                                        \
    {"temperature", FIELD_REAL, ATTEND_AT(type, member, temperature), "10", 0, 1000,               \
     .help = "start of the learned score scale, used with qk_norm: l2"},                           \
    {"window", FIELD_INT, ATTEND_AT(type, member, window), "0", 0, 1 << 24,                        \
     .help = "tokens a query sees, itself included; 0: all"}
// clang-format on

/* q [R,B,T,C], k and v [R,B,T,G D] -> [R,B,T,C]: norms, rotary positions,
 * softmax(q k / sqrt(D)) v per head. With QK_L2 the scores are temperature_h cos(q, k), temperature
 * learned per head. G < heads: each head of k and v serves heads / G neighbouring heads of q. */
tensor *attend(block *b, const attend_config *c, tensor *q, tensor *k, tensor *v);

/* heads must divide the width, and rotary positions need an even head dimension. */
const char *attend_check(long heads, const model_config *m);
