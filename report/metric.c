/* metric.c - see metric.h. */
#include "metric.h"

#include <string.h>

static const metric known[] = {
    {"token_acc", "token accuracy", 3, 1, true}, {"seq_acc", "sequence accuracy", 3, 1, true},
    {"macro_acc", "macro accuracy", 3, 1, true}, {"loss", "loss (nats)", 3, -1, false},
    {"ppl", "perplexity", 2, -1, false},         {"word_ppl", "word perplexity", 2, -1, false},
    {"bpb", "bits per byte", 3, -1, false},
};

const char *const metric_order[] = {"token_acc", "seq_acc",  "macro_acc", "loss",
                                    "ppl",       "word_ppl", "bpb",       0};

metric metric_find(const char *name) {
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i];
    bool accuracy = strstr(name, "acc") != 0;
    return (metric){name, name, 3, accuracy ? 1 : 0, accuracy};
}
