/* ffn_none.c - blocks without a feed-forward part, as in the recall literature (zoology, CAT). */
#include "model.h"

FFN(none) = {.name = "none", .summary = "no feed-forward part"};
