/* rwkv.h - what the RWKV mixers and their ffn share: blends with the previous token, and starts. */
#pragma once
#include "block.h"

/* x + mu (x_{t-1} - x) with a learned mu [C] called NAME; before: x shifted by one token. */
tensor *token_blend(block *b, const char *name, tensor *x, tensor *before);
