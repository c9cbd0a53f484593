/* delta_net.h - what deltanet and gated_deltanet share. */
#pragma once
#include "linear_attention.h"

typedef struct delta_config {
    long heads;
    short_config conv;
} delta_config;

#define DELTA_FIELDS(name)                                                                         \
    static const field name[] = {                                                                  \
        {"heads", FIELD_INT, offsetof(delta_config, heads), "1", 1, 1024, .help = "heads"},        \
        SHORT_FIELDS(delta_config, conv),                                                          \
    }

/* x: block input; decay: log decays [R,B,T,heads], or NULL. */
tensor *delta_net(block *b, const delta_config *c, tensor *x, tensor *decay);
const char *delta_check(const void *settings, const model_config *m);
double delta_state_size(const void *settings, const model_config *m, long time);
